"""Opens every recording of a corpus once and writes the manifest, whole or not at all."""

from pathlib import Path

from consonance import corpora, files, jobs, manifest, scanning

with jobs.running(snakemake):
    experiment = snakemake.params.experiment
    recordings = corpora.list_recordings(
        snakemake.params.adapter, Path(snakemake.params.root), domains=experiment["domains"]
    )
    table = scanning.build(
        recordings,
        corpus=snakemake.wildcards.corpus,
        threads=snakemake.threads,
        **experiment,
        **snakemake.params.audio,
    )
    corpora.check_release(
        snakemake.params.adapter, table, expected=snakemake.params.expect_full_release
    )
    scanning.validate(table)
    files.write_csv(manifest.exclusion_counts(table), snakemake.output.exclusions)
    files.write_csv(manifest.counts(table), snakemake.output.counts)
    manifest.write(table, snakemake.output.manifest)
