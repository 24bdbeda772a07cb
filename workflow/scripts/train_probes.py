"""Trains the linear probes of one model, domain and scheme: all layers and seeds together."""

import numpy as np

from consonance import arrangement, embeddings, files, jobs, manifest, probes, tables

with jobs.running(snakemake):
    emotions = snakemake.params.emotions
    names = dict(snakemake.wildcards.items())
    weights = names.pop("weights")
    clips, means = embeddings.load_means(snakemake.input.means)
    arranged = arrangement.arrange(
        clips,
        manifest.kept(manifest.read_manifest(snakemake.input.manifest)),
        tables.read(snakemake.input.splits),
        domain=names["domain"],
        labels=emotions,
    )
    layers = list(range(means.shape[1]))
    result = probes.train(
        np.ascontiguousarray(means[arranged.rows].swapaxes(0, 1)),
        arranged.emotions,
        arranged.parts,
        seeds=arranged.seeds,
        labels=emotions,
        layers=layers,
        class_weights=weights,
        threads=snakemake.threads,
        **snakemake.params.probes,
    )
    predictions, scores, confusion = probes.probe_tables(
        result,
        clips=arranged.clips,
        emotions=arranged.emotions,
        labels=emotions,
        layers=layers,
        seeds=arranged.seeds,
        **names,
    )
    files.write_csv(predictions, snakemake.output.predictions)
    files.write_csv(scores, snakemake.output.scores)
    files.write_csv(confusion, snakemake.output.confusion)
