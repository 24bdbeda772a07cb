"""Resampled clips as an encoder takes them: read, checked, prepared, cut into windows."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import numpy as np
import soundfile

from consonance.contents import content_hash
from consonance.encoders import Encoder
from consonance.errors import DamagedFileError, InputError


def header(path: str | os.PathLike[str]) -> "soundfile._SoundFileInfo":
    """Returns what a file's header says: frames, samplerate (Hz), channels.

    Raises:
        DamagedFileError: it cannot be read.
    """
    with _readable(path):
        return soundfile.info(os.fspath(path))


def longest_piece(encoder: Encoder, window_seconds: float) -> int:
    """Returns the samples of a window: `window_seconds`, or what the encoder takes if less."""
    limit = int(window_seconds * encoder.sampling_rate)
    return limit if encoder.maximum_samples is None else min(limit, encoder.maximum_samples)


def pieces(
    path: str | os.PathLike[str], encoder: Encoder, *, content: str, limit: int
) -> Iterator[np.ndarray]:
    """Yields a clip as the encoder takes it, whole or in windows.

    The clip is prepared (normalised, where the model asks for it) as a whole and then cut into
    pieces of equal length without overlap, as few as fit.

    Args:
        path: a mono file at the encoder's sampling rate.
        encoder: whose `prepare` is used.
        content: the `content_hash` of the samples when they were written.
        limit: most samples of a piece.

    Yields:
        float32 samples, shape (n,), n at most `limit`.

    Raises:
        DamagedFileError: the file cannot be read, or holds other samples than were written.
        InputError: it has another rate or more channels than the encoder takes, or is shorter than
            one frame.
    """
    with _readable(path):
        wave, rate = soundfile.read(os.fspath(path), dtype="float32")
    if content_hash(wave, rate) != content:
        raise DamagedFileError(path, "its samples are not those that were written")
    if rate != encoder.sampling_rate or wave.ndim != 1 or len(wave) < encoder.minimum_samples:
        raise InputError(
            f"{os.fspath(path)} has {len(wave)} samples of shape {wave.shape} at {rate} Hz, but "
            f"model '{encoder.name}' takes one channel at {encoder.sampling_rate} Hz and at least "
            f"{encoder.minimum_samples} samples."
        )
    wave = encoder.prepare(wave)
    edges = np.linspace(0, len(wave), -(-len(wave) // limit) + 1).round().astype(int)
    for first, last in pairwise(edges):
        yield wave[first:last]


@contextmanager
def _readable(path: str | os.PathLike[str]) -> Iterator[None]:
    try:
        yield
    except (OSError, soundfile.LibsndfileError) as error:
        raise DamagedFileError(path, f"it cannot be read: {error}".rstrip(".")) from error
