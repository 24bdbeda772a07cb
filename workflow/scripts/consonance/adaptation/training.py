"""Training what changes the encoder: the blocks run, what lies below them is cached.

A step's batch is drawn at random, as for clip means, and goes through the blocks in groups of
like length whose gradients add up. The step is that of the whole padded batch, beyond
floating-point noise; padding, and with it the size of the groups, changes time and memory only.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch.nn import functional

from consonance import memory
from consonance.adaptation import checkpoints, results, stages
from consonance.adaptation.front_end import FrontEnd
from consonance.adaptation.modules import AdaptedEncoder
from consonance.adaptation.results import CURVES, Result
from consonance.adaptation.stages import Clips, Run
from consonance.arrangement import Arranged
from consonance.errors import DamagedFileError, InputError

logger = logging.getLogger(__name__)

PROGRESS_SECONDS = 60.0
# Steps before the time of the whole job is estimated.
_STEPS_TO_ESTIMATE = 3
_PARTIAL = ("best", "mean", "square")

_Done = TypeVar("_Done")


@dataclass
class _Progress:
    """Counts clips that were trained on and says how long the rest will take."""

    total: int
    on_cpu: bool
    done: int = 0
    steps: int = 0
    began: float = field(default_factory=time.monotonic)
    said: float = field(default_factory=time.monotonic)

    def step(self, clips: int) -> None:
        """Counts a step."""
        self.done += clips
        self.steps += 1
        now = time.monotonic()
        first = self.steps == _STEPS_TO_ESTIMATE
        if not first and now - self.said < PROGRESS_SECONDS:
            return
        self.said = now
        left = _words((now - self.began) / self.done * (self.total - self.done))
        if first and self.on_cpu:
            logger.warning(
                "There is no GPU for this job: on the CPU it will take about %s. Fewer epochs, "
                "seeds or models under adaptation.approaches make it shorter.", left,
            )  # fmt: skip
        else:
            logger.info("About %s left.", left)


class Trainer:
    """Trains the runs of one approach on one encoder.

    Args:
        model: encoder, parts and head.
        front_end: state 0 of all clips.
        arranged: domain to its clips, whose rows are the clips' numbers in `front_end`.
        labels: names of the classes.
        configuration: everything that the results depend on; a checkpoint of another one is
            refused.
        folder: where finished runs and the state of the current one are kept, so that an
            interrupted job goes on.
        precision: "float32", or "bfloat16" for matrix products (a GPU's mixed precision);
            parameters, optimiser and losses stay in float32.
        batch_seconds: most seconds of audio in one group, padding included; halved where a GPU's
            memory does not suffice.
        save_seconds: least time between two savings of the current run.
    """

    def __init__(
        self,
        model: AdaptedEncoder,
        front_end: FrontEnd,
        arranged: Mapping[str, Arranged],
        *,
        labels: Sequence[str],
        configuration: Mapping[str, Any],
        folder: Path,
        precision: str,
        batch_seconds: float,
        save_seconds: float,
    ) -> None:
        self.model = model
        self.front_end = front_end
        self.arranged = arranged
        self.labels = labels
        self.configuration = configuration
        self.folder = folder
        self.precision = precision
        self.most_rows = batch_seconds * model.encoder.frames_per_second
        self.save_seconds = save_seconds
        self.device = model.encoder.device

    def train(self, runs: Sequence[Run]) -> list[Result]:
        """Trains every run, or takes it from the folder if it is finished there.

        AdamW minimises the mean cross-entropy of each batch; the epoch with the highest
        validation accuracy is kept, among equals the one with the lowest validation loss, then the
        earliest; the test clips are predicted once, with it.

        Args:
            runs: each after the one that it starts from (`stages.plan`).

        Raises:
            InputError: a loss that is not finite, or a checkpoint of another configuration.
        """
        settings = self.model.approach.training
        clips = {run: stages.clips_of(self.arranged[run.domain], run) for run in runs}
        progress = _Progress(
            total=settings.epochs * sum(len(own.train) for own in clips.values()),
            on_cpu=self.device.type == "cpu",
        )
        done: dict[Run, Result] = {}
        for run in runs:
            path = self.folder / f"{run.name}.safetensors"
            finished = _unless_damaged(
                path, partial(results.read, run=run, configuration=self.configuration)
            )
            if finished is not None:
                done[run] = finished
                progress.total -= settings.epochs * len(clips[run].train)
                logger.info("%s was finished before.", run.name)
                continue
            start = None if run.start is None else done[run.start].tensors
            done[run] = self._run(run, clips[run], start, progress)
            results.write(path, done[run], configuration=self.configuration)
            self._partial(run).unlink(missing_ok=True)
        return [done[run] for run in runs]

    def predict(self, domain: str, rows: np.ndarray) -> torch.Tensor:
        """Returns the logits (rows, classes) of clips of a domain, batched, without gradients."""
        numbers = self.arranged[domain].rows[rows]
        place = {number: index for index, number in enumerate(numbers)}
        logits = torch.empty(len(rows), len(self.labels), device=self.device)

        def fill(groups: Sequence[np.ndarray]) -> None:
            for group in groups:
                logits[[place[number] for number in group]] = self._logits(group)

        with torch.no_grad():
            self._in_groups(numbers, fill)
        return logits.float().cpu()

    def _in_groups(
        self, numbers: np.ndarray, work: Callable[[Sequence[np.ndarray]], _Done]
    ) -> _Done:
        """Calls `work` with clips in groups; again with smaller ones where a GPU's memory ends."""
        while True:
            groups = self.front_end.by_length(numbers, most_rows=self.most_rows)
            widest = max(self.front_end.padded(group) for group in groups)
            try:
                return work(groups)
            except memory.Exhausted as error:
                if max(len(group) for group in groups) == 1:
                    seconds = widest / self.model.encoder.frames_per_second
                    raise memory.too_long(seconds, model=self.model.encoder.name) from error
            self.most_rows = min(self.most_rows, widest) / 2
            memory.release(self.most_rows / self.model.encoder.frames_per_second)

    def _partial(self, run: Run) -> Path:
        return self.folder / f"{run.name}.partial.safetensors"

    def _logits(self, numbers: np.ndarray) -> torch.Tensor:
        """Runs one group of clips through the model."""
        batch = self.front_end.batch(numbers)
        mixed = self.precision != "float32"
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=mixed):
            return self.model(batch.hidden, batch.counts, batch.shares)

    def _run(
        self, run: Run, clips: Clips, start: Mapping[str, np.ndarray] | None, progress: _Progress
    ) -> Result:
        """Trains one run from its start, or from where it was interrupted."""
        began = time.perf_counter()
        model, settings = self.model, self.model.approach.training
        if start is None:
            model.reset(seed=run.seed, initial_scale=settings.initial_scale)
        else:
            model.load(start)
        # The optimiser starts anew in every stage: no moments, no steps.
        optimiser = torch.optim.AdamW(
            model.trained.values(),
            lr=settings.learning_rate,
            betas=settings.betas,
            eps=settings.epsilon,
            weight_decay=settings.weight_decay,
        )
        curves = np.full((settings.epochs, len(CURVES)), np.nan)
        best_epoch, best = 0, model.tensors()
        first, before = 1, 0.0
        interrupted = _unless_damaged(
            self._partial(run), partial(checkpoints.read, configuration=self.configuration)
        )
        if interrupted is not None:
            first, best_epoch, best, before = self._resume(*interrupted, optimiser, curves)
            progress.done += (first - 1) * len(clips.train)
            progress.began = time.monotonic()
            progress.total -= progress.done
            progress.done = 0
            logger.info("%s goes on after epoch %d.", run.name, first - 1)
        saved = time.monotonic()
        for epoch in range(first, settings.epochs + 1):
            curves[epoch - 1, 0] = self._epoch(run, clips, epoch, optimiser, progress)
            curves[epoch - 1, 1:] = self._validate(run, clips)
            if not np.isfinite(curves[epoch - 1]).all():
                name = model.approach.name
                raise InputError(
                    f"{name} on model '{model.encoder.name}', {run.direction}, stage {run.stage}, "
                    f"seed {run.seed}: the loss is not finite in epoch {epoch}; lower "
                    f"adaptation.approaches.{name}.learning_rate"
                    + (", or set adaptation.precision to float32." if self.mixed else ".")
                )
            if best_epoch == 0 or _better(curves[epoch - 1], curves[best_epoch - 1]):
                best_epoch, best = epoch, model.tensors()
            if time.monotonic() - saved >= self.save_seconds and epoch < settings.epochs:
                seconds = before + time.perf_counter() - began
                self._save(run, optimiser, curves, epoch, best_epoch, best, seconds)
                saved = time.monotonic()
        model.load(best)
        predicted = self.predict(run.domain, clips.test).argmax(dim=1).numpy()
        return Result(
            run=run,
            predicted=predicted.astype(np.int16),
            curves=curves,
            best_epoch=best_epoch,
            tensors=best,
            seconds=before + time.perf_counter() - began,
            device=_device_name(self.device),
        )

    @property
    def mixed(self) -> bool:
        """Whether matrix products run in half precision."""
        return self.precision != "float32"

    def _epoch(
        self, run: Run, clips: Clips, epoch: int, optimiser: torch.optim.Optimizer, progress
    ) -> float:
        """Makes the steps of one epoch; returns the mean loss of its clips."""
        arranged, size = self.arranged[run.domain], self.model.approach.training.batch_size
        order = stages.order(clips, run, epoch)
        emotion = dict(zip(arranged.rows.tolist(), arranged.emotions.tolist(), strict=True))
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        for begin in range(0, len(order), size):
            numbers = arranged.rows[order[begin : begin + size]]

            def differentiate(groups: Sequence[np.ndarray], clips: int = len(numbers)):
                # From the beginning: a pass that failed has left parts of its gradients.
                optimiser.zero_grad(set_to_none=True)
                losses = torch.zeros((), dtype=torch.float64, device=self.device)
                for group in groups:
                    logits = self._logits(group).float()
                    truth = torch.tensor([emotion[number] for number in group], device=self.device)
                    loss = functional.cross_entropy(logits, truth, reduction="sum")
                    (loss / clips).backward()
                    losses += loss.detach()
                return losses

            total += self._in_groups(numbers, differentiate)
            optimiser.step()
            progress.step(len(numbers))
        return total.item() / len(order)

    def _validate(self, run: Run, clips: Clips) -> tuple[float, float]:
        """Returns accuracy and mean loss on the validation clips."""
        truth = torch.from_numpy(self.arranged[run.domain].emotions[clips.validation])
        logits = self.predict(run.domain, clips.validation).double()
        accuracy = (logits.argmax(dim=1) == truth).double().mean().item()
        return accuracy, functional.cross_entropy(logits, truth).item()

    def _save(
        self,
        run: Run,
        optimiser: torch.optim.Optimizer,
        curves: np.ndarray,
        epoch: int,
        best_epoch: int,
        best: Mapping[str, np.ndarray],
        seconds: float,
    ) -> None:
        """Writes all that the next epoch depends on; the order of clips depends on its number."""
        tensors = {**self.model.tensors(), "result/curves": curves[:epoch]}
        for name, parameter in self.model.trained.items():
            state = optimiser.state[parameter]
            moments = (best[name], state["exp_avg"], state["exp_avg_sq"])
            for kind, value in zip(_PARTIAL, moments, strict=True):
                tensors[f"{kind}/{name}"] = torch.as_tensor(value).cpu().numpy()
            steps = float(state["step"])
        checkpoints.write(
            self._partial(run),
            tensors,
            configuration=self.configuration,
            epoch=epoch,
            steps=steps,
            best_epoch=best_epoch,
            seconds=seconds,
        )

    def _resume(
        self,
        tensors: Mapping[str, np.ndarray],
        facts: Mapping[str, Any],
        optimiser: torch.optim.Optimizer,
        curves: np.ndarray,
    ) -> tuple[int, int, dict[str, np.ndarray], float]:
        """Puts model and optimiser where they were; returns next and best epoch, best, seconds."""
        names = list(self.model.trained)
        self.model.load({name: tensors[name] for name in names})
        curves[: facts["epoch"]] = tensors["result/curves"]
        for name, parameter in self.model.trained.items():
            mean, square = (
                torch.from_numpy(tensors[f"{kind}/{name}"]).to(parameter.device)
                for kind in ("mean", "square")
            )
            optimiser.state[parameter] = {
                "step": torch.tensor(facts["steps"], dtype=torch.float32),
                "exp_avg": mean,
                "exp_avg_sq": square,
            }
        best = {name: tensors[f"best/{name}"] for name in names}
        return facts["epoch"] + 1, facts["best_epoch"], best, facts["seconds"]


def _unless_damaged(path: Path, read: Callable[[Path], Any]) -> Any:
    """Returns what `read` finds in a file of the folder; None if there is none or it is damaged.

    A damaged file is deleted, and the run that it belongs to is trained anew.
    """
    if not path.exists():
        return None
    try:
        return read(path)
    except DamagedFileError as error:
        logger.warning("%s. It was deleted, and what it held is trained anew.", error.found)
        path.unlink()
        return None


def _better(row: np.ndarray, best: np.ndarray) -> bool:
    """Whether an epoch's validation accuracy is higher, or equal with a lower loss."""
    return (row[1], -row[2]) > (best[1], -best[2])


def _device_name(device: torch.device) -> str:
    """Returns the name of a GPU, or "cpu"."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _words(seconds: float) -> str:
    """Returns a duration in words."""
    for unit, size in (("hours", 3600), ("minutes", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} seconds"
