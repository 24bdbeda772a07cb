"""Paired comparisons between models, layers, domains and schemes, corrected for their number."""

from consonance import comparisons, files, jobs, manifest, predictions, tables

with jobs.running(snakemake):
    table = comparisons.compare(
        predictions.gather(snakemake.input.predictions, snakemake.params.probes),
        tables.read_all(snakemake.input.scores),
        manifest.kept(manifest.read_manifest(snakemake.input.manifest)),
        kinds=snakemake.params.kinds,
        metrics=snakemake.params.metrics,
        emotions=snakemake.params.emotions,
        first_seed=snakemake.params.first_seed,
        **snakemake.params.evidence,
    )
    files.write_csv(table, snakemake.output[0])
