"""1,000 label permutations of the Fréchet distance of clip means, for every layer and emotion.

The data have the shape of the paper's experiment: 23 actors, 92 neutral clips and 184 of each other
emotion per domain, 13 states of 768 dimensions. The targets: the six per-emotion sets in 5 minutes
on 2 cores; as many permutations of the set of all clips as fit in another 5.

    python benchmarks/similarity.py
"""

import argparse
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow" / "scripts"))

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from consonance import frechet, similarity
from consonance.gram import Clips

TARGET = 300.0
EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful")
DOMAINS = ("speech", "song")
PAIR_BY = ["speaker", "emotion", "intensity", "statement", "repetition"]


def clips(*, actors: int) -> pd.DataFrame:
    rows = [
        (domain, f"{actor:02d}", emotion, intensity, statement, repetition)
        for domain in DOMAINS
        for actor in range(1, actors + 1)
        for emotion in EMOTIONS
        for intensity in (("normal",) if emotion == "neutral" else ("normal", "strong"))
        for statement in ("1", "2")
        for repetition in ("1", "2")
    ]
    return pd.DataFrame(rows, columns=["domain", *PAIR_BY]).astype(str)


def embeddings(labels: pd.DataFrame, *, states: int, dim: int) -> np.ndarray:
    """Actor, emotion and domain effects plus noise; variances fall as 1 / rank, as in layers."""
    rng = np.random.default_rng(0)
    scales = (np.arange(1, dim + 1) ** -0.5).astype(np.float32)
    means = rng.standard_normal((len(labels), states, dim), dtype=np.float32)
    for column in ("speaker", "emotion", "domain"):
        codes, names = pd.factorize(labels[column])
        means += rng.standard_normal((len(names), states, dim), dtype=np.float32)[codes]
    return means * scales


def nulls(means, labels, *, domains, emotions, layers, pair_by, groups, settings, workers) -> int:
    """The part of `similarity.table` that the target is about; returns the distances computed."""

    def one(task):
        emotion, layer = task
        mine = labels[labels["emotion"] == emotion]
        rows, design = similarity.arrange(mine, domains=domains, pair_by=pair_by, groups=groups)
        rng = similarity.generator(settings.seed, "swap", emotion)
        swaps = similarity.swapped(design, count=settings.permutations, rng=rng)
        clips = Clips(means[mine.index.to_numpy()[rows], layer])
        return len(similarity.swap_null(clips, swaps)["fad"])

    with threadpool_limits(limits=1), ThreadPoolExecutor(workers) as executor:
        return sum(executor.map(one, [(e, layer) for e in emotions for layer in layers]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--permutations", type=int, default=1000)
    parser.add_argument("--states", type=int, default=13)
    parser.add_argument("--dim", type=int, default=768)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--pooled-permutations", type=int, default=49)
    parser.add_argument("--parts", nargs="+", default=["null", "table"])
    options = parser.parse_args()
    labels = clips(actors=23)
    means = embeddings(labels, states=options.states, dim=options.dim)
    choices = {
        "domains": DOMAINS,
        "emotions": EMOTIONS,
        "layers": range(options.states),
        "settings": similarity.Settings(
            permutations=options.permutations,
            draws=20,
            pooled_draws=4,
            splits=20,
            fractions=(0.5, 0.625, 0.75, 0.875, 1.0),
            level=0.95,
            interval="jackknife",
            bootstrap_draws=200,
            kernel_scale=100.0,
            seed=0,
            pooled_permutations=options.pooled_permutations,
        ),
        "workers": options.workers,
        "pair_by": PAIR_BY,
        "groups": {name: int(name) % 6 for name in labels["speaker"].unique()},
    }
    passed = True
    if "null" in options.parts:
        start = time.perf_counter()
        nulls(means, labels, **choices)
        elapsed = time.perf_counter() - start
        passed = elapsed <= TARGET
        print(
            f"{options.permutations} permutations, {options.states} states, {len(EMOTIONS)} "
            f"emotions, {options.workers} workers: {elapsed:.0f} s (target {TARGET:.0f} s)"
        )
    if "table" in options.parts:
        start = time.perf_counter()
        table = similarity.table(means, labels, **choices).table
        elapsed = time.perf_counter() - start
        pooled = table[(table.measure == "fad") & (table.emotion == frechet.ALL)]
        print(
            f"the whole table, {len(table)} rows: {elapsed:.0f} s, with "
            f"{pooled.permutations.min()} permutations of the set of all clips"
        )
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
