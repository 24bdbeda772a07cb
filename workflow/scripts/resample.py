"""Resamples the clips of one shard to one rate."""

from consonance import audio, files, jobs, manifest, tables

with jobs.running(snakemake):
    index, _, planned = snakemake.wildcards.shard.partition("-of-")
    rows = manifest.shard_rows(
        manifest.read_manifest(snakemake.input.manifest),
        tables.read(snakemake.input.folds),
        int(index),
        snakemake.params.clips_per_shard,
        planned_shards=int(planned),
    )
    written = audio.resample_shard(
        rows,
        rate=int(snakemake.wildcards.rate),
        folder=snakemake.output.wavs,
        threads=snakemake.threads,
    )
    labels = rows[["clip", "domain", "emotion", "speaker", "fold"]]
    files.write_csv(labels.merge(written, on="clip"), snakemake.output.table)
