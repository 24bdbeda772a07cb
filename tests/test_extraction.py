"""Extraction: one pass equals plain sums over the states of every clip alone."""

import logging

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from encoder_models import MODELS, random_spec, waves

from consonance import extraction
from consonance.accumulation import Accumulator
from consonance.contents import content_hash
from consonance.embeddings import read_means
from consonance.encoders import load_encoder
from consonance.errors import DamagedFileError, InputError
from consonance.extraction import extract_shard
from consonance.moments import Moments, MomentsReader

LENGTHS = (4000, 400, 9000, 5200, 4000, 6111, 2500)
OPTIONS = {"batch_seconds": 1.0, "window_seconds": 30.0, "long_clips": "window", "threads": 1}


def shard(folder, lengths=LENGTHS, rate=16000):
    """Writes wavs of these lengths and returns their table: two cells, in mixed order."""
    rows = []
    for number, wave in enumerate(waves(*lengths)):
        path = folder / f"{number}.wav"
        soundfile.write(path, wave, rate, subtype="FLOAT")
        rows.append(
            {
                "clip": f"c{number}",
                "path": str(path),
                "content": content_hash(wave, rate),
                "domain": "speech" if number % 3 else "song",
                "emotion": "sad",
                "fold": number % 2,
            }
        )
    return pd.DataFrame(rows)


def extract(rows, encoder, folder, **options):
    paths = {"means_path": folder / "m.npz", "moments_path": folder / "v.npz"}
    return extract_shard(rows, encoder, **paths, **(OPTIONS | options))


def alone(encoder, path):
    """States of one clip, (states, frames, dim) float64."""
    wave, _ = soundfile.read(path, dtype="float32")
    states, (count,) = encoder.states([encoder.prepare(wave)])
    return torch.stack(states)[:, 0, :count].double().numpy()


@pytest.mark.parametrize("batch_seconds", [0.0, 1.0, 100.0])
@pytest.mark.parametrize("name", ["wav2vec2", "layer norm", "mert", "whisper"])
def test_means_and_moments_equal_sums_over_single_clips(tmp_path, name, batch_seconds):
    lengths = LENGTHS if name != "whisper" else LENGTHS[:4]
    encoder = load_encoder(random_spec(name), device="cpu")
    rows = shard(tmp_path, lengths, MODELS[name][1])
    summary = extract(rows, encoder, tmp_path, batch_seconds=batch_seconds)
    clips, means, frames = read_means(tmp_path / "m.npz")
    singles = [alone(encoder, path) for path in rows["path"]]
    assert clips.tolist() == rows["clip"].tolist()
    assert frames.tolist() == [encoder.frames(n) for n in lengths]
    assert means.dtype == np.float32 and means.shape == (len(rows), encoder.n_states, encoder.dim)
    expected = np.stack([single.mean(1) for single in singles])
    # The batch's rounding, 1e-5 of the values, as in the encoders' tests.
    np.testing.assert_allclose(means, expected, atol=1e-5 * np.abs(expected).max())
    assert summary["clips"] == len(rows) and summary["frames"] == frames.sum()
    with MomentsReader(tmp_path / "v.npz") as reader:
        assert [cell.name for cell in reader.cells] == sorted(
            {f"{r.domain}/sad/{r.fold}" for r in rows.itertuples()}
        )
        for cell in reader.cells:
            members = rows.index[(rows["domain"] == cell.domain) & (rows["fold"] == cell.fold)]
            assert reader.clips(cell) == len(members)
            for state in range(encoder.n_states):
                loaded = reader.load(cell, state)
                all_frames = np.concatenate([singles[i][state] for i in members])
                whole = Moments.of(all_frames)
                assert loaded.count == whole.count
                scale = np.abs(all_frames).max()
                np.testing.assert_allclose(loaded.mean, whole.mean, atol=1e-5 * scale)
                np.testing.assert_allclose(
                    loaded.scatter, whole.scatter, atol=1e-5 * scale**2 * whole.count
                )


def test_the_same_shard_gives_the_same_bytes_in_any_row_order(tmp_path):
    encoder = load_encoder(random_spec("wav2vec2"), device="cpu")
    rows = shard(tmp_path)
    results = []
    for table in (rows, rows, rows.iloc[::-1].set_index(pd.Index(range(7, 0, -1)))):
        extract(table, encoder, tmp_path)
        results.append([(tmp_path / name).read_bytes() for name in ("v.npz", "m.npz")])
    assert results[0] == results[1]
    assert results[0][0] == results[2][0] and results[0][1] != results[2][1]


