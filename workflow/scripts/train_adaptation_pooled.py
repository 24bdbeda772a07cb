"""Trains the approaches that leave the encoder as it is: all directions, stages, seeds, shares."""

import numpy as np

from consonance import embeddings, files, jobs, manifest, tables
from consonance.adaptation import approaches, checkpoints, pooled, stages
from consonance.adaptation import tables as adaptation_tables

with jobs.running(snakemake):
    domains, labels = snakemake.params.domains, snakemake.params.emotions
    names = dict(snakemake.wildcards.items())
    chosen = approaches.read(snakemake.params.approaches)
    clips, means = embeddings.load_means(snakemake.input.means)
    splits = tables.read(snakemake.input.splits)
    arranged = stages.arrange(
        clips,
        manifest.kept(manifest.read_manifest(snakemake.input.manifest)),
        splits,
        domains=domains,
        labels=labels,
        scheme=names["scheme"],
    )
    # State 0 is the encoder's input and not one of its layers.
    layers = np.ascontiguousarray(means[:, 1:])
    found = pooled.train(
        layers,
        arranged,
        list(chosen.values()),
        domains=domains,
        seeds=list(dict.fromkeys(splits["seed"].tolist())),
        labels=labels,
        threads=snakemake.threads,
    )
    job = adaptation_tables.Job(**names, labels=labels, arranged=arranged, layers=layers.shape[1])
    for name, table in adaptation_tables.lay_out(found, chosen, job).items():
        files.write_csv(table, snakemake.output[name])
    checkpoints.write(
        snakemake.output.checkpoint,
        adaptation_tables.tensors(found),
        configuration={
            **names,
            "approaches": snakemake.params.approaches,
            "labels": labels,
            "clips": stages.fingerprint(arranged),
        },
    )
