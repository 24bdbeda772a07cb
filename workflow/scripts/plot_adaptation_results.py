"""Accuracy of every approach, direct and in two stages: the paper's Table III as a figure."""

from consonance import jobs, plots, tables
from consonance.plots.adaptation import adaptation_results

with jobs.running(snakemake):
    table = tables.read(snakemake.input.table)
    shown = (
        (table["scheme"] == snakemake.wildcards.scheme)
        & (table["metric"] == "accuracy")
        & (table["basis"] == "seeds")
        & (table["fraction"] == 1)
    )
    face = snakemake.params.face
    figure = adaptation_results(
        table[shown],
        style=plots.Style(**face["style"]),
        labels=face["labels"],
        order=face["order"],
        notice=snakemake.params.notice,
    )
    for path in snakemake.output:
        plots.save(figure, path)
