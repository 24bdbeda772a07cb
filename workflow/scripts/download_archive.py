"""One archive of a corpus, verified: from the user's folder, or downloaded."""

from consonance import downloads, jobs

with jobs.running(snakemake):
    downloads.obtain(
        snakemake.output[0], folder=snakemake.params.folder, **snakemake.params.archive
    )
