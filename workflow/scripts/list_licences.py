"""What must be cited and obeyed."""

from pathlib import Path

import yaml

from consonance import files, jobs
from consonance.reporting import document, provenance

with jobs.running(snakemake):
    text = Path(snakemake.input.citation).read_text(encoding="utf-8")
    config = files.read_json(snakemake.input.config)
    page = document.table_page(
        provenance.licences(config, citation=yaml.safe_load(text)),
        title="Licences and citations",
        labels={},
        most_rows=snakemake.params.most_rows,
    )
    files.write_text(page, snakemake.output[0])
