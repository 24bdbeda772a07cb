"""Audio files: what is wrong with them, what they hold, and the same at another rate."""

import logging
import math
import os
import struct
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import soundfile as sf
import soxr

from consonance import files, folders
from consonance.contents import content_hash, new_hash
from consonance.errors import InputError

logger = logging.getLogger(__name__)

# The suffixes that are read, and what libsndfile may call their contents.
FORMATS = {".wav": ("WAV", "WAVEX", "RF64"), ".flac": ("FLAC",)}
FULL_SCALE = 1.0
INDEX_COLUMNS = ("clip", "file", "rate", "samples", "peak", "content")

_BLOCK_FRAMES = 1 << 18  # bounds memory, whatever the length of a recording
_RIFF_ORDER = {b"RIFF": "<", b"RF64": "<", b"RIFX": ">"}
# Programs that write WAV to a pipe cannot know the length, and put the largest they can instead
# (SoX 0x7ffff000 and a little, FFmpeg 0xffffffff).
_STREAMED_BYTES = 0x7FFFF000
# Format tags whose blocks are frames: PCM, float, A-law, mu-law, and the extensible form of these.
_FRAME_TAGS = (1, 3, 6, 7, 0xFFFE)
_FLOAT_TAG = 3
_FLOAT_HEADER = struct.Struct("<4sI4s4sIHHIIHHH4sII4sI")
_LONGEST = 0xFFFFFFFF
_SECONDS_BETWEEN_MESSAGES = 10.0

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Inspection:
    """What one file holds.

    Attributes:
        duration: seconds that could be decoded; NaN if the file could not be opened.
        rate: Hz; None if unknown.
        channels: None if unknown.
        peak: largest absolute sample after mixing down (full scale is 1); NaN if there is none.
        content: `content_hash` of the samples; empty unless the whole file was decoded.
        note: what was noticed and is no reason to refuse the file, or an empty string.
        problems: reasons to refuse it, each as "kind: explanation".
    """

    duration: float = math.nan
    rate: int | None = None
    channels: int | None = None
    peak: float = math.nan
    content: str = ""
    note: str = ""
    problems: tuple[str, ...] = ()


def inspect(
    path: str | os.PathLike[str],
    *,
    minimum_seconds: float,
    silence_peak: float,
    rate_range: Sequence[int],
) -> Inspection:
    """Decodes a whole file once, in blocks, and says what it holds and what is wrong with it.

    The kinds of problems are: `missing`; `unread format` (a suffix other than .wav and .flac);
    `wrong format` (the contents are not what the suffix says); `empty`; `unreadable`; `truncated
    or damaged` (fewer samples than the header says, a WAV file whose data chunk is cut, or data
    that do not decode); `bad rate`; `too short`; `not finite`; `silent`; and `constant`. Several
    channels are mixed down to their mean and noted. A WAV header without a length, as programs
    write into a pipe, is noted too.

    Args:
        path: the file.
        minimum_seconds: a shorter recording is too short.
        silence_peak: a recording is silent if no absolute sample exceeds this; full scale is 1.
        rate_range: lowest and highest sampling rate in Hz that is believed.

    Returns:
        The inspection; no exception is raised for any contents of the file.
    """
    path = Path(path)
    rates = {"low": rate_range[0], "high": rate_range[1]}
    header = None
    try:
        problem = _problem_before_opening(path)
        if problem:
            return Inspection(problems=(problem,))
        header = _wav_header(path)
        with sf.SoundFile(path) as sound:
            return _decode(
                sound,
                path.suffix.lower(),
                header,
                minimum_seconds=minimum_seconds,
                silence_peak=silence_peak,
                **rates,
            )
    except OSError as error:
        return Inspection(problems=(f"unreadable: {error.strerror}",))
    except sf.LibsndfileError as error:
        if header is not None and header.rate is not None:
            wrong = _rate_problem(header.rate, **rates)
            if wrong:  # libsndfile refuses some rates with a message that does not say so
                return Inspection(rate=header.rate, channels=header.channels, problems=(wrong,))
        return Inspection(problems=(f"unreadable: {_message(error)}",))


