"""Stored predictions of the probes: which test clip was recognised, in which seed and layer.

What intervals, comparisons and checks of claims start from; none of them trains anything again.
"""

import os
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from consonance import tables
from consonance.errors import InputError


@dataclass(frozen=True)
class Tested:
    """The test results of one model in one domain and split scheme.

    Attributes:
        model: its name.
        domain: its domain.
        scheme: its split scheme.
        seeds: (S,) the seeds.
        layers: (L,) the states.
        clips: (n,) clip ids tested in at least one seed, sorted.
        emotions: (n,) the emotion of each clip as an index.
        n_emotions: E, the number of emotions of the experiment.
        tested: (S, n) bool, whether the clip is in the test part of the seed.
        correct: (S, L, n) bool, whether it was recognised; False where it was not tested.
    """

    model: str
    domain: str
    scheme: str
    seeds: tuple[int, ...]
    layers: tuple[int, ...]
    clips: tuple[str, ...]
    emotions: np.ndarray
    n_emotions: int
    tested: np.ndarray
    correct: np.ndarray

    @property
    def key(self) -> tuple[str, str, str]:
        """Model, domain and scheme."""
        return self.model, self.domain, self.scheme

    def only(self, clips: Sequence[str]) -> "Tested":
        """Returns the results on some of the clips."""
        keep = np.isin(np.asarray(self.clips, dtype=object), list(clips))
        return self._taken(clips=keep)

    def of_seeds(self, seeds: Sequence[int]) -> "Tested":
        """Returns the results of some of the seeds, in the order given."""
        rows = [self.seeds.index(seed) for seed in seeds]
        part = Tested(
            **{
                **self.__dict__,
                "seeds": tuple(seeds),
                "tested": self.tested[rows],
                "correct": self.correct[rows],
            }
        )
        return part._taken(clips=part.tested.any(axis=0))

    def _taken(self, *, clips: np.ndarray) -> "Tested":
        return Tested(
            **{
                **self.__dict__,
                "clips": tuple(np.asarray(self.clips, dtype=object)[clips]),
                "emotions": self.emotions[clips],
                "tested": self.tested[:, clips],
                "correct": self.correct[:, :, clips],
            }
        )


def read(path: str | os.PathLike[str], *, model: str, scheme: str, probe: str = "") -> pd.DataFrame:
    """Reads the predictions of one probe set and says whose they are.

    Args:
        path: CSV with the columns seed, layer, clip, emotion, predicted.
        model: becomes the column model.
        scheme: becomes the column scheme.
        probe: becomes the column probe, if given.

    Returns:
        The predictions with those columns in front.

    Raises:
        InputError: if a column is missing.
    """
    text = ["clip", "emotion", "predicted"]
    frame = pd.read_csv(path, dtype=dict.fromkeys(text, str), keep_default_na=False)
    tables.require(frame, ["seed", "layer", *text], what=f"predictions ({path})")
    labels = {"model": model, "scheme": scheme} | ({"probe": probe} if probe else {})
    return pd.concat([pd.DataFrame(labels, index=frame.index), frame], axis=1)


def gather(
    paths: Sequence[str | os.PathLike[str]], whose: Sequence[Mapping[str, str]]
) -> pd.DataFrame:
    """Reads the predictions of several probe sets into one table.

    Args:
        paths: as for `read`.
        whose: for each path the arguments model and scheme of `read`.
    """
    parts = [read(path, **names) for path, names in zip(paths, whose, strict=True)]
    return pd.concat(parts, ignore_index=True)


def arrange(
    predictions: pd.DataFrame, manifest: pd.DataFrame, *, emotions: Sequence[str]
) -> dict[tuple[str, str, str], Tested]:
    """Brings predictions into arrays, checked against the manifest.

    Args:
        predictions: columns model, scheme, seed, layer, clip, emotion, predicted.
        manifest: the kept clips; columns clip, domain, emotion.
        emotions: the emotions of the experiment, in order.

    Returns:
        (model, domain, scheme) to `Tested`, in order of first appearance.

    Raises:
        InputError: naming every model, domain and scheme whose predictions do not fit the
            manifest or the emotions, repeat a clip, or lack a clip in some layers.
    """
    columns = ["model", "scheme", "seed", "layer", "clip", "emotion", "predicted"]
    tables.require(predictions, columns, what="intervals and comparisons of predictions")
    tables.require(manifest, ["clip", "domain", "emotion"], what="the manifest")
    known = manifest.set_index("clip")
    domain = predictions["clip"].map(known["domain"])
    truth = predictions["clip"].map(known["emotion"])
    problems = []
    if (missing := domain.isna()).any():
        problems.append(
            f"{missing.sum()} predictions are of clips that the manifest does not keep, the first "
            f"is '{predictions['clip'][missing].iloc[0]}'; they were made under another "
            "configuration, so train the probes again."
        )
    if (other := ~missing & (truth != predictions["emotion"])).any():
        row = predictions[other].iloc[0]
        problems.append(
            f"{other.sum()} predictions name another emotion than the manifest, the first is clip "
            f"'{row['clip']}' ({row['emotion']} instead of {truth[other].iloc[0]}); they were made "
            "under another configuration, so train the probes again."
        )
    for column in ("emotion", "predicted"):
        strange = sorted(set(predictions[column]) - set(emotions))
        if strange:
            problems.append(
                f"The predictions contain {column} {', '.join(map(repr, strange))}, which is not "
                f"among the emotions of the configuration ({', '.join(emotions)}); they were made "
                "under another configuration, so train the probes again."
            )
    if problems:
        raise InputError(problems)
    found = {}
    for (model, scheme, name), part in predictions.groupby(
        ["model", "scheme", domain.rename("domain")], sort=False
    ):
        made = _arranged(part, known["emotion"], emotions, (model, name, scheme))
        if isinstance(made, Tested):
            found[made.key] = made
        else:
            problems.append(made)
    if problems:
        raise InputError(problems)
    return found


