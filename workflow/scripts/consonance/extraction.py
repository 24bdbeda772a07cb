"""One pass over a shard's clips: the mean of every clip in every state, and moments per cell."""

import logging
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from consonance import memory, waves
from consonance.accumulation import Accumulator
from consonance.encoders.base import Encoder
from consonance.errors import DamagedFileError, InputError
from consonance.files import write_npz
from consonance.moments import Cell, MomentsWriter

logger = logging.getLogger(__name__)

COLUMNS = ("clip", "path", "content", "domain", "emotion", "fold")
# Frames gathered before a product in float64: large enough for the product to run at full speed
# (the product of 768 dimensions gains nothing beyond), small enough for memory: 13 states of 768
# dimensions in float32 are 82 MB.
BUFFER_FRAMES = 2048
# Clips read ahead of the computation.
READ_AHEAD = 8
PROGRESS_SECONDS = 20.0


@dataclass(frozen=True)
class _Clip:
    """A clip of the shard: its row, file and length."""

    row: int
    name: str
    path: Path
    content: str
    samples: int


@dataclass(frozen=True)
class _Piece:
    """A clip, or one window of a long one, prepared for the encoder."""

    row: int
    wave: np.ndarray


def extract_shard(
    rows: pd.DataFrame,
    encoder: Encoder,
    *,
    means_path: Path | str,
    moments_path: Path | str,
    batch_seconds: float,
    window_seconds: float,
    long_clips: str,
    threads: int,
) -> dict[str, Any]:
    """Computes and writes a shard's clip means and frame moments.

    The mean of a clip runs over its valid frames, in float64. A clip longer than the window (or
    than the encoder takes) is normalised as a whole and cut into windows of equal length without
    overlap, as few as fit; its mean runs over the frames of all of them. All other clips give
    the result that they give alone, whatever the batches.

    Args:
        rows: a row per clip with clip (id), path (a mono file at the encoder's sampling rate),
            content (the `contents.content_hash` of its samples), domain, emotion and fold.
        encoder: the model.
        means_path: the `.npz` with clip, means (n, states, dim) float32 and frames (n,), in the
            order of `rows`.
        moments_path: the moments file, per (domain, emotion, fold) and state.
        batch_seconds: most seconds of audio in one batch, padding included; 0 is one clip at a
            time, which is fastest on a CPU.
        window_seconds: length of a window.
        long_clips: "window" or "refuse".
        threads: for torch on the CPU.

    Returns:
        What was done: clips, frames, audio_seconds, seconds, batch_seconds (as it was at the
        end: it is halved when a GPU's memory does not suffice).

    Raises:
        InputError: clips that cannot be read, have another rate, more than one channel, are too
            short for one frame, or too long under "refuse" (all of them, before any computing);
            states that are not finite.
        DamagedFileError: files that cannot be read or hold other samples than were written, and
            nothing else is wrong.
    """
    if long_clips not in ("window", "refuse"):
        raise InputError(f"long_clips is '{long_clips}'; use window or refuse.")
    limit = waves.longest_piece(encoder, window_seconds)
    if limit < encoder.minimum_samples:
        raise InputError(
            f"window_seconds is {window_seconds}, too short for one frame of model "
            f"'{encoder.name}'."
        )
    clips = _inspect(rows, encoder, limit if long_clips == "refuse" else None)
    started = time.monotonic()
    means = np.zeros((len(rows), encoder.n_states, encoder.dim), dtype=np.float32)
    frames = np.zeros(len(rows), dtype=np.int64)
    with (
        _threads(threads),
        MomentsWriter(moments_path, states=encoder.n_states, dim=encoder.dim) as writer,
    ):
        run = _Run(encoder, batch_samples=int(batch_seconds * encoder.sampling_rate))
        progress = _Progress(encoder, clips)
        # Longest last within a cell: the clips of a batch are of like length.
        cells = {
            Cell(str(domain), str(emotion), int(fold)): sorted(
                (clips[row] for row in index), key=lambda clip: (clip.samples, clip.name)
            )
            for (domain, emotion, fold), index in rows.reset_index(drop=True)
            .groupby(["domain", "emotion", "fold"], sort=True)
            .indices.items()
        }
        ordered = [clip for members in cells.values() for clip in members]
        with _read_ahead(ordered, encoder, limit) as pieces:
            for cell, members in cells.items():
                moments, cell_means, cell_frames = run.cell(pieces, members, progress)
                _check_finite(cell_means, rows, encoder)
                writer.add(cell, moments, clips=len(members))
                for row, mean in cell_means.items():
                    means[row] = mean
                    frames[row] = cell_frames[row]
    names = np.array([str(name) for name in rows["clip"]], dtype=np.str_)
    write_npz({"clip": names, "means": means, "frames": frames}, means_path)
    seconds = time.monotonic() - started
    summary = {
        "clips": len(rows),
        "frames": int(frames.sum()),
        "audio_seconds": sum(clip.samples for clip in clips) / encoder.sampling_rate,
        "seconds": seconds,
        "batch_seconds": run.batch_samples / encoder.sampling_rate,
    }
    logger.info(
        "%d clips of %s in %.1f s: %.1f seconds of audio per second",
        len(rows),
        encoder.name,
        seconds,
        summary["audio_seconds"] / max(seconds, 1e-9),
    )
    return summary


