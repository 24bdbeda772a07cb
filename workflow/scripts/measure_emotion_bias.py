"""How unevenly emotions are recognised, and whether balanced probes are more even."""

import pandas as pd

from consonance import bias, files, jobs, manifest, predictions

with jobs.running(snakemake):
    clips = manifest.kept(manifest.read_manifest(snakemake.input.manifest))
    settings = {"emotions": snakemake.params.emotions, **snakemake.params.evidence}
    found = {
        weights: predictions.gather(snakemake.input[weights], snakemake.params.probes)
        for weights in snakemake.params.weights
    }
    spread = [
        bias.emotion_spread(
            each, clips, probe=weights, permutations=snakemake.params.permutations, **settings
        )
        for weights, each in found.items()
    ]
    files.write_csv(pd.concat(spread, ignore_index=True), snakemake.output.spread)
    first, *others = found
    compared = [
        bias.compare_probes(found[other], found[first], clips, names=(other, first), **settings)
        for other in others
    ]
    table = pd.concat(compared, ignore_index=True) if compared else bias.NO_COMPARISON
    files.write_csv(table, snakemake.output.comparisons)