def test_an_empty_shard_writes_valid_files(tmp_path):
    encoder = load_encoder(random_spec("wav2vec2"), device="cpu")
    summary = extract(shard(tmp_path).iloc[:0], encoder, tmp_path)
    clips, means, frames = read_means(tmp_path / "m.npz")
    assert summary["clips"] == 0 and len(clips) == len(frames) == 0 and means.shape == (0, 4, 32)
    with MomentsReader(tmp_path / "v.npz") as reader:
        assert reader.cells == [] and reader.states == 4


def test_a_long_clip_is_normalised_whole_and_pooled_over_equal_windows(tmp_path):
    encoder = load_encoder(random_spec("wav2vec2"), device="cpu")
    rows = shard(tmp_path, (20001,))
    extract(rows, encoder, tmp_path, window_seconds=0.5)
    wave, _ = soundfile.read(rows["path"][0], dtype="float32")
    prepared = encoder.prepare(wave)
    windows = [prepared[:6667], prepared[6667:13334], prepared[13334:]]
    parts = []
    for window in windows:
        states, (count,) = encoder.states([window])
        parts.append(torch.stack(states)[:, 0, :count].double().numpy())
    expected = np.concatenate(parts, axis=1).mean(1)
    _, means, frames = read_means(tmp_path / "m.npz")
    assert frames.tolist() == [sum(encoder.frames(len(w)) for w in windows)]
    np.testing.assert_allclose(means[0], expected, atol=1e-5 * np.abs(expected).max())


def test_whisper_windows_what_is_longer_than_it_takes(tmp_path):
    encoder = load_encoder(random_spec("whisper"), device="cpu")
    rows = shard(tmp_path, (480001,))
    extract(rows, encoder, tmp_path, window_seconds=60.0)
    assert read_means(tmp_path / "m.npz")[2].tolist() == [750 + 751]
    with pytest.raises(InputError, match=r"lasts 30.0 s, more than the 30.0 s of a window"):
        extract(rows, encoder, tmp_path, window_seconds=60.0, long_clips="refuse")


def test_all_unusable_clips_are_listed_before_any_computing(tmp_path, monkeypatch):
    encoder = load_encoder(random_spec("wav2vec2"), device="cpu")
    monkeypatch.setattr(encoder, "states", lambda waves: pytest.fail("computed too early"))
    rows = shard(tmp_path, (399, 4000, 40000, 4000, 4000, 1))
    soundfile.write(rows["path"][3], np.zeros(4000), 8000)
    soundfile.write(rows["path"][4], np.zeros((4000, 2)), 16000)
    rows.loc[1, "path"] = str(tmp_path / "absent.wav")
    rows.loc[5, "clip"] = "c0"
    with pytest.raises(InputError) as caught:
        extract(rows, encoder, tmp_path, window_seconds=2.0, long_clips="refuse")
    text = str(caught.value)
    assert len(caught.value.problems) == 7
    for part in (
        "'c0' is listed more than once",
        "lasts 0.0249 s, but model 'wav2vec2' needs 0.0250 s",
        "absent.wav is damaged (it cannot be read: Error opening",
        "lasts 2.5 s, more than the 2.0 s of a window",
        "1 channel(s) at 8000 Hz",
        "2 channel(s) at 16000 Hz",
        "lasts 0.0001 s",
    ):
        assert part in text
    assert not (tmp_path / "m.npz").exists() and not (tmp_path / "v.npz").exists()


def test_options_that_cannot_be(tmp_path):
    encoder = load_encoder(random_spec("wav2vec2"), device="cpu")
    rows = shard(tmp_path, (4000,))
    with pytest.raises(InputError, match="long_clips is 'cut'"):
        extract(rows, encoder, tmp_path, long_clips="cut")
    with pytest.raises(InputError, match=r"window_seconds is 0.01"):
        extract(rows, encoder, tmp_path, window_seconds=0.01)
    with pytest.raises(InputError, match="lacks the columns content, emotion, fold"):
        extract(rows[["clip", "path", "domain"]], encoder, tmp_path)


def test_values_that_are_not_finite_name_their_clip_and_states(tmp_path, monkeypatch):
    encoder = load_encoder(random_spec("wav2vec2"), device="cpu")
    rows = shard(tmp_path)
    original = type(encoder).states

    def broken(waves):
        states, counts = original(encoder, waves)
        for index, wave in enumerate(waves):
            if len(wave) == 5200:
                states[2] = states[2].clone()
                states[2][index, 0, 5] = torch.inf
        return states, counts

    monkeypatch.setattr(encoder, "states", broken)
    with pytest.raises(InputError) as caught:
        extract(rows, encoder, tmp_path)
    (problem,) = caught.value.problems
    assert "Clip 'c3'" in problem and "in state 2." in problem
    assert not (tmp_path / "v.npz").exists()


