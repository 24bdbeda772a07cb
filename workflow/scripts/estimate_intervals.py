"""How sure every score of the probes is: intervals from the stored predictions."""

import pandas as pd

from consonance import files, intervals, jobs, manifest, predictions

with jobs.running(snakemake):
    clips = manifest.kept(manifest.read_manifest(snakemake.input.manifest))
    settings = {"first_seed": snakemake.params.first_seed, **snakemake.params.evidence}
    settings["emotions"] = snakemake.params.emotions
    scores, performance = [], []
    for path, whose in zip(snakemake.input.predictions, snakemake.params.probes, strict=True):
        found = predictions.read(path, **whose)
        scores.append(intervals.accuracy_intervals(found, clips, **whose, **settings))
        performance.append(intervals.performance_intervals(found, clips, **whose, **settings))
    files.write_csv(pd.concat(scores, ignore_index=True), snakemake.output.scores)
    files.write_csv(pd.concat(performance, ignore_index=True), snakemake.output.performance)
