"""One table as a page of the report."""

from consonance import files, jobs, tables
from consonance.reporting import document, entries

with jobs.running(snakemake):
    name = snakemake.wildcards.table
    labels = snakemake.params.labels
    page = document.table_page(
        tables.read(snakemake.input[0]),
        title=entries.TABLES[name].label({}, labels),
        percent=entries.PERCENT.get(name, ()),
        labels=labels,
        notice=snakemake.params.notice,
        most_rows=snakemake.params.most_rows,
    )
    files.write_text(page, snakemake.output[0])