class _Run:
    """The encoder, its accumulator and the size of its batches."""

    def __init__(self, encoder: Encoder, *, batch_samples: int) -> None:
        self.encoder = encoder
        self.batch_samples = batch_samples
        self.accumulator = Accumulator(
            states=encoder.n_states,
            dim=encoder.dim,
            capacity=BUFFER_FRAMES,
            device=encoder.device,
        )

    def cell(
        self, pieces: Iterator[_Piece | None], members: Sequence[_Clip], progress: "_Progress"
    ) -> tuple[list, dict[int, np.ndarray], dict[int, int]]:
        """Runs the pieces of one cell; a None in the stream ends every clip."""
        self.accumulator.reset()
        batch: list[_Piece] = []
        done = 0
        while done < len(members):
            piece = next(pieces)
            if piece is None:
                progress.step(members[done])
                done += 1
                continue
            longest = max(len(p.wave) for p in [*batch, piece])
            if batch and longest * (len(batch) + 1) > self.batch_samples:
                self._encode(batch)
                batch = []
            batch.append(piece)
        if batch:
            self._encode(batch)
        return self.accumulator.finish()

    def _encode(self, batch: Sequence[_Piece]) -> None:
        """Encodes a batch; where a GPU's memory does not suffice, in halves, from then on."""
        try:
            states, counts = self.encoder.states([piece.wave for piece in batch])
        except memory.Exhausted as error:
            if len(batch) == 1:
                seconds = len(batch[0].wave) / self.encoder.sampling_rate
                raise memory.too_long(seconds, model=self.encoder.name) from error
        else:
            if len(states) != self.encoder.n_states:
                raise InputError(
                    f"Model '{self.encoder.name}' gave {len(states)} states instead of "
                    f"{self.encoder.n_states}."
                )
            self.accumulator.add(states, counts, [piece.row for piece in batch])
            return
        self.batch_samples = (
            min(self.batch_samples, max(len(p.wave) for p in batch) * len(batch)) // 2
        )
        memory.release(self.batch_samples / self.encoder.sampling_rate)
        half = len(batch) // 2
        self._encode(batch[:half])
        self._encode(batch[half:])


class _Progress:
    """Logs clips per second and the time left, by audio seconds, every few seconds."""

    def __init__(self, encoder: Encoder, clips: Sequence[_Clip]) -> None:
        self.name = encoder.name
        self.total_clips = len(clips)
        self.total_samples = sum(clip.samples for clip in clips)
        self.clips = 0
        self.samples = 0
        self.started = self.logged = time.monotonic()

    def step(self, clip: _Clip) -> None:
        """Counts a clip."""
        self.clips += 1
        self.samples += clip.samples
        now = time.monotonic()
        if now - self.logged >= PROGRESS_SECONDS:
            self.logged = now
            passed = now - self.started
            logger.info(
                "%s: %d of %d clips, %.2f clips/s, about %.0f s left",
                self.name,
                self.clips,
                self.total_clips,
                self.clips / passed,
                passed * (self.total_samples / self.samples - 1),
            )


