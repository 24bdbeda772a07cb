"""The tables that a training job writes: one tidy row per clip, score, epoch, layer and run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from consonance import scores
from consonance.adaptation import stages
from consonance.adaptation.approaches import Approach
from consonance.adaptation.naming import KEYS, TABLES, WHOLE
from consonance.adaptation.results import CURVES, Result
from consonance.arrangement import Arranged

NAMES = (*TABLES, "times")


@dataclass(frozen=True)
class Job:
    """What the runs of a job have in common.

    Attributes:
        corpus: name.
        model: name.
        scheme: name of the split scheme.
        labels: names of the classes.
        arranged: domain to its clips.
        layers: L.
    """

    corpus: str
    model: str
    scheme: str
    labels: Sequence[str]
    arranged: Mapping[str, Arranged]
    layers: int


def lay_out(found: Mapping[str, Sequence[Result]], approaches: Mapping[str, Approach], job: Job):
    """Lays results out as tables.

    Args:
        found: approach name to its results.
        approaches: name to approach.
        job: what they have in common.

    Returns:
        name (of `NAMES`) to DataFrame; every table begins with `KEYS`. Beside them:
        predictions: clip, emotion, predicted; the test clips of each run, in clip order.
        scores: metric (accuracy, uar, recall, best_epoch, validation_accuracy, validation_loss),
            emotion (of recall, else ""), value (fractions from 0 to 1).
        curves: epoch, training_loss, validation_accuracy, validation_loss (nats).
        weights: layer (1 to L), weight (they sum to 1); approaches that train them.
        gates: layer, mean, sd (over dimensions, ddof 0), low, high (extremes) of the factors.
        runs: parameters (trained), training_clips, validation_clips, test_clips.
        times: seconds, device.
    """
    rows: dict[str, list[pd.DataFrame]] = {name: [] for name in NAMES}
    for name, results in found.items():
        for result in results:
            keys = dict(
                zip(
                    KEYS,
                    (
                        job.corpus, job.model, job.scheme, name, result.run.direction,
                        result.run.stage, result.run.fraction, result.run.domain, result.run.seed,
                    ),
                    strict=True,
                )
            )  # fmt: skip
            for table, frame in _one(result, approaches[name], job).items():
                for place, (key, value) in enumerate(keys.items()):
                    frame.insert(place, key, value)
                rows[table].append(frame)
    return {
        name: pd.concat(frames, ignore_index=True) if frames else _EMPTY[name]
        for name, frames in rows.items()
    }


def tensors(found: Mapping[str, Sequence[Result]]) -> dict[str, np.ndarray]:
    """Returns every trained tensor of the runs on all training clips, for one checkpoint.

    Names: <approach>/<direction>/<stage>/<seed>/<tensor>.
    """
    return {
        f"{name}/{r.run.direction}/{r.run.stage}/{r.run.seed}/{tensor}": values
        for name, results in found.items()
        for r in results
        if r.run.fraction == WHOLE
        for tensor, values in r.tensors.items()
    }


def _one(result: Result, approach: Approach, job: Job) -> dict[str, pd.DataFrame]:
    """Returns the tables of one run, without its keys."""
    arranged = job.arranged[result.run.domain]
    clips = stages.clips_of(arranged, result.run)
    names = np.array(job.labels, dtype=object)
    truth = arranged.emotions[clips.test]
    counts = scores.confusion(truth, result.predicted, n_classes=len(names))
    recall = scores.recall(counts)
    metrics = [
        ("accuracy", "", scores.accuracy(counts)),
        ("uar", "", scores.uar(counts)),
        *(("recall", label, value) for label, value in zip(names, recall, strict=True)),
        ("best_epoch", "", result.best_epoch),
        ("validation_accuracy", "", result.validation_accuracy),
        ("validation_loss", "", result.validation_loss),
    ]
    curves = pd.DataFrame(result.curves, columns=list(CURVES))
    curves.insert(0, "epoch", np.arange(1, len(curves) + 1))
    found = {
        # Clips are sorted by name in `Arranged`, and so are the rows of a part.
        "predictions": pd.DataFrame(
            {
                "clip": np.array(arranged.clips, dtype=object)[clips.test],
                "emotion": names[truth],
                "predicted": names[result.predicted],
            }
        ),
        "scores": pd.DataFrame(metrics, columns=["metric", "emotion", "value"]).astype(
            {"value": np.float64}
        ),
        "curves": curves,
        "runs": pd.DataFrame(
            {
                "parameters": [result.parameters],
                "training_clips": [len(clips.train)],
                "validation_clips": [len(clips.validation)],
                "test_clips": [len(clips.test)],
            }
        ),
        "times": pd.DataFrame({"seconds": [result.seconds], "device": [result.device]}),
    }
    layers = np.arange(1, job.layers + 1)
    if "layer_weights" in result.tensors:
        logits = result.tensors["layer_weights"].astype(np.float64)
        shares = np.exp(logits - logits.max())
        found["weights"] = pd.DataFrame({"layer": layers, "weight": shares / shares.sum()})
    if "gates" in result.tensors:
        factors = result.tensors["gates"].astype(np.float64)
        if approach.gate.function == "sigmoid":
            factors = 1 / (1 + np.exp(-factors))
        found["gates"] = pd.DataFrame(
            {
                "layer": layers,
                "mean": factors.mean(axis=1),
                "sd": factors.std(axis=1),
                "low": factors.min(axis=1),
                "high": factors.max(axis=1),
            }
        )
    return found


_EMPTY = {
    "weights": pd.DataFrame(columns=[*KEYS, "layer", "weight"]),
    "gates": pd.DataFrame(columns=[*KEYS, "layer", "mean", "sd", "low", "high"]),
}
