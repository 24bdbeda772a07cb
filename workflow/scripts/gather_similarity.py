"""The measures of all models in one table."""

from consonance import files, jobs, tables

with jobs.running(snakemake):
    files.write_csv(tables.read_all(snakemake.input.tables), snakemake.output.table)
    files.write_csv(tables.read_all(snakemake.input.replicates), snakemake.output.replicates)
