"""How long each rule took, and its peak memory."""

from pathlib import Path

from consonance import files, jobs
from consonance.reporting import document, provenance

with jobs.running(snakemake):
    page = document.table_page(
        provenance.run_times(sorted(Path(snakemake.params.benchmarks).glob("*/*.tsv"))),
        title="Run times and peak memory",
        labels={},
        most_rows=snakemake.params.most_rows,
    )
    files.write_text(page, snakemake.output[0])
