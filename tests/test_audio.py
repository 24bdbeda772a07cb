"""Audio files: every way in which one can be bad, and the same signal at another rate."""

import hashlib
import logging
import struct
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import wavfile

from consonance import audio
from consonance.contents import content_hash
from consonance.errors import InputError

RATE = 16000
SETTINGS = {"minimum_seconds": 0.025, "silence_peak": 3.1e-5, "rate_range": [4000, 384000]}


def noise(samples: int = RATE, *, channels: int = 1, seed: int = 0) -> np.ndarray:
    """Noise on the grid of 16-bit samples, far from full scale."""
    shape = (samples,) if channels == 1 else (samples, channels)
    integers = np.random.default_rng(seed).integers(-8000, 8000, shape)
    return (integers / 32768).astype(np.float32)


def tone(frequency: float, rate: int, *, seconds: float = 1.0, peak: float = 0.5) -> np.ndarray:
    return peak * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)


def save(path: Path, samples: np.ndarray, rate: int = RATE, **options) -> Path:
    options.setdefault("subtype", "PCM_16")
    sf.write(path, samples, rate, **options)
    return path


def changed(path: Path, offset: int, form: str, value: int) -> Path:
    """Overwrites a number in a file."""
    data = bytearray(path.read_bytes())
    struct.pack_into(form, data, offset, value)
    path.write_bytes(data)
    return path


def kinds(path: Path, **settings_) -> list[str]:
    return [p.partition(":")[0] for p in audio.inspect(path, **(SETTINGS | settings_)).problems]


def only_problem(path: Path, **settings_) -> str:
    (problem,) = audio.inspect(path, **(SETTINGS | settings_)).problems
    return problem


# Sound recordings -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        (".wav", {"subtype": "PCM_16"}),
        (".wav", {"subtype": "PCM_24"}),
        (".wav", {"subtype": "PCM_32"}),
        (".wav", {"subtype": "FLOAT"}),
        (".wav", {"subtype": "DOUBLE"}),
        (".wav", {"subtype": "PCM_24", "format": "WAVEX"}),
        (".wav", {"subtype": "PCM_16", "format": "RF64"}),
        (".WAV", {"subtype": "PCM_16", "endian": "BIG"}),
        (".flac", {"subtype": "PCM_16"}),
        (".flac", {"subtype": "PCM_24"}),
    ],
)
def test_the_same_samples_have_the_same_content_in_every_format(tmp_path, suffix, options):
    samples = noise()
    path = save(tmp_path / f"a{suffix}", samples, **options)
    found = audio.inspect(path, **SETTINGS)
    expected = hashlib.sha256(b"16000\n" + samples.astype("<f4").tobytes()).hexdigest()
    assert found == audio.Inspection(
        duration=1.0,
        rate=RATE,
        channels=1,
        peak=float(np.abs(samples).max()),
        content=expected,
    )
    read, rate = audio.read_mono(path)
    assert (read.dtype, rate) == (np.float32, RATE)
    np.testing.assert_array_equal(read, samples)
    assert content_hash(read, rate) == expected


def test_eight_bits_are_fine(tmp_path):
    path = save(tmp_path / "a.wav", noise(), subtype="PCM_U8")
    assert kinds(path) == []
    # Half a step of 8-bit audio is 1/256 of full scale; libsndfile rounds down, so a whole step.
    np.testing.assert_allclose(audio.read_mono(path)[0], noise(), atol=1 / 128)


def test_content_depends_on_samples_and_rate():
    samples = noise(100)
    other = samples.copy()
    other[50] += np.float32(2**-15)
    contents = {content_hash(s, r) for s in (samples, other) for r in (16000, 48000)}
    assert len(contents) == 4


def test_channels_are_averaged_and_noted(tmp_path):
    left, right = noise(seed=1), noise(seed=2)
    path = save(tmp_path / "a.wav", np.stack([left, right], axis=1))
    found = audio.inspect(path, **SETTINGS)
    assert (found.channels, found.note, found.problems) == (2, "2 channels mixed down", ())
    mean = ((left.astype(np.float64) + right) / 2).astype(np.float32)
    np.testing.assert_array_equal(audio.read_mono(path)[0], mean)
    assert found.content == content_hash(mean, RATE)