def test_a_wrong_number_of_states_is_an_error(tmp_path, monkeypatch):
    encoder = load_encoder(random_spec("wav2vec2"), device="cpu")
    original = type(encoder).states
    monkeypatch.setattr(
        encoder, "states", lambda w: (lambda s, c: (s[:-1], c))(*original(encoder, w))
    )
    with pytest.raises(InputError, match="3 states instead of 4"):
        extract(shard(tmp_path), encoder, tmp_path)


def test_a_full_gpu_halves_the_batch_and_goes_on(tmp_path, monkeypatch, caplog):
    encoder = load_encoder(random_spec("wav2vec2"), device="cpu")
    rows = shard(tmp_path)
    extract(rows, encoder, tmp_path, batch_seconds=0.0)
    expected = read_means(tmp_path / "m.npz")[1]
    original = type(encoder).states
    sizes = []

    def limited(waves):
        sizes.append(len(waves))
        if len(waves) > 1:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return original(encoder, waves)

    monkeypatch.setattr(encoder, "states", limited)
    with caplog.at_level(logging.WARNING):
        summary = extract(rows, encoder, tmp_path, batch_seconds=100.0)
    assert max(sizes) > 1 and "memory does not suffice" in caplog.text
    assert summary["batch_seconds"] < 1.0
    np.testing.assert_allclose(read_means(tmp_path / "m.npz")[1], expected, atol=1e-6)

    def never(waves):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(encoder, "states", never)
    with pytest.raises(InputError, match=r"make extraction\.window_seconds smaller"):
        extract(rows, encoder, tmp_path)


def test_files_that_are_missing_or_altered_are_damaged(tmp_path, caplog):
    encoder = load_encoder(random_spec("wav2vec2"), device="cpu")
    rows = shard(tmp_path)
    wave, rate = soundfile.read(rows["path"][2], dtype="float32")
    soundfile.write(rows["path"][2], -wave, rate, subtype="FLOAT")
    with pytest.raises(DamagedFileError, match=r"2\.wav is damaged .its samples are not those"):
        extract(rows, encoder, tmp_path)
    for number in (0, 5):
        (tmp_path / f"{number}.wav").unlink()
    with pytest.raises(DamagedFileError, match=r"0\.wav is damaged .it cannot be read: "):
        extract(rows, encoder, tmp_path)
    assert "2 of 7 files cannot be read." in caplog.text
    assert not (tmp_path / "m.npz").exists() and not (tmp_path / "v.npz").exists()


def test_progress_names_rate_and_time_left(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(extraction, "PROGRESS_SECONDS", 0.0)
    encoder = load_encoder(random_spec("wav2vec2"), device="cpu")
    with caplog.at_level(logging.INFO):
        extract(shard(tmp_path), encoder, tmp_path)
    assert "7 of 7 clips" in caplog.text and "clips/s, about 0 s left" in caplog.text


def test_means_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_means(tmp_path / "absent.npz")
    (tmp_path / "x.npz").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(InputError, match="made anew"):
        read_means(tmp_path / "x.npz")


@pytest.mark.parametrize("capacity", [1, 7, 50])
def test_the_buffer_size_changes_nothing_but_rounding(capacity):
    rng = np.random.default_rng(5)
    data = torch.from_numpy(rng.standard_normal((3, 2, 20, 4)).astype(np.float32)) + 10
    counts, keys = [20, 13], [8, 3]
    accumulator = Accumulator(states=3, dim=4, capacity=capacity, device=torch.device("cpu"))
    accumulator.add(list(data), counts, keys)
    accumulator.add(list(data[:, :1]), [5], [8])
    moments, means, frames = accumulator.finish()
    assert frames == {8: 25, 3: 13}
    for state in range(3):
        first, second = data[state, 0].double().numpy(), data[state, 1, :13].double().numpy()
        whole = Moments.of(np.concatenate([first, second, first[:5]]))
        assert moments[state].count == 38
        np.testing.assert_allclose(moments[state].mean, whole.mean, rtol=1e-13)
        np.testing.assert_allclose(moments[state].scatter, whole.scatter, atol=1e-10)
        np.testing.assert_allclose(means[8][state], np.concatenate([first, first[:5]]).mean(0))
        np.testing.assert_allclose(means[3][state], second.mean(0))
    accumulator.reset()
    assert accumulator.finish()[0][0].count == 0
