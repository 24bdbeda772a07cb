"""Table III beside the paper's, the paired comparisons, and the tables behind the figures."""

import pandas as pd

from consonance import files, jobs, manifest, published, tables
from consonance.adaptation import summaries

with jobs.running(snakemake):
    read = {
        name: pd.concat([tables.read(path) for path in snakemake.input[name]], ignore_index=True)
        for name in ("predictions", "scores", "curves", "weights", "gates", "runs", "times")
    }
    kept = manifest.kept(manifest.read_manifest(snakemake.input.manifest))
    settings = {
        "emotions": snakemake.params.emotions,
        "first_seed": snakemake.params.first_seed,
        **snakemake.params.evidence,
    }
    performance = summaries.with_paper(
        summaries.performance(read["predictions"], kept, read["runs"], **settings),
        published=published.read(snakemake.input.published),
        paper_models=snakemake.params.paper_models,
        paper_scheme=snakemake.params.paper_scheme,
    )
    three = summaries.table_three(performance)
    style = {"labels": snakemake.params.labels, "digits": snakemake.params.digits}
    band = snakemake.params.band
    output = snakemake.output
    files.write_csv(performance, output.performance)
    files.write_csv(three, output.table)
    files.write_text(summaries.table_three_markdown(three, **style), output.markdown)
    files.write_text(summaries.table_three_latex(three, **style), output.latex)
    paired = summaries.paired(
        read["predictions"],
        read["scores"],
        kept,
        metrics=snakemake.params.metrics,
        controls=snakemake.params.controls,
        **settings,
    )
    files.write_csv(paired, output.comparisons)
    files.write_csv(summaries.curves(read["curves"], band=band), output.curves)
    weights = summaries.layer_values(read["weights"], value="weight", band=band)
    files.write_csv(weights, output.weights)
    gates = summaries.layer_values(read["gates"], value="mean", band=band)
    files.write_csv(gates, output.gates)
    records = map(files.read_json, snakemake.input.models)
    encoders = {record["name"]: record["parameters"] for record in records}
    files.write_csv(summaries.sizes(read["runs"], encoders=encoders), output.sizes)
    files.write_csv(read["times"], output.times)
