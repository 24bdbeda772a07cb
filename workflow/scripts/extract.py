"""One pass over a shard's clips: the mean of every state, and the moments of its frames."""

from pathlib import Path

from consonance import extraction, files, jobs, models, tables

with jobs.running(snakemake):
    record = files.read_json(snakemake.input.model)
    device = models.choose_device(snakemake.config["compute"]["device"])
    encoder = models.load(record, device=device, precision=snakemake.params.precision)
    rows = tables.read(snakemake.input.audio)
    rows["path"] = [str(Path(snakemake.input.wavs) / name) for name in rows["file"]]
    batch_seconds = snakemake.config["extraction"]["batch_seconds"]
    extraction.extract_shard(
        rows,
        encoder,
        means_path=snakemake.output.means,
        moments_path=snakemake.output.moments,
        batch_seconds=batch_seconds["gpu" if device == "cuda" else "cpu"],
        window_seconds=snakemake.params.window_seconds,
        long_clips=snakemake.params.long_clips,
        threads=snakemake.threads,
    )
