"""Rank correlation of acoustic differences with the distance between the domains."""

from pathlib import Path

from consonance import jobs, plots, tables

with jobs.running(snakemake):
    face = snakemake.params.face
    note = Path(snakemake.input.weakness).read_text(encoding="utf-8").strip()
    figure = plots.rank_correlation_heatmap(
        tables.read(snakemake.input.table),
        style=plots.Style(**face["style"]),
        labels=face["labels"],
        order=face["order"],
        notice=snakemake.params.notice,
        note=f"{note} Outlined: significant after correction. Minus sign: negative.",
    )
    for path in snakemake.output:
        plots.save(figure, path)
