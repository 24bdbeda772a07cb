"""Fréchet audio distances of one model: all layers, all pairs of domain-emotion sets."""

import pandas as pd

from consonance import embeddings, files, frechet, jobs, manifest

with jobs.running(snakemake):
    found, skipped = [], []
    settings = {
        **dict(snakemake.wildcards.items()),
        "domains": snakemake.params.domains,
        "emotions": snakemake.params.emotions,
        "workers": snakemake.threads,
    }
    clips = manifest.kept(manifest.read_manifest(snakemake.input.manifest))
    for level in snakemake.params.levels:
        if level == "frames":
            layers = embeddings.frame_sets(snakemake.input.moments)
        else:
            layers = embeddings.clip_sets(snakemake.input.means, clips)
        for layer, sets in layers:
            rows, missing = frechet.matrix(sets, level=level, layer=layer, **settings)
            found.append(rows)
            skipped.append(missing)
    files.write_csv(pd.concat(found, ignore_index=True), snakemake.output.fad)
    files.write_csv(pd.concat(skipped, ignore_index=True), snakemake.output.skipped)
