"""The paper's numbers beside ours with their intervals."""

from consonance import jobs, plots, side_by_side, tables

with jobs.running(snakemake):
    face = snakemake.params.face
    figure = plots.forest(
        side_by_side.forest_table(tables.read(snakemake.input.table), labels=face["labels"]),
        xlabel="Our value less the paper's (points)",
        scale=100,
        style=plots.Style(**face["style"]),
        notice=snakemake.params.notice,
    )
    for path in snakemake.output:
        plots.save(figure, path)