def _inspect(rows: pd.DataFrame, encoder: Encoder, longest: int | None) -> list[_Clip]:
    """Reads the headers of all files and raises one `InputError` for all that do not fit."""
    absent = [column for column in COLUMNS if column not in rows.columns]
    if absent:
        raise InputError(f"The table of clips lacks the columns {', '.join(absent)}.")
    problems = [
        f"Clip '{clip}' is listed more than once."
        for clip in rows["clip"][rows["clip"].duplicated()]
    ]
    clips, damaged = [], []
    columns = (rows[column] for column in ("clip", "path", "content"))
    for row, (name, path, content) in enumerate(zip(*columns, strict=True)):
        try:
            header = waves.header(path)
        except DamagedFileError as error:
            damaged.append(error)
            continue
        clips.append(_Clip(row, str(name), Path(path), str(content), header.frames))
        seconds = header.frames / header.samplerate
        if header.samplerate != encoder.sampling_rate or header.channels != 1:
            problems.append(
                f"Clip '{name}': {path} has {header.channels} channel(s) at {header.samplerate} "
                f"Hz, but model '{encoder.name}' takes one at {encoder.sampling_rate} Hz."
            )
        elif header.frames < encoder.minimum_samples:
            problems.append(
                f"Clip '{name}': {path} lasts {seconds:.4f} s, but model '{encoder.name}' needs "
                f"{encoder.minimum_samples / encoder.sampling_rate:.4f} s for one frame; exclude "
                "the clip."
            )
        elif longest is not None and header.frames > longest:
            problems.append(
                f"Clip '{name}': {path} lasts {seconds:.1f} s, more than the "
                f"{longest / encoder.sampling_rate:.1f} s of a window; exclude the clip, make "
                "window_seconds larger, or set long_clips to window."
            )
    if problems:
        raise InputError([*problems, *(str(error) for error in damaged)])
    if damaged:
        logger.error("%d of %d files cannot be read.", len(damaged), len(rows))
        raise damaged[0]
    return clips


def _pieces(clip: _Clip, encoder: Encoder, limit: int) -> Iterator[_Piece | None]:
    """Reads a clip and yields it, or its windows, and then None."""
    for wave in waves.pieces(clip.path, encoder, content=clip.content, limit=limit):
        yield _Piece(clip.row, wave)
    yield None


@contextmanager
def _read_ahead(
    clips: Sequence[_Clip], encoder: Encoder, limit: int
) -> Iterator[Iterator[_Piece | None]]:
    """Yields the pieces of the clips, read by a thread that keeps a few clips ahead."""
    filled: queue.Queue[list[_Piece | None] | BaseException] = queue.Queue(maxsize=READ_AHEAD)
    stop = threading.Event()

    def put(item: list[_Piece | None] | BaseException) -> None:
        while not stop.is_set():
            try:
                filled.put(item, timeout=0.2)
                return
            except queue.Full:
                continue

    def read() -> None:
        try:
            for clip in clips:
                if stop.is_set():
                    return
                put(list(_pieces(clip, encoder, limit)))
        except BaseException as error:  # handed to the thread that waits for the clip
            put(error)

    def stream() -> Iterator[_Piece | None]:
        for _ in clips:
            item = filled.get()
            if isinstance(item, BaseException):
                raise item
            yield from item

    thread = threading.Thread(target=read, name="read ahead", daemon=True)
    thread.start()
    try:
        yield stream()
    finally:
        stop.set()
        thread.join()


def _check_finite(means: dict[int, np.ndarray], rows: pd.DataFrame, encoder: Encoder) -> None:
    """Raises `InputError` where a clip's mean, hence one of its frames, is not finite."""
    problems = []
    for row, mean in means.items():
        states = np.flatnonzero(~np.isfinite(mean).all(axis=1))
        if len(states):
            problems.append(
                f"Clip '{rows['clip'].iloc[row]}': model '{encoder.name}' gives values that are "
                f"not finite in state {', '.join(map(str, states))}. Check the recording and the "
                "weights; with float16, use bfloat16 or float32."
            )
    if problems:
        raise InputError(problems)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Sets the number of torch's CPU threads for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
