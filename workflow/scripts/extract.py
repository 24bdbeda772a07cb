"""One pass over a shard's clips: the mean of every state, and the moments of its frames."""

from pathlib import Path

from consonance import extraction, files, jobs, models, tables

with jobs.running(snakemake):
    record = files.read_json(snakemake.input.model)
    compute = snakemake.config["compute"]
    device = models.choose_device(compute["device"])
    encoder = models.load(record, device=device, precision=snakemake.params.precision)
    rows = tables.read(snakemake.input.audio)
    rows["path"] = [str(Path(snakemake.input.wavs) / name) for name in rows["file"]]
    notice = models.cpu_notice(
        compute["device"],
        device,
        audio_seconds=float(rows["samples"].sum()) / encoder.sampling_rate,
        parameters=record["parameters"],
        audio_per_second=compute["audio_per_second"],
    )
    if notice:
        jobs.warn(notice)
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
