"""The tidy tables behind the FAD figures."""

from consonance import files, jobs, summaries, tables

with jobs.running(snakemake):
    fads = [tables.read(path) for path in snakemake.input.fad]
    summary = summaries.fad_summary(fads, domains=tuple(snakemake.params.domains))
    files.write_csv(summary, snakemake.output.summary)
    ranking = summaries.fad_ranking(summary)
    files.write_csv(ranking, snakemake.output.ranking)
    labels = snakemake.params.labels
    files.write_text(
        summaries.fad_ranking_markdown(ranking, labels=labels), snakemake.output.markdown
    )
    files.write_text(summaries.fad_ranking_latex(ranking, labels=labels), snakemake.output.latex)
    files.write_csv(summaries.fad_matrix(fads), snakemake.output.matrix)
