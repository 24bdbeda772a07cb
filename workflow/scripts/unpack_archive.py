"""Unpacks one verified archive."""

from consonance import downloads, jobs

with jobs.running(snakemake):
    downloads.unpack(snakemake.input[0], snakemake.output[0], **snakemake.params.limits)
