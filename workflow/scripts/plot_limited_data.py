"""Accuracy by the number of target clips, direct and after the other domain."""

from consonance import jobs, plots, tables
from consonance.plots.adaptation import limited_data

with jobs.running(snakemake):
    table = tables.read(snakemake.input.table)
    shown = (
        (table["model"] == snakemake.wildcards.model)
        & (table["scheme"] == snakemake.wildcards.scheme)
        & (table["metric"] == "accuracy")
        & (table["basis"] == "seeds")
    )
    face = snakemake.params.face
    figure = limited_data(
        table[shown],
        style=plots.Style(**face["style"]),
        labels=face["labels"],
        order=face["order"],
        notice=snakemake.params.notice,
    )
    for path in snakemake.output:
        plots.save(figure, path)
