"""Training loss and validation accuracy by epoch, of one model and scheme."""

from consonance import jobs, plots, tables
from consonance.plots.adaptation import learning_curves

with jobs.running(snakemake):
    table = tables.read(snakemake.input.table)
    shown = (table["model"] == snakemake.wildcards.model) & (
        table["scheme"] == snakemake.wildcards.scheme
    )
    face = snakemake.params.face
    figure = learning_curves(
        table[shown],
        style=plots.Style(**face["style"]),
        labels=face["labels"],
        order=face["order"],
        notice=snakemake.params.notice,
    )
    for path in snakemake.output:
        plots.save(figure, path)
