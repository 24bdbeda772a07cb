"""Divides the speakers of a corpus into folds, the same in every domain."""

from consonance import files, jobs, manifest, splits

with jobs.running(snakemake):
    clips = manifest.kept(manifest.read_manifest(snakemake.input.manifest))
    table = splits.folds(clips, n_folds=snakemake.params.folds, seed=snakemake.params.seed)
    files.write_csv(table, snakemake.output[0])
