"""The configuration of this run, without the folders of one machine."""

from consonance import files, jobs

with jobs.running(snakemake):
    files.write_json(snakemake.params.config, snakemake.output[0])
