"""Accuracy (or UAR) of the probes by layer: the paper's Fig. 1."""

from consonance import jobs, plots, tables

with jobs.running(snakemake):
    summary = tables.read(snakemake.input.table)
    face = snakemake.params.face
    figure = plots.accuracy_by_layer(
        summary,
        metric=snakemake.wildcards.metric,
        chance=snakemake.params.chance,
        style=plots.Style(**face["style"]),
        labels=face["labels"],
        order=face["order"],
        notice=snakemake.params.notice,
    )
    for path in snakemake.output:
        plots.save(figure, path)