@pytest.mark.parametrize("channels", [2, 3, 6])
def test_equal_channels_are_the_same_recording_as_one(tmp_path, channels):
    path = save(tmp_path / "a.wav", np.stack([noise()] * channels, axis=1))
    assert audio.inspect(path, **SETTINGS).content == content_hash(noise(), RATE)


def test_long_recordings_are_read_in_blocks(tmp_path, monkeypatch):
    samples = noise(10_001, channels=2)
    path = save(tmp_path / "a.flac", samples)
    whole = audio.inspect(path, **SETTINGS), audio.read_mono(path)[0].tobytes()
    monkeypatch.setattr(audio, "_BLOCK_FRAMES", 1000)
    assert (audio.inspect(path, **SETTINGS), audio.read_mono(path)[0].tobytes()) == whole


# Bad recordings ---------------------------------------------------------------------------------


def test_missing(tmp_path):
    found = audio.inspect(tmp_path / "a.wav", **SETTINGS)
    assert found.problems == ("missing: there is no such file",)
    assert (found.rate, found.channels, found.content, np.isnan(found.duration)) == (
        None,
        None,
        "",
        True,
    )


def test_a_folder_is_unreadable(tmp_path):
    (tmp_path / "a.wav").mkdir()
    assert only_problem(tmp_path / "a.wav") == "unreadable: it is not a file"


@pytest.mark.parametrize("name", ["a.mp3", "a.m4a", "a.aiff", "a", "a.wav.part"])
def test_suffixes_that_are_not_read(tmp_path, name):
    (tmp_path / name).write_bytes(b"anything")
    assert only_problem(tmp_path / name).startswith("unread format: the suffix is `")


def test_text_is_unreadable(tmp_path):
    path = tmp_path / "a.wav"
    path.write_text("RIFF is where this resemblance ends.")
    assert only_problem(path) == "unreadable: Format not recognised"


def test_empty(tmp_path):
    path = tmp_path / "a.wav"
    path.touch()
    assert only_problem(path) == "empty: the file has no bytes"
    assert only_problem(save(path, noise(0))) == "empty: it has a header and no samples"
    # A recorder that crashed leaves a header of length 0 before its samples.
    assert kinds(changed(save(path, noise()), 40, "<I", 0)) == ["empty"]


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT", "ULAW", "IMA_ADPCM", "GSM610"])
def test_cut_wav(tmp_path, subtype):
    path = save(tmp_path / "a.wav", noise(), subtype=subtype)
    assert kinds(path) == []
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    found = audio.inspect(path, **SETTINGS)
    assert found.problems[0].startswith("truncated or damaged: the header promises ")
    assert len(found.problems) == 1
    assert found.content == ""


def test_cut_wav_says_by_how_much(tmp_path):
    path = save(tmp_path / "a.wav", noise())
    path.write_bytes(path.read_bytes()[:-1])
    assert only_problem(path) == (
        "truncated or damaged: the header promises 32,000 bytes of samples, the file has 31,999"
    )
    assert audio.inspect(path, **SETTINGS).duration == 15_999 / 16_000


def test_cut_rf64(tmp_path):
    path = save(tmp_path / "a.wav", noise(), format="RF64")
    path.write_bytes(path.read_bytes()[:-1000])
    assert kinds(path) == ["truncated or damaged"]


@pytest.mark.parametrize("kept", [0.5, 0.99])
def test_cut_flac(tmp_path, kept):
    path = save(tmp_path / "a.flac", noise())
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    assert only_problem(path).startswith("truncated or damaged: decoding stopped after ")
    with pytest.raises(InputError, match=r"a\.flac cannot be read: flac decoder lost sync"):
        audio.read_mono(path)


