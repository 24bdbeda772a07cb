"""The methods, as a paper would print them, filled from the configuration."""

from consonance import files, jobs, manifest
from consonance.reporting import document, methods

with jobs.running(snakemake):
    config = files.read_json(snakemake.input.config)
    experiment = config["experiment"]
    blocks = methods.methods(
        config,
        manifests={
            corpus: manifest.read_manifest(path)
            for corpus, path in zip(experiment["corpora"], snakemake.input.manifests, strict=True)
        },
        models={
            model: files.read_json(path)
            for model, path in zip(experiment["models"], snakemake.input.models, strict=True)
        },
    )
    files.write_text(document.page(blocks, title="Methods"), snakemake.output.html)
    files.write_text(document.markdown(blocks), snakemake.output.markdown)