def _arranged(
    part: pd.DataFrame, emotion_of: pd.Series, emotions: Sequence[str], key: tuple[str, str, str]
) -> Tested | str:
    """Returns the arrays of one probe set, or what is wrong with it."""
    what = f"The predictions of {key[0]} on {key[1]} ({key[2]} split)"
    seed, seeds = pd.factorize(part["seed"], sort=True)
    layer, layers = pd.factorize(part["layer"], sort=True)
    clip, clips = pd.factorize(part["clip"], sort=True)
    shape = (len(seeds), len(layers), len(clips))
    cell = np.ravel_multi_index((seed, layer, clip), shape)
    present = np.bincount(cell, minlength=np.prod(shape)).reshape(shape)
    if present.max() > 1:
        return f"{what} hold the same clip more than once in a seed and layer; give them once."
    tested = present.any(axis=1)
    if (present != tested[:, None]).any():
        return f"{what} lack clips in some layers; train the probes again."
    correct = np.zeros(shape, dtype=bool)
    correct.flat[cell] = (part["emotion"] == part["predicted"]).to_numpy()
    codes = {emotion: code for code, emotion in enumerate(emotions)}
    return Tested(
        *key,
        seeds=tuple(int(value) for value in seeds),
        layers=tuple(int(value) for value in layers),
        clips=tuple(clips),
        emotions=np.array([codes[emotion_of[name]] for name in clips]),
        n_emotions=len(emotions),
        tested=tested,
        correct=correct,
    )


def same_splits(results: Sequence[Tested]) -> list[str]:
    """Checks that models were tested on the same clips in every domain and scheme.

    Args:
        results: of any models, domains and schemes.

    Returns:
        A sentence for every model whose test clips are not those of the first model.
    """
    reference: dict[tuple[str, str], Tested] = {}
    problems = []
    for each in results:
        first = reference.setdefault((each.domain, each.scheme), each)
        if (
            first.seeds != each.seeds
            or first.clips != each.clips
            or (first.tested != each.tested).any()
        ):
            problems.append(
                f"{each.model} and {first.model} were tested on different clips of {each.domain} "
                f"({each.scheme} split); one of them was made under another configuration, so "
                "train the probes again."
            )
    return problems


def chosen_layers(
    scores: pd.DataFrame,
    *,
    model: str,
    domain: str,
    scheme: str,
    candidates: Sequence[int] | None = None,
) -> dict[Hashable, int]:
    """Chooses a layer for every seed by its validation accuracy, never by its test clips.

    Ties are broken as for epochs: the lowest validation loss, then the lowest layer. State 0, the
    encoder's input, is never chosen.

    Args:
        scores: probe scores with the metrics validation_accuracy and validation_loss.
        model: whose layers.
        domain: where.
        scheme: of the splits.
        candidates: the layers to choose from; None for all from 1 on.

    Returns:
        seed to layer.

    Raises:
        InputError: if there is no validation accuracy to choose by.
    """
    needed = ["model", "domain", "scheme", "seed", "layer", "metric", "value"]
    tables.require(scores, needed, what="the choice of a layer")
    part = scores[
        (scores["model"] == model)
        & (scores["domain"] == domain)
        & (scores["scheme"] == scheme)
        & (scores["layer"] >= 1)
    ]
    if candidates is not None:
        part = part[part["layer"].isin(list(candidates))]
    wide = part[part["metric"].isin(["validation_accuracy", "validation_loss"])].pivot_table(
        index=["seed", "layer"], columns="metric", values="value"
    )
    if not {"validation_accuracy", "validation_loss"} <= set(wide.columns):
        raise InputError(
            f"The scores of {model} on {domain} ({scheme} split) hold no validation accuracy and "
            "loss, so no layer can be chosen; train the probes again."
        )
    order = wide.reset_index().sort_values(
        ["seed", "validation_accuracy", "validation_loss", "layer"],
        ascending=[True, False, True, True],
    )
    best = order.drop_duplicates("seed")
    return dict(zip(best["seed"].tolist(), best["layer"].tolist(), strict=True))
