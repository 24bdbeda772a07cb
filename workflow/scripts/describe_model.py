"""Loads a model once and writes down what it is."""

from consonance import files, jobs, models

with jobs.running(snakemake):
    spec = models.specify(snakemake.params.model)
    files.write_json(models.describe(spec), snakemake.output[0])
