"""State 0 of every clip, computed once: nothing below the first block is ever trained."""

import logging
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from consonance import memory, waves
from consonance.encoders import Encoder
from consonance.errors import InputError

logger = logging.getLogger(__name__)

# A GPU holds the cache itself if this share of its free memory is enough, else the host does.
_GPU_SHARE = 0.3


@dataclass(frozen=True)
class Batch:
    """Clips that go through the blocks together.

    Attributes:
        clips: (n,) their numbers in the cache.
        hidden: (pieces, frames, d) float32, state 0, zero after a piece's end.
        counts: valid frames of every piece.
        shares: (clips, pieces, frames) float32, 1 / (frames of the clip) at its valid frames.
    """

    clips: np.ndarray
    hidden: torch.Tensor
    counts: list[int]
    shares: torch.Tensor


class FrontEnd:
    """State 0 of many clips.

    A clip longer than the window is cut into pieces as extraction does; its mean runs over the
    frames of all of them. The values lie one after the other in a temporary file that is mapped
    into memory, or on the GPU if they fit there.

    Args:
        clips: ids, in the order of the clips' numbers.
        flat: (rows, d) float32, all pieces one after the other.
        pieces: per clip, (first row, rows, valid frames) of each piece.
        device: where batches are wanted.
    """

    def __init__(
        self,
        clips: Sequence[str],
        flat: torch.Tensor,
        pieces: Sequence[Sequence[tuple[int, int, int]]],
        *,
        device: torch.device,
    ) -> None:
        self.clips = list(clips)
        self.flat = flat
        self.pieces = pieces
        self.device = device
        self.rows = np.array([max(rows for _, rows, _ in own) for own in pieces])
        self.many = np.array([len(own) for own in pieces])

    def batch(self, clips: Sequence[int]) -> Batch:
        """Puts clips together."""
        own = [(place, piece) for place, clip in enumerate(clips) for piece in self.pieces[clip]]
        width = max(rows for _, (_, rows, _) in own)
        hidden = self.flat.new_zeros(len(own), width, self.flat.shape[1])
        shares = torch.zeros(len(clips), len(own), width)
        for number, (place, (first, rows, valid)) in enumerate(own):
            hidden[number, :rows] = self.flat[first : first + rows]
            total = sum(v for _, _, v in self.pieces[clips[place]])
            shares[place, number, :valid] = 1 / total
        return Batch(
            clips=np.asarray(clips),
            hidden=hidden.to(self.device, non_blocking=True),
            counts=[valid for _, (_, _, valid) in own],
            shares=shares.to(self.device, non_blocking=True),
        )

    def padded(self, clips: np.ndarray) -> int:
        """Returns the frames of clips put together, padding included."""
        return int(self.many[clips].sum() * self.rows[clips].max())

    def by_length(self, clips: np.ndarray, *, most_rows: float) -> list[np.ndarray]:
        """Divides clips into groups of like length.

        Args:
            clips: numbers of clips.
            most_rows: most frames of a group, padding included; a longer clip is a group of its
                own.
        """
        ordered = clips[np.lexsort((clips, self.rows[clips]))]
        groups: list[list[int]] = []
        pieces = 0
        for clip in ordered:
            together = (pieces + self.many[clip]) * self.rows[clip] <= most_rows
            if groups and together:
                groups[-1].append(clip)
                pieces += self.many[clip]
            else:
                groups.append([clip])
                pieces = self.many[clip]
        return [np.array(group) for group in groups]


def compute(
    recordings: pd.DataFrame,
    encoder: Encoder,
    *,
    window_seconds: float,
    batch_seconds: float,
) -> FrontEnd:
    """Runs the front end over recordings.

    Args:
        recordings: a row per clip with clip (id), path (a mono file at the encoder's sampling rate)
            and content (the `contents.content_hash` of its samples).
        encoder: computes in float32 here, whatever trains later.
        window_seconds: longer clips are cut, as in extraction.
        batch_seconds: most seconds of audio in one pass; halved where a GPU's memory does not
            suffice.

    Raises:
        InputError: a file has another rate or fewer samples than one frame needs, or states are
            not finite.
        DamagedFileError: a file cannot be read, or holds other samples than were written.
    """
    began = time.monotonic()
    limit = waves.longest_piece(encoder, window_seconds)
    clips = recordings["clip"].tolist()
    pieces: list[list[tuple[int, int, int]]] = [[] for _ in clips]
    rows = 0
    with tempfile.TemporaryFile(prefix="state-0-") as stream:
        waiting: list[tuple[int, np.ndarray]] = []

        def encode(batch: list[tuple[int, np.ndarray]]) -> None:
            nonlocal rows, batch_seconds
            longest = max(len(wave) for _, wave in batch) / encoder.sampling_rate
            try:
                with torch.no_grad(), encoder.arithmetic():
                    hidden, counts = encoder.front_end([wave for _, wave in batch])
                values = hidden.float().cpu().numpy()
            except memory.Exhausted as error:
                if len(batch) == 1:
                    raise memory.too_long(longest, model=encoder.name) from error
                values = None
            if values is None:
                batch_seconds = min(batch_seconds, longest * len(batch)) / 2
                memory.release(batch_seconds)
                encode(batch[: len(batch) // 2])
                encode(batch[len(batch) // 2 :])
                return
            # Zeros after a clip's end are not kept, unless they are part of the input (Whisper).
            padded = encoder.attention_mask([1] * len(counts), values.shape[1]) is not None
            for (number, _), count, value in zip(batch, counts, values, strict=True):
                kept = value[:count] if padded else value
                if not np.isfinite(kept).all():
                    raise InputError(
                        f"Clip '{clips[number]}': model '{encoder.name}' gives values that are not "
                        "finite in state 0; check the recording and the weights."
                    )
                stream.write(np.ascontiguousarray(kept, dtype=np.float32).tobytes())
                pieces[number].append((rows, len(kept), count))
                rows += len(kept)

        for number, wave in _pieces(recordings, encoder, limit):
            longest = max(len(wave), *(len(w) for _, w in waiting)) if waiting else len(wave)
            if waiting and longest * (len(waiting) + 1) > batch_seconds * encoder.sampling_rate:
                encode(waiting)
                waiting = []
            waiting.append((number, wave))
        if waiting:
            encode(waiting)
        stream.flush()
        # Copy-on-write: nothing is written, but torch asks for writable memory.
        mapped = np.memmap(stream, dtype=np.float32, mode="c", shape=(rows, encoder.dim))
    flat = torch.from_numpy(mapped)
    if encoder.device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(encoder.device)
        if flat.numel() * flat.element_size() < _GPU_SHARE * free:
            flat = flat.to(encoder.device)
    logger.info(
        "State 0 of %d clips (%.2f GB) in %.1f s.",
        len(clips), rows * encoder.dim * 4 / 1e9, time.monotonic() - began,
    )  # fmt: skip
    return FrontEnd(clips, flat, pieces, device=encoder.device)


def _pieces(
    recordings: pd.DataFrame, encoder: Encoder, limit: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Yields the number of every clip with each of its pieces."""
    for number, row in enumerate(recordings.itertuples()):
        for wave in waves.pieces(row.path, encoder, content=row.content, limit=limit):
            yield number, wave
