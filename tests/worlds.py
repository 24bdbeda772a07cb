"""Simulated test results whose true rates are known, for tests of intervals and comparisons."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import special

EMOTIONS = ["neutral", "calm", "happy", "sad"]


@dataclass(frozen=True)
class World:
    """Many independent worlds over the same clips and splits: layer w + 1 is world w."""

    predictions: pd.DataFrame
    manifest: pd.DataFrame
    truth: np.ndarray  # (worlds, emotions): expected recall in each world


def manifest_of(n_speakers, emotions=EMOTIONS, takes=10, domains=("speech",)):
    """One clip per domain, speaker, emotion and take; takes are repetitions of one statement."""
    rows = [
        {
            "clip": f"{domain}-{speaker:02}-{emotion}-{take:02}",
            "corpus": "made",
            "domain": domain,
            "emotion": emotion,
            "intensity": "normal",
            "speaker": f"s{speaker:02}",
            "sex": "female" if speaker % 2 else "male",
            "statement": "dogs",
            "repetition": str(take),
            "duplicate_of": "",
        }
        for domain in domains
        for speaker in range(n_speakers)
        for emotion in emotions
        for take in range(takes)
    ]
    return pd.DataFrame(rows)


def parts_of(manifest, scheme, seeds, rng, share=0.2):
    """Draws the test part of every seed: (seeds, clips) bool; speakers alike in all domains."""
    tested = np.zeros((seeds, len(manifest)), dtype=bool)
    speakers = manifest["speaker"].unique()
    for row in tested:
        if scheme == "speaker":
            chosen = rng.permutation(speakers)[: max(1, round(share * len(speakers)))]
            row[:] = manifest["speaker"].isin(chosen)
            continue
        for rows in manifest.groupby(["domain", "emotion"]).indices.values():
            row[rng.permutation(rows)[: max(1, round(share * len(rows)))]] = True
    return tested


def table(correct, tested, manifest, *, model="m", scheme="random", emotions=EMOTIONS):
    """Turns results (seeds, layers, clips) into a table of predictions; layers count from 1."""
    seed, layer, clip = np.nonzero(np.broadcast_to(tested[:, None], correct.shape))
    emotion = manifest["emotion"].to_numpy(dtype=object)[clip]
    wrong = dict(zip(emotions, [*emotions[1:], emotions[0]], strict=True))
    hit = correct[seed, layer, clip]
    return pd.DataFrame(
        {
            "model": model,
            "scheme": scheme,
            "seed": seed,
            "layer": layer + 1,
            "clip": manifest["clip"].to_numpy(dtype=object)[clip],
            "emotion": emotion,
            "predicted": np.where(hit, emotion, [wrong[name] for name in emotion]),
        }
    )


def simulate(
    scheme,
    worlds,
    rng,
    *,
    n_speakers=23,
    seeds=5,
    logits=(1.0, 2.0, 3.0, 1.5),
    takes=10,
    speaker_sd=0.6,
    clip_sd=1.2,
    seed_sd=0.15,
    model="m",
):
    """Logits of being recognised: emotion + speaker + clip + seed, all but the first normal."""
    manifest = manifest_of(n_speakers, takes=takes)
    speaker = pd.factorize(manifest["speaker"])[0]
    emotion = np.array([EMOTIONS.index(name) for name in manifest["emotion"]])
    tested = parts_of(manifest, scheme, seeds, rng)
    of_speaker = rng.normal(0, speaker_sd, (worlds, n_speakers))
    of_clip = rng.normal(0, clip_sd, (worlds, len(manifest)))
    of_seed = rng.normal(0, seed_sd, (seeds, worlds, 1))
    levels = np.asarray(logits)
    logit = levels[emotion] + of_speaker[:, speaker] + of_clip + of_seed
    correct = rng.random(logit.shape) < special.expit(logit)
    # Expectation over what the interval is about, by Gauss-Hermite quadrature.
    nodes, weights = np.polynomial.hermite_e.hermegauss(61)
    weights = weights / weights.sum()
    if scheme == "random":  # further clips and seeds of the same speakers
        sd = np.hypot(clip_sd, seed_sd)
        centre = levels[None, None, :] + of_speaker[:, :, None]
        truth = (special.expit(centre[..., None] + sd * nodes) @ weights).mean(axis=1)
    else:  # further speakers
        sd = np.sqrt(speaker_sd**2 + clip_sd**2 + seed_sd**2)
        truth = np.tile(special.expit(levels[:, None] + sd * nodes) @ weights, (worlds, 1))
    predictions = table(correct, tested, manifest, scheme=scheme, model=model)
    return World(predictions, manifest, truth)


def scores_of(predictions, *, domain="speech", validation=None):
    """Score tables with a validation accuracy per seed and layer (default: the layer / 100)."""
    cells = predictions[["model", "scheme", "seed", "layer"]].drop_duplicates()
    rows = []
    for cell in cells.itertuples(index=False):
        accuracy = cell.layer / 100 if validation is None else validation[cell.seed, cell.layer]
        for metric, value in (("validation_accuracy", accuracy), ("validation_loss", 1.0)):
            rows.append(cell._asdict() | {"metric": metric, "value": value})
    frame = pd.DataFrame(rows).assign(corpus="made", domain=domain, emotion="")
    return frame


def small():
    """Two seeds, two layers, four clips of two emotions; clip d is tested in both seeds."""
    manifest = pd.DataFrame(
        {
            "clip": ["a", "b", "c", "d"],
            "corpus": "made",
            "domain": "speech",
            "emotion": ["calm", "calm", "sad", "sad"],
            "intensity": "",
            "speaker": ["s1", "s2", "s1", "s2"],
            "statement": "",
            "repetition": "",
            "duplicate_of": "",
        }
    )
    tested = np.array([[True, False, False, True], [False, True, True, True]])
    correct = np.array(
        [[[1, 0, 0, 1], [0, 0, 0, 1]], [[0, 1, 0, 0], [0, 1, 1, 1]]],
        dtype=bool,
    )
    predictions = table(correct, tested, manifest, emotions=["calm", "sad"])
    return predictions, manifest, tested, correct
