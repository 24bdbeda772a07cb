"""The tidy tables behind the probe figures, and the paper's Tables I and II beside ours."""

from consonance import files, jobs, published, summaries, tables

with jobs.running(snakemake):
    scores = [tables.read(path) for path in snakemake.input.scores]
    files.write_csv(
        summaries.probe_summary(scores, band=snakemake.params.band), snakemake.output.summary
    )
    performance = summaries.performance_table(
        scores,
        first_seed=snakemake.params.first_seed,
        published=published.read(snakemake.input.published),
        paper_models=snakemake.params.paper_models,
        paper_scheme=snakemake.params.paper_scheme,
    )
    files.write_csv(performance, snakemake.output.performance)
    style = {"labels": snakemake.params.labels, "digits": snakemake.params.digits}
    files.write_text(
        summaries.performance_markdown(performance, **style), snakemake.output.markdown
    )
    files.write_text(summaries.performance_latex(performance, **style), snakemake.output.latex)
