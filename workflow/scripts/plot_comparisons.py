"""Paired comparisons of accuracy as points with intervals."""

from consonance import contrasts, jobs, plots, tables

with jobs.running(snakemake):
    face = snakemake.params.face
    figure = plots.forest(
        contrasts.forest_table(
            tables.read(snakemake.input.table), labels=face["labels"], level=snakemake.params.level
        ),
        xlabel="Difference in accuracy (points)",
        scale=100,
        style=plots.Style(**face["style"]),
        notice=snakemake.params.notice,
    )
    for path in snakemake.output:
        plots.save(figure, path)
