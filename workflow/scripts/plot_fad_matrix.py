"""Fréchet audio distances between all domain-emotion sets of one model, as heat maps."""

from consonance import jobs, plots, tables

with jobs.running(snakemake):
    matrix = tables.read(snakemake.input.table)
    face = snakemake.params.face
    figure = plots.fad_matrix(
        matrix[matrix["model"] == snakemake.wildcards.model],
        level=snakemake.wildcards.level,
        layers=snakemake.params.layers,
        style=plots.Style(**face["style"]),
        labels=face["labels"],
        order=face["order"],
        notice=snakemake.params.notice,
    )
    for path in snakemake.output:
        plots.save(figure, path)