def read_mono(path: str | os.PathLike[str]) -> tuple[np.ndarray, int]:
    """Reads a recording; several channels are averaged in float64.

    Returns:
        The samples, shape (n,), float32, full scale 1 and never clipped; and the rate in Hz.

    Raises:
        InputError: the file is missing or cannot be decoded to its end.
    """
    try:
        with sf.SoundFile(path) as sound:
            blocks = list(_mono_blocks(sound))
            samples = np.concatenate(blocks) if blocks else np.zeros(0, np.float32)
            return samples, sound.samplerate
    except (OSError, sf.LibsndfileError) as error:
        raise InputError(f"{os.fspath(path)} cannot be read: {_message(error)}.") from error


def resample(samples: np.ndarray, source_rate: int, target_rate: int) -> np.ndarray:
    """Changes the sampling rate with soxr at its best quality (VHQ), and nothing else.

    Level is not changed and nothing is clipped: the interpolated signal may pass full scale where
    the recording comes close to it, which float samples hold. Equal rates return the samples as
    they are.

    Args:
        samples: shape (n,), float32.
        source_rate: Hz.
        target_rate: Hz.

    Returns:
        float32 samples, floor(n * target_rate / source_rate + 1/2) of them.
    """
    samples = np.ascontiguousarray(samples, dtype=np.float32)
    if source_rate == target_rate:
        return samples
    return soxr.resample(samples, source_rate, target_rate, quality="VHQ")


def write_wav(path: str | os.PathLike[str], samples: np.ndarray, rate: int) -> None:
    """Writes a mono WAV file of 32-bit floats: the same bytes for the same samples.

    The header is written here because libsndfile adds a PEAK chunk with the time of day to float
    files.

    Args:
        path: the file to write.
        samples: shape (n,), float32.
        rate: Hz.

    Raises:
        InputError: the samples do not fit into the 4 GiB of a WAV file.
    """
    if samples.ndim != 1:
        raise ValueError(f"Samples must have one dimension, not {samples.ndim}.")
    width = np.dtype("<f4").itemsize
    data_bytes = samples.size * width
    if _FLOAT_HEADER.size + data_bytes > _LONGEST:
        raise InputError(
            f"{os.fspath(path)} would have {data_bytes:,} bytes of samples, and a WAV file holds "
            "less than 4 GiB; cut the recording into parts."
        )
    header = _FLOAT_HEADER.pack(
        *(b"RIFF", _FLOAT_HEADER.size - 8 + data_bytes, b"WAVE"),
        *(b"fmt ", 18, _FLOAT_TAG, 1, rate, rate * width, width, 8 * width, 0),
        *(b"fact", 4, samples.size),
        *(b"data", data_bytes),
    )
    with files.replacing(path) as temporary, temporary.open("wb") as stream:
        stream.write(header)
        stream.write(np.ascontiguousarray(samples, dtype="<f4"))


def resample_shard(
    rows: pd.DataFrame, *, rate: int, folder: str | os.PathLike[str], threads: int
) -> pd.DataFrame:
    """Writes `<folder>/<clip>.wav` at one rate for every row of a shard.

    Samples past full scale are kept and counted in the log. The folder appears when it is complete,
    so that what two processes make at once, after a killed run, is never mixed. A shard without
    rows leaves it empty.

    Args:
        rows: kept rows of a manifest: clip, path and content are used.
        rate: Hz of the files to write.
        folder: the folder to make; it may exist only if it holds no file.
        threads: how many recordings are worked on at once; changes nothing in the results.

    Returns:
        A row per clip, in the order of `rows`: clip; file, the name within `folder`; rate; samples,
        their number; peak, the largest absolute sample; content, the `content_hash` of the written
        samples.

    Raises:
        InputError: naming every recording that cannot be read, or whose samples are not those that
            the manifest was made from; or `folder` holds files already.
    """
    items = list(zip(rows["clip"], rows["path"], rows["content"], strict=True))
    with folders.building(folder) as temporary:
        work = partial(_resample_clip, rate=rate, folder=temporary)
        results = in_threads(work, items, threads=threads, what=f"Resampling to {rate} Hz")
        problems = [result for result in results if isinstance(result, str)]
        if problems:
            raise InputError(problems)
    types = {"clip": str, "file": str, "rate": int, "samples": int, "peak": float, "content": str}
    index = pd.DataFrame(results, columns=list(INDEX_COLUMNS)).astype(types)
    over = index["peak"] > FULL_SCALE
    if over.any():
        logger.info(
            "%s of %s clips pass full scale (largest peak %.3f); kept as they are, as floats.",
            f"{over.sum():,}",
            f"{len(index):,}",
            index["peak"].max(),
        )
    return index


