"""Standardised acoustic differences between the domains, per emotion."""

from consonance import jobs, plots, tables

with jobs.running(snakemake):
    face = snakemake.params.face
    first, second = (face["labels"].get(name, name) for name in snakemake.params.domains)
    figure = plots.forest(
        tables.read(snakemake.input.table),
        xlabel=f"Standardised difference, {second} less {first}",
        digits=2,
        style=plots.Style(**face["style"]),
        notice=snakemake.params.notice,
    )
    for path in snakemake.output:
        plots.save(figure, path)
