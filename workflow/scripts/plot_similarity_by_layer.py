"""Measures of the likeness of speech and song by layer and emotion, with intervals and nulls."""

from consonance import jobs, plots, tables

with jobs.running(snakemake):
    table = tables.read(snakemake.input.table)
    face = snakemake.params.face
    measures = snakemake.params.measures
    figure = plots.similarity_by_layer(
        table[
            (table["model"] == snakemake.wildcards.model) & table["measure"].isin(measures)
        ].rename(columns={"lower": "low", "upper": "high"}),
        rows="measure",
        columns="emotion",
        lines="model",
        style=plots.Style(**{**face["style"], "columns": table["emotion"].nunique()}),
        labels=face["labels"],
        order={**face["order"], "measure": measures},
        notice=snakemake.params.notice,
    )
    for path in snakemake.output:
        plots.save(figure, path)
