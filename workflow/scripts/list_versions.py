"""Versions of the software that ran."""

from pathlib import Path

from consonance import files, jobs
from consonance.reporting import document, provenance

with jobs.running(snakemake):
    page = document.table_page(
        provenance.versions(
            snakemake.params.packages,
            pinned=provenance.pins([Path(path) for path in snakemake.input.environments]),
        ),
        title="Software versions",
        labels={},
        most_rows=snakemake.params.most_rows,
    )
    files.write_text(page, snakemake.output[0])
