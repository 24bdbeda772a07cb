"""One model's files from the Hub at its pinned revision."""

import os

os.environ["HF_HUB_OFFLINE"] = "0"

from consonance import downloads, files, jobs

with jobs.running(snakemake):
    model = snakemake.params.model
    record = downloads.fetch_model(
        model["repository"],
        model["revision"],
        snakemake.params.folder,
        files=model["files"],
        sha256=model["sha256"] or {},
    )
    files.write_json(record, snakemake.output[0])
