"""How alike the domains are in one model: all measures, with intervals, floors and nulls."""

import pandas as pd

from consonance import embeddings, files, jobs, manifest, similarity, tables

with jobs.running(snakemake):
    clips = manifest.kept(manifest.read_manifest(snakemake.input.manifest))
    folds = tables.read(snakemake.input.folds)
    settings = similarity.Settings(**snakemake.params.settings)
    common = {
        "domains": tuple(snakemake.params.domains),
        "emotions": snakemake.params.emotions,
        "workers": snakemake.threads,
    }
    names, means = embeddings.load_means(snakemake.input.means)
    found = [
        similarity.table(
            means,
            clips.set_index("clip").loc[names].reset_index(),
            layers=range(means.shape[1]),
            pair_by=snakemake.params.pair_by,
            groups=dict(zip(folds["speaker"], folds["fold"], strict=True)),
            settings=settings,
            **common,
        )
    ]
    for layer, sets in embeddings.fold_sets(snakemake.input.moments):
        found.append(similarity.frame_table(sets, layer=layer, level=settings.level, **common))
    whose = dict(snakemake.wildcards.items())
    for kind in ("table", "replicates"):
        whole = pd.concat([getattr(each, kind) for each in found], ignore_index=True)
        files.write_csv(
            whole.assign(**whose)[[*whose, *whole.columns]], getattr(snakemake.output, kind)
        )
