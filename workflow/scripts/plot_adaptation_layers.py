"""Learned layer weights, or gates, by layer."""

from consonance import jobs, plots, tables
from consonance.plots.adaptation import gate_values, layer_weights

with jobs.running(snakemake):
    table = tables.read(snakemake.input.table)
    draw = {"layer_weights": layer_weights, "gates": gate_values}[snakemake.wildcards.kind]
    face = snakemake.params.face
    figure = draw(
        table[table["scheme"] == snakemake.wildcards.scheme],
        style=plots.Style(**face["style"]),
        labels=face["labels"],
        order=face["order"],
        notice=snakemake.params.notice,
    )
    for path in snakemake.output:
        plots.save(figure, path)