class Progress:
    """Says in the log, every ten seconds and at the end, how far a loop over clips has come.

    Args:
        total: how many clips there are.
        what: the work, to begin the message with.
        clock: returns seconds.
    """

    def __init__(
        self, total: int, *, what: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._total = total
        self._what = what
        self._clock = clock
        self._done = 0
        self._started = self._said = clock()

    def step(self) -> None:
        """Counts one clip, and logs if it is time to."""
        self._done += 1
        now = self._clock()
        if now - self._said < _SECONDS_BETWEEN_MESSAGES and self._done < self._total:
            return
        self._said = now
        rate = self._done / max(now - self._started, 1e-9)
        logger.info(
            "%s: %s of %s clips, %.1f clips/s, %.0f s left.",
            self._what,
            f"{self._done:,}",
            f"{self._total:,}",
            rate,
            (self._total - self._done) / rate,
        )


def in_threads(
    function: Callable[[_Item], _Result], items: Iterable[_Item], *, threads: int, what: str
) -> list[_Result]:
    """Applies a function to every item in a pool of threads, and logs the progress.

    Decoding, hashing and resampling run outside the interpreter's lock, so threads do help.

    Args:
        function: of one item.
        items: for example clips.
        threads: how many at once.
        what: the work, for the log.

    Returns:
        The results in the order of the items. The first exception is raised, and what has not
        begun by then is not begun.
    """
    items = list(items)
    progress = Progress(len(items), what=what)
    results = []
    with ThreadPoolExecutor(threads) as pool:
        try:
            for result in pool.map(function, items):
                results.append(result)
                progress.step()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return results


@dataclass(frozen=True)
class _WavHeader:
    """What a RIFF file says of itself; None where it does not say."""

    rate: int | None = None
    channels: int | None = None
    frame_bytes: int | None = None
    declared_bytes: int | None = None
    present_bytes: int = 0

    @property
    def streamed(self) -> bool:
        """Whether the length was unknown when the header was written."""
        declared = self.declared_bytes
        return (
            declared is not None and declared > self.present_bytes and (declared >= _STREAMED_BYTES)
        )

    @property
    def cut(self) -> bool:
        """Whether the file ends before its samples do."""
        declared = self.declared_bytes
        return declared is not None and declared > self.present_bytes and not self.streamed


def _problem_before_opening(path: Path) -> str:
    if path.suffix.lower() not in FORMATS:
        return (
            f"unread format: the suffix is `{path.suffix}`, only {' and '.join(FORMATS)} files are "
            "read; convert it to one of them"
        )
    if not path.exists():
        return "missing: there is no such file"
    if not path.is_file():
        return "unreadable: it is not a file"
    if path.stat().st_size == 0:
        return "empty: the file has no bytes"
    return ""


def _decode(
    sound: sf.SoundFile,
    suffix: str,
    header: _WavHeader | None,
    *,
    minimum_seconds: float,
    silence_peak: float,
    low: int,
    high: int,
) -> Inspection:
    rate, channels = sound.samplerate, sound.channels
    problems = []
    if sound.format not in FORMATS[suffix]:
        problems.append(
            f"wrong format: the name says {suffix[1:].upper()}, the contents are {sound.format}"
        )
    problems.append(_rate_problem(rate, low=low, high=high))

    digest = new_hash(rate)
    frames = bad = 0
    lowest, highest = math.inf, -math.inf
    error = None
    try:
        for block in _mono_blocks(sound):
            frames += block.size
            digest.update(block)
            bad += int(block.size - np.isfinite(block).sum())
            # fmin and fmax pass over NaN, which `bad` counts.
            lowest = min(lowest, float(np.fmin.reduce(block)))
            highest = max(highest, float(np.fmax.reduce(block)))
    except sf.LibsndfileError as caught:
        error = caught

    damage = _damage(frames, sound.frames, header, error)
    duration = frames / rate
    peak = max(abs(lowest), abs(highest)) if frames else math.nan
    problems.append(damage)
    if frames == 0:
        if not damage:
            problems.append("empty: it has a header and no samples")
    elif not damage:
        if duration < minimum_seconds:
            problems.append(f"too short: it lasts {duration:g} s, less than {minimum_seconds:g} s")
        if bad:
            problems.append(f"not finite: {bad:,} of {frames:,} samples are NaN or infinite")
        elif peak <= silence_peak:
            problems.append(f"silent: no sample exceeds {silence_peak:g} of full scale")
        elif lowest == highest:
            problems.append(f"constant: every sample is {lowest:g}")
    notes = []
    if channels > 1:
        notes.append(f"{channels} channels mixed down")
    if header is not None and header.streamed:
        notes.append("length missing in the header")
    return Inspection(
        duration=duration,
        rate=rate,
        channels=channels,
        peak=peak,
        content="" if damage else digest.hexdigest(),
        note="; ".join(notes),
        problems=tuple(problem for problem in problems if problem),
    )


def _damage(
    frames: int, promised: int, header: _WavHeader | None, error: sf.LibsndfileError | None
) -> str:
    """Says how the decoded samples fall short of what the header promises, if they do."""
    if error is not None:
        return (
            f"truncated or damaged: decoding stopped after {frames:,} samples ({_message(error)})"
        )
    if header is not None and header.cut:
        return (
            f"truncated or damaged: the header promises {header.declared_bytes:,} bytes of "
            f"samples, the file has {header.present_bytes:,}"
        )
    if header is not None and header.frame_bytes and not header.streamed:
        promised = (header.declared_bytes or 0) // header.frame_bytes
    if frames != promised:
        return (
            f"truncated or damaged: the header promises {promised:,} samples, {frames:,} could be "
            "decoded"
        )
    return ""


def _rate_problem(rate: int, *, low: int, high: int) -> str:
    if low <= rate <= high:
        return ""
    return f"bad rate: {rate:,} Hz lies outside {low:,} to {high:,} Hz"


def _wav_header(path: Path) -> _WavHeader | None:
    """Reads the sizes of a RIFF file, because libsndfile silently adapts to what is there.

    Returns:
        None if it is no RIFF file. Chunks after the samples are not looked at.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        start = stream.read(12)
        order = _RIFF_ORDER.get(start[:4])
        if order is None or start[8:12] != b"WAVE":
            return None
        found: dict[str, Any] = {}
        long_bytes = None
        position = 12
        while position + 8 <= size:
            stream.seek(position)
            name, length = struct.unpack(f"{order}4sI", stream.read(8))
            position += 8
            if name == b"data":
                declared = long_bytes if length == _LONGEST and long_bytes else length
                return _WavHeader(**found, declared_bytes=declared, present_bytes=size - position)
            if name == b"ds64" and position + 16 <= size:
                long_bytes = struct.unpack(f"{order}8xQ", stream.read(16))[0]
            if name == b"fmt " and position + 16 <= size:
                tag, channels, rate, width = struct.unpack(f"{order}HHI4xH2x", stream.read(16))
                found = {"rate": rate, "channels": channels}
                found["frame_bytes"] = width if tag in _FRAME_TAGS else None
            position += length + length % 2
        return _WavHeader(**found)


def _mono_blocks(sound: sf.SoundFile) -> Iterator[np.ndarray]:
    """Yields the samples as little-endian float32, shape (n,), channels averaged in float64."""
    while True:
        block = sound.read(_BLOCK_FRAMES, dtype="float32", always_2d=True)
        if not len(block):
            return
        if block.shape[1] == 1:
            mono = block[:, 0]
        else:
            with np.errstate(invalid="ignore"):  # infinite channels of opposite sign give NaN
                mono = block.mean(axis=1, dtype=np.float64)
        yield np.ascontiguousarray(mono, dtype="<f4")


def _message(error: Exception) -> str:
    """Returns what went wrong, without the path and the full stop."""
    text = getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)
    return str(text).removeprefix("Error : ").rstrip(".")


def _resample_clip(item: tuple[str, str, str], *, rate: int, folder: Path) -> tuple | str:
    """Writes one clip; returns its row of the index, or what is wrong with the recording."""
    clip, path, content = item
    try:
        samples, source_rate = read_mono(path)
    except InputError as error:
        return str(error)
    if content_hash(samples, source_rate) != content:
        return (
            f"{path} (clip {clip}) changed since the manifest was made; make the manifest anew by "
            "running the workflow again."
        )
    resampled = resample(samples, source_rate, rate)
    name = f"{clip}.wav"
    write_wav(folder / name, resampled, rate)
    peak = float(np.abs(resampled).max(initial=0.0))
    return clip, name, rate, resampled.size, peak, content_hash(resampled, rate)
