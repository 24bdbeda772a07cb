"""What a run leaves behind, whichever way it was trained, and how it is stored."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from consonance.adaptation import checkpoints
from consonance.adaptation.stages import Run

CURVES = ("training_loss", "validation_accuracy", "validation_loss")
_OWN = ("result/curves", "result/predicted")


@dataclass(frozen=True)
class Result:
    """The outcome of one run.

    Attributes:
        run: which.
        predicted: (test clips,) int16, in the order of the run's test clips.
        curves: (epochs, 3) float64: mean training loss over the epoch's steps (nats), validation
            accuracy and validation loss after it.
        best_epoch: the epoch kept, from 1.
        tensors: every trained tensor at that epoch, float32.
        seconds: of training and testing.
        device: where, in words.
    """

    run: Run
    predicted: np.ndarray
    curves: np.ndarray
    best_epoch: int
    tensors: Mapping[str, np.ndarray]
    seconds: float
    device: str

    @property
    def validation_accuracy(self) -> float:
        """At the epoch kept."""
        return float(self.curves[self.best_epoch - 1, 1])

    @property
    def validation_loss(self) -> float:
        """At the epoch kept."""
        return float(self.curves[self.best_epoch - 1, 2])

    @property
    def parameters(self) -> int:
        """Number of trained parameters."""
        return sum(tensor.size for tensor in self.tensors.values())


def write(path: Path | str, result: Result, *, configuration: Mapping[str, Any]) -> None:
    """Writes one run's result as a checkpoint."""
    own = dict(zip(_OWN, (result.curves, result.predicted), strict=True))
    checkpoints.write(
        path,
        {**result.tensors, **own},
        configuration=configuration,
        best_epoch=result.best_epoch,
        seconds=result.seconds,
        device=result.device,
    )


def read(path: Path | str, run: Run, *, configuration: Mapping[str, Any]) -> Result:
    """Reads one run's result; see `checkpoints.read` for what it refuses."""
    tensors, facts = checkpoints.read(path, configuration=configuration)
    curves, predicted = (tensors.pop(name) for name in _OWN)
    return Result(
        run=run,
        predicted=predicted,
        curves=curves,
        tensors=tensors,
        **{key: facts[key] for key in ("best_epoch", "seconds", "device")},
    )
