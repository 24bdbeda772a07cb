"""Fréchet audio distance between speech and song by layer and emotion: the paper's Fig. 3."""

from consonance import jobs, plots, tables

COLUMNS = {"raw": "fad", "relative": "fad_relative"}

with jobs.running(snakemake):
    face = snakemake.params.face
    figure = plots.fad_by_layer(
        tables.read(snakemake.input.table),
        level=snakemake.wildcards.level,
        value=COLUMNS[snakemake.wildcards.scale],
        style=plots.Style(**face["style"]),
        labels=face["labels"],
        order=face["order"],
        notice=snakemake.params.notice,
    )
    for path in snakemake.output:
        plots.save(figure, path)