def test_damaged_flac(tmp_path):
    path = save(tmp_path / "a.flac", noise())
    size = path.stat().st_size
    changed(path, size // 2, "<Q", 0)
    assert kinds(path) == ["truncated or damaged"]


def test_chunks_around_the_samples_do_no_harm(tmp_path):
    path = save(tmp_path / "a.wav", noise())
    data = path.read_bytes()
    odd = b"junk" + struct.pack("<I", 3) + b"abc\0"
    path.write_bytes(data[:36] + odd + data[36:] + odd)
    found = audio.inspect(path, **SETTINGS)
    assert (found.problems, found.content) == ((), content_hash(noise(), RATE))


@pytest.mark.parametrize("length", [0xFFFFFFFF, 0x7FFFF000 + 36])
def test_wav_from_a_pipe_is_noted(tmp_path, length):
    path = changed(save(tmp_path / "a.wav", noise()), 40, "<I", length)
    found = audio.inspect(path, **SETTINGS)
    assert (found.note, found.problems) == ("length missing in the header", ())
    assert found.content == content_hash(noise(), RATE)


@pytest.mark.parametrize(
    ("contents", "suffix", "named"),
    [("FLAC", ".wav", "WAV"), ("WAV", ".flac", "FLAC"), ("OGG", ".wav", "WAV")],
)
def test_contents_that_are_not_what_the_name_says(tmp_path, contents, suffix, named):
    path = tmp_path / f"a{suffix}"
    subtype = "VORBIS" if contents == "OGG" else "PCM_16"
    with path.open("wb") as stream:
        sf.write(stream, noise(), RATE, format=contents, subtype=subtype)
    assert only_problem(path) == f"wrong format: the name says {named}, the contents are {contents}"


@pytest.mark.parametrize("rate", [0, 1, 3999, 384001, 0x7FFFFFFF, 0xFFFFFFF0])
def test_rates_that_are_not_believed(tmp_path, rate):
    path = changed(save(tmp_path / "a.wav", noise(1_000_000)), 24, "<I", rate)
    assert (
        f"bad rate: {rate:,} Hz lies outside 4,000 to 384,000 Hz"
        in audio.inspect(path, **SETTINGS).problems
    )


@pytest.mark.parametrize("rate", [4000, 384000])
def test_rates_at_the_limits_are_believed(tmp_path, rate):
    assert kinds(save(tmp_path / "a.wav", noise(100_000), rate)) == []


def test_no_channels(tmp_path):
    path = changed(save(tmp_path / "a.wav", noise()), 22, "<H", 0)
    assert only_problem(path) == "unreadable: Channel count is zero"


def test_too_short(tmp_path):
    assert kinds(save(tmp_path / "a.wav", noise(400))) == []
    assert only_problem(save(tmp_path / "a.wav", noise(399))) == (
        "too short: it lasts 0.0249375 s, less than 0.025 s"
    )


def test_silent(tmp_path):
    steps = np.zeros(RATE, np.int16)
    steps[5:9] = [1, -1, 1, -1]
    assert only_problem(save(tmp_path / "a.wav", steps)) == (
        "silent: no sample exceeds 3.1e-05 of full scale"
    )
    steps[5] = -2
    assert kinds(save(tmp_path / "a.wav", steps)) == []
    assert kinds(save(tmp_path / "a.wav", steps * 0), silence_peak=0.0) == ["silent"]


def test_channels_that_cancel_are_silent(tmp_path):
    path = save(tmp_path / "a.wav", np.stack([noise(), -noise()], axis=1))
    assert kinds(path) == ["silent"]


def test_constant(tmp_path):
    path = save(tmp_path / "a.wav", np.full(RATE, -0.25))
    assert only_problem(path) == "constant: every sample is -0.25"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("channels", [1, 2])
def test_not_finite(tmp_path, value, channels):
    samples = noise(channels=channels).copy()
    samples[[3, 77]] = value
    path = save(tmp_path / "a.wav", samples, subtype="FLOAT")
    assert only_problem(path) == "not finite: 2 of 16,000 samples are NaN or infinite"
    samples[:] = value
    assert kinds(save(path, samples, subtype="FLOAT")) == ["not finite"]


def test_all_problems_are_named(tmp_path):
    path = tmp_path / "a.flac"
    save(path, np.zeros(10), 2000, format="WAV")
    assert kinds(path) == ["wrong format", "bad rate", "too short", "silent"]


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_no_bytes_whatever_raise(tmp_path_factory, data):
    """A file of any contents has an outcome: damaged copies of good files, and noise."""
    folder = tmp_path_factory.mktemp("bytes")
    suffix = data.draw(st.sampled_from([".wav", ".flac"]))
    path = save(folder / f"a{suffix}", noise(500))
    contents = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, min(len(contents), 60) - 1))
        contents[place] = data.draw(st.integers(0, 255))
    path.write_bytes(contents[: data.draw(st.integers(0, len(contents)))])
    found = audio.inspect(path, **SETTINGS)
    assert all(": " in problem for problem in found.problems)
    if not found.problems:
        assert found.content == content_hash(*audio.read_mono(path))


