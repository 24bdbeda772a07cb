"""How unevenly emotions are recognised, by layer, with the paper's probe and a balanced one."""

from consonance import jobs, plots, tables

with jobs.running(snakemake):
    spread = tables.read(snakemake.input.table)
    face = snakemake.params.face
    figure = plots.emotion_spread(
        spread[spread["scheme"] == snakemake.wildcards.scheme],
        style=plots.Style(**face["style"]),
        labels=face["labels"],
        order=face["order"],
        notice=snakemake.params.notice,
    )
    for path in snakemake.output:
        plots.save(figure, path)
