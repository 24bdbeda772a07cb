import numpy as np
import pandas as pd
import pytest

from consonance import embeddings, files, frechet
from consonance.errors import InputError
from consonance.moments import Cell, Moments, MomentsWriter

RNG = np.random.default_rng(0)


def write_means(path, clips, means):
    frames = np.ones(len(clips), dtype=np.int64)
    files.write_npz({"clip": np.array(clips), "means": means, "frames": frames}, path)
    return path


def write_moments(path, cells):
    """cells: Cell to one array (frames, dim) per state."""
    states, dim = len(next(iter(cells.values()))), next(iter(cells.values()))[0].shape[1]
    with MomentsWriter(path, states=states, dim=dim) as writer:
        for cell, arrays in cells.items():
            writer.add(cell, [Moments.of(array) for array in arrays], clips=2)
    return path


def test_means_are_joined_in_the_order_of_the_shards(tmp_path):
    one = RNG.standard_normal((2, 3, 4)).astype(np.float32)
    two = RNG.standard_normal((1, 3, 4)).astype(np.float32)
    paths = [
        write_means(tmp_path / "0.npz", ["b", "a"], one),
        write_means(tmp_path / "1.npz", ["c"], two),
    ]
    clips, means = embeddings.load_means(paths)
    assert clips.tolist() == ["b", "a", "c"]
    np.testing.assert_array_equal(means, np.concatenate([one, two]))


def test_shards_of_two_runs_are_refused(tmp_path):
    first = write_means(tmp_path / "0.npz", ["a"], np.zeros((1, 3, 4), np.float32))
    other = write_means(tmp_path / "1.npz", ["b"], np.zeros((1, 2, 4), np.float32))
    again = write_means(tmp_path / "2.npz", ["a"], np.zeros((1, 3, 4), np.float32))
    with pytest.raises(InputError, match="different shapes"):
        embeddings.load_means([first, other])
    with pytest.raises(InputError, match="two of the shards"):
        embeddings.load_means([first, again])


def test_a_damaged_file_is_named(tmp_path):
    path = write_means(tmp_path / "0.npz", ["a"], np.zeros((1, 3, 400), np.float32))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(InputError, match=r"0\.npz is damaged"):
        embeddings.load_means([path])


def test_clip_sets_follow_the_manifest(tmp_path):
    means = np.arange(12, dtype=np.float32).reshape(3, 2, 2)
    path = write_means(tmp_path / "0.npz", ["c", "b", "a"], means)
    manifest = pd.DataFrame(
        {"clip": ["a", "b", "c"], "domain": ["song", "song", "speech"], "emotion": ["sad"] * 3}
    )
    sets = dict(embeddings.clip_sets([path], manifest))
    assert sorted(sets) == [0, 1]
    np.testing.assert_array_equal(sets[1]["song", "sad"], [[10, 11], [6, 7]])
    np.testing.assert_array_equal(sets[0]["speech", "sad"], [[0, 1]])


def test_frames_are_pooled_over_folds_and_shards(tmp_path):
    frames = {
        name: [RNG.standard_normal((n, 3)) for _ in range(2)]
        for name, n in {"f0": 5, "f1": 7, "more": 4}.items()
    }
    paths = [
        write_moments(
            tmp_path / "0.npz",
            {Cell("song", "sad", 0): frames["f0"], Cell("song", "sad", 1): frames["f1"]},
        ),
        write_moments(tmp_path / "1.npz", {Cell("song", "sad", 1): frames["more"]}),
    ]
    folds = dict(embeddings.fold_sets(paths))
    assert folds[0]["song", "sad"][1].count == 11
    assert folds[0]["song", "sad"][1].clips == 4
    whole = dict(embeddings.frame_sets(paths))[1]["song", "sad"]
    everything = np.concatenate([frames[name][1] for name in ("f0", "f1", "more")])
    assert (whole.count, whole.clips) == (16, 6)
    # Sums in another order: rounding of float64.
    np.testing.assert_allclose(whole.mean, everything.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(
        whole.scatter / (whole.count - 1), np.cov(everything, rowvar=False), atol=1e-12
    )
    assert isinstance(whole, frechet.Moments)