# Resampling -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("source", "target"), [(48000, 16000), (44100, 24000), (8000, 16000)])
def test_resampling_keeps_a_tone(source, target):
    resampled = audio.resample(tone(1000, source).astype(np.float32), source, target)
    assert resampled.dtype == np.float32
    inner = slice(target // 10, -target // 10)  # the filter rings at the ends
    # float32 resolves 0.5 to 3e-8; soxr's VHQ filter adds about as much.
    np.testing.assert_allclose(resampled[inner], tone(1000, target)[inner], atol=1e-6)


def test_resampling_removes_what_the_new_rate_cannot_hold():
    resampled = audio.resample(tone(10_000, 48000).astype(np.float32), 48000, 16000)
    # VHQ rejects by some 175 dB; float32 output leaves 150 dB below the tone.
    assert np.abs(resampled[1600:-1600]).max() < 1e-6


@settings(deadline=None, max_examples=60)
@given(
    samples=st.integers(1, 4000),
    source=st.sampled_from([8000, 11025, 16000, 22050, 24000, 44100, 48000, 96000]),
    target=st.sampled_from([16000, 24000]),
)
def test_resampled_length(samples, source, target):
    resampled = audio.resample(noise(samples), source, target)
    assert resampled.size == (2 * samples * target + source) // (2 * source)


def test_equal_rates_change_nothing():
    np.testing.assert_array_equal(audio.resample(noise(), 16000, 16000), noise())


def test_resampling_neither_clips_nor_scales():
    square = np.sign(tone(441, 44100)).astype(np.float32)
    resampled = audio.resample(square, 44100, 16000)
    assert np.abs(resampled).max() > 1.05  # the overshoot of a band-limited square wave
    half = audio.resample(square / 2, 44100, 16000)
    # A filter is linear; 1e-6 covers rounding to float32.
    np.testing.assert_allclose(resampled, 2 * half, atol=1e-6)


# Writing ----------------------------------------------------------------------------------------


def test_written_files_are_plain_float_wav(tmp_path):
    samples = 1.5 * tone(440, 24000).astype(np.float32)
    audio.write_wav(tmp_path / "a.wav", samples, 24000)
    with sf.SoundFile(tmp_path / "a.wav") as sound:
        assert (sound.format, sound.subtype, sound.samplerate) == ("WAV", "FLOAT", 24000)
        np.testing.assert_array_equal(sound.read(dtype="float32"), samples)
    rate, read = wavfile.read(tmp_path / "a.wav")
    assert rate == 24000
    np.testing.assert_array_equal(read, samples)
    data = (tmp_path / "a.wav").read_bytes()
    assert b"PEAK" not in data[:100]
    # Written out once: two runs at any two times must give these bytes.
    assert data[:58].hex() == (
        "52494646"
        "32770100"
        "57415645"
        "666d7420"
        "12000000"
        "0300"
        "0100"
        "c05d0000"
        "00770100"
        "0400"
        "2000"
        "0000"
        "66616374"
        "04000000"
        "c05d0000"
        "64617461"
        "00770100"
    )
    assert data[58:] == samples.astype("<f4").tobytes()


def test_written_files_may_be_empty(tmp_path):
    audio.write_wav(tmp_path / "a.wav", np.zeros(0, np.float32), RATE)
    assert sf.info(tmp_path / "a.wav").frames == 0


def test_files_too_long_for_wav(tmp_path):
    endless = np.broadcast_to(np.float32(0), (1 << 30,))
    with pytest.raises(InputError, match="less than 4 GiB"):
        audio.write_wav(tmp_path / "a.wav", endless, RATE)
    assert not (tmp_path / "a.wav").exists()


def test_two_dimensions_are_a_mistake(tmp_path):
    with pytest.raises(ValueError, match="one dimension"):
        audio.write_wav(tmp_path / "a.wav", np.zeros((2, 10), np.float32), RATE)


# Shards -----------------------------------------------------------------------------------------


def rows_of(folder: Path, *signals: tuple[np.ndarray, int]) -> pd.DataFrame:
    rows = []
    for number, (samples, rate) in enumerate(signals):
        path = save(folder / f"in{number}.wav", samples, rate, subtype="FLOAT")
        content = audio.inspect(path, **SETTINGS).content
        rows.append((f"c{number}", str(path), content))
    return pd.DataFrame(rows, columns=["clip", "path", "content"], dtype=str)


def test_shard(tmp_path, caplog):
    square = np.sign(tone(441, 44100)).astype(np.float32)
    stereo = np.stack([noise(seed=3), noise(seed=4)], axis=1)
    rows = rows_of(tmp_path, (noise(), RATE), (square, 44100), (stereo, RATE))
    with caplog.at_level(logging.INFO):
        index = audio.resample_shard(rows, rate=RATE, folder=tmp_path / "out", threads=2)
    assert index["clip"].tolist() == ["c0", "c1", "c2"]
    assert index["file"].tolist() == ["c0.wav", "c1.wav", "c2.wav"]
    assert index["rate"].tolist() == [RATE] * 3
    assert index["samples"].tolist() == [16000] * 3
    assert index["peak"][0] == np.abs(noise()).max()
    assert index["peak"][1] > 1.05
    assert index["content"][0] == rows["content"][0]
    for row in index.itertuples():
        written, rate = audio.read_mono(tmp_path / "out" / row.file)
        assert content_hash(written, rate) == row.content
        assert np.abs(written).max() == np.float32(row.peak)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == index["file"].tolist()
    assert "1 of 3 clips pass full scale" in caplog.text
    assert "Resampling to 16000 Hz: 3 of 3 clips" in caplog.text


def test_shards_do_not_depend_on_threads_or_time(tmp_path):
    rows = rows_of(tmp_path, *((noise(4410, seed=seed), 44100) for seed in range(6)))
    outcomes = []
    for threads in (1, 4):
        folder = tmp_path / f"out{threads}"
        index = audio.resample_shard(rows, rate=RATE, folder=folder, threads=threads)
        outcomes.append((index.to_csv(), [p.read_bytes() for p in sorted(folder.iterdir())]))
    assert outcomes[0] == outcomes[1]


def test_empty_shard(tmp_path):
    index = audio.resample_shard(
        rows_of(tmp_path), rate=RATE, folder=tmp_path / "deep/out", threads=2
    )
    assert list(index.columns) == ["clip", "file", "rate", "samples", "peak", "content"]
    assert index.empty
    assert index["samples"].dtype == np.int64
    assert list((tmp_path / "deep/out").iterdir()) == []


def test_shard_of_recordings_that_changed(tmp_path):
    rows = rows_of(tmp_path, (noise(), RATE), (noise(seed=1), RATE), (noise(seed=2), RATE))
    save(tmp_path / "in0.wav", noise(seed=9), subtype="FLOAT")
    (tmp_path / "in2.wav").unlink()
    with pytest.raises(InputError) as error:
        audio.resample_shard(rows, rate=8000, folder=tmp_path / "out", threads=2)
    changed_, gone = error.value.problems
    assert changed_.startswith(f"{tmp_path / 'in0.wav'} (clip c0) changed since the manifest")
    assert gone.startswith(f"{tmp_path / 'in2.wav'} cannot be read")


# Progress and threads ---------------------------------------------------------------------------


def test_progress_is_logged_now_and_then(caplog):
    times = iter([0.0, 4.0, 12.0, 13.0, 16.0])
    with caplog.at_level(logging.INFO):
        progress = audio.Progress(4, what="Looking", clock=lambda: next(times))
        for _ in range(4):
            progress.step()
    assert caplog.messages == [
        "Looking: 2 of 4 clips, 0.2 clips/s, 12 s left.",
        "Looking: 4 of 4 clips, 0.2 clips/s, 0 s left.",
    ]


def test_threads_keep_the_order_and_work_side_by_side():
    barrier = threading.Barrier(2, timeout=10)

    def meet(item):
        barrier.wait()
        return item * 10

    assert audio.in_threads(meet, range(6), threads=2, what="Meeting") == [0, 10, 20, 30, 40, 50]


def test_the_first_error_ends_the_work():
    begun = []

    def fail(item):
        begun.append(item)
        raise RuntimeError(f"item {item}")

    with pytest.raises(RuntimeError, match="item 0"):
        audio.in_threads(fail, range(1000), threads=1, what="Failing")
    assert len(begun) < 1000
