"""Loads a model once and writes down what it is."""

from consonance import encoders, files, jobs, models

with jobs.running(snakemake):
    spec = encoders.ModelSpec(**snakemake.params.model)
    files.write_json(models.describe(spec), snakemake.output[0])
