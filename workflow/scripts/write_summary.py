"""What a person reads in two minutes."""

from consonance import files, jobs, manifest, tables
from consonance.reporting import document, summary

with jobs.running(snakemake):
    config = files.read_json(snakemake.input.config)
    corpora = config["experiment"]["corpora"]
    blocks = summary.summary(
        config,
        manifests={
            corpus: manifest.read_manifest(path)
            for corpus, path in zip(corpora, snakemake.input.manifests, strict=True)
        },
        notices=snakemake.params.notices,
        labels=snakemake.params.labels,
        tables={name: tables.read_all(snakemake.input[name]) for name in snakemake.params.tables},
        alpha=snakemake.params.alpha,
        remarks={},
    )
    files.write_text(document.page(blocks, title="Summary"), snakemake.output.html)
    files.write_text(document.markdown(blocks), snakemake.output.markdown)
