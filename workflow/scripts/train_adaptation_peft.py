"""Trains one approach that changes the encoder, in one direction: all seeds, stages and shares."""

import shutil
from pathlib import Path

import pandas as pd

from consonance import files, jobs, manifest, models, tables
from consonance.adaptation import approaches, checkpoints, front_end, modules, stages
from consonance.adaptation import tables as adaptation_tables
from consonance.adaptation.training import Trainer

with jobs.running(snakemake):
    domains, labels = snakemake.params.domains, snakemake.params.emotions
    names = dict(snakemake.wildcards.items())
    direction, name = names.pop("direction"), names["approach"]
    chosen = approaches.read({name: snakemake.params.approach})
    device = models.choose_device(snakemake.config["compute"]["device"])
    speed = snakemake.config["adaptation"]
    batch_seconds = speed["batch_seconds"]["gpu" if device == "cuda" else "cpu"]
    record = files.read_json(snakemake.input.model)
    encoder = models.load(record, device=device, precision="float32")

    parts = []
    for table, folder in zip(snakemake.input.audio, snakemake.input.wavs, strict=True):
        rows = tables.read(table)
        parts.append(rows.assign(path=[str(Path(folder) / file) for file in rows["file"]]))
    recordings = pd.concat(parts, ignore_index=True)
    splits = tables.read(snakemake.input.splits)
    arranged = stages.arrange(
        recordings["clip"].tolist(),
        manifest.kept(manifest.read_manifest(snakemake.input.manifest)),
        splits,
        domains=domains,
        labels=labels,
        scheme=names["scheme"],
    )
    model = modules.AdaptedEncoder(encoder, chosen[name], n_classes=len(labels))
    precision = snakemake.params.precision if device == "cuda" else "float32"
    configuration = {
        **names,
        "direction": direction,
        "settings": snakemake.params.approach,
        "labels": labels,
        "clips": stages.fingerprint(arranged),
        "weights": record["sha256"],
        "window_seconds": snakemake.params.window_seconds,
        "precision": precision,
        "device": device,
        "code": snakemake.params.code,
    }
    progress = Path(snakemake.params.progress)
    trainer = Trainer(
        model,
        front_end.compute(
            recordings,
            encoder,
            window_seconds=snakemake.params.window_seconds,
            batch_seconds=batch_seconds,
        ),
        arranged,
        labels=labels,
        configuration=configuration,
        folder=progress,
        precision=precision,
        batch_seconds=batch_seconds,
        save_seconds=speed["save_seconds"],
    )
    seeds = list(dict.fromkeys(splits["seed"].tolist()))
    runs = stages.plan(direction, chosen[name], domains=domains, seeds=seeds)
    found = {name: trainer.train(runs)}
    del names["approach"]
    job = adaptation_tables.Job(**names, labels=labels, arranged=arranged, layers=model.n_layers)
    for kind, table in adaptation_tables.lay_out(found, chosen, job).items():
        files.write_csv(table, snakemake.output[kind])
    checkpoints.write(
        snakemake.output.checkpoint, adaptation_tables.tensors(found), configuration=configuration
    )
    # The same job may have ended just now: one that outlived a killed Snakemake.
    shutil.rmtree(progress, ignore_errors=True)
