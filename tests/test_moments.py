"""Moments: against numpy on the pooled vectors, and their file."""

import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consonance.errors import InputError
from consonance.moments import Cell, Moments, MomentsReader, MomentsWriter, pack, pool, unpack


def vectors(n: int, d: int, seed: int, offset: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, d)) + offset


def test_known_moments():
    moments = Moments.of(np.array([[1.0, 2.0], [3.0, 2.0], [5.0, 8.0]]))
    assert moments.count == 3 and moments.dim == 2
    np.testing.assert_array_equal(moments.mean, [3.0, 4.0])
    # Sums of squares 4 + 0 + 4 and 4 + 4 + 16, of products 4 + 0 + 8.
    np.testing.assert_array_equal(moments.scatter, [8.0, 12.0, 24.0])
    np.testing.assert_array_equal(moments.covariance(), [[4.0, 6.0], [6.0, 12.0]])
    assert moments.trace() == 16.0


@settings(max_examples=50, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 7), min_size=1, max_size=6),
    d=st.integers(1, 6),
    offset=st.sampled_from([0.0, 1e3]),
    seed=st.integers(0, 99),
)
def test_pooled_parts_equal_the_whole(sizes, d, offset, seed):
    whole = vectors(sum(sizes), d, seed, offset)
    parts = np.split(whole, np.cumsum(sizes)[:-1])
    pooled = pool(Moments.of(part) for part in parts)
    expected = Moments.of(whole)
    assert pooled.count == len(whole)
    # Float64 rounding of values up to the offset.
    np.testing.assert_allclose(pooled.mean, expected.mean, atol=1e-12 * (1 + offset))
    np.testing.assert_allclose(pooled.scatter, expected.scatter, atol=1e-10 * (1 + offset))
    if len(whole) > 1:
        covariance = np.cov(whole, rowvar=False).reshape(d, d)
        np.testing.assert_allclose(pooled.covariance(), covariance, atol=1e-10 * (1 + offset))
        np.testing.assert_allclose(pooled.trace(), np.trace(covariance), atol=1e-9 * (1 + offset))


def test_a_large_mean_does_not_destroy_the_scatter():
    x = vectors(50, 3, 1)
    halves = pool([Moments.of(x[:20] + 1e8), Moments.of(x[20:] + 1e8)])
    # 1e8 leaves 8 digits after the point in float64; a sum of squares would leave none.
    np.testing.assert_allclose(halves.covariance(), np.cov(x, rowvar=False), rtol=1e-6, atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(d=st.integers(1, 8), seed=st.integers(0, 99))
def test_packing_is_reversible(d, seed):
    matrix = vectors(d, d, seed)
    matrix = matrix + matrix.T
    np.testing.assert_array_equal(unpack(pack(matrix), d), matrix)


def test_what_is_not_defined():
    with pytest.raises(ValueError, match="1 vectors"):
        Moments.of(np.zeros((1, 2))).covariance()
    with pytest.raises(ValueError, match="0 vectors"):
        Moments.empty(2).trace()
    with pytest.raises(ValueError, match="no moments"):
        pool([])
    with pytest.raises(ValueError, match="2 and 3 dimensions"):
        Moments.empty(2).merge(Moments.empty(3))


CELLS = [Cell("speech", "angry", 0), Cell("song", "sad", 11)]


def write(path, seed=0):
    with MomentsWriter(path, states=2, dim=3) as writer:
        for number, cell in enumerate(CELLS):
            parts = [Moments.of(vectors(5 + number, 3, seed + 10 * number + k)) for k in range(2)]
            writer.add(cell, parts, clips=2)


def test_the_file_gives_back_what_was_written(tmp_path):
    path = tmp_path / "x.moments.npz"
    write(path)
    with MomentsReader(path) as reader:
        assert reader.cells == CELLS and (reader.states, reader.dim) == (2, 3)
        assert reader.clips(CELLS[1]) == 2 and reader.frames(CELLS[1]) == 6
        loaded, expected = reader.load(CELLS[1], 1), Moments.of(vectors(6, 3, 11))
        assert loaded.count == 6
        np.testing.assert_array_equal(loaded.mean, expected.mean)
        np.testing.assert_array_equal(loaded.scatter, expected.scatter)
        with pytest.raises(KeyError, match="no state 2"):
            reader.load(CELLS[0], 2)
        with pytest.raises(KeyError, match="song/angry/0"):
            reader.load(Cell("song", "angry", 0), 0)
    with np.load(path, allow_pickle=False) as plain:
        assert plain["cells"].tolist() == ["speech/angry/0", "song/sad/11"]
        assert plain["speech/angry/0/1/scatter"].shape == (6,)
        assert plain["states"] == 2 and plain["song/sad/11/frames"] == 6


def test_the_same_moments_give_the_same_bytes(tmp_path):
    for name in "ab":
        write(tmp_path / name)
    write(tmp_path / "c", seed=1)
    a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
    assert a == b != c


def test_an_empty_file_is_valid(tmp_path):
    with MomentsWriter(tmp_path / "e.npz", states=2, dim=3):
        pass
    with MomentsReader(tmp_path / "e.npz") as reader:
        assert reader.cells == []


def test_a_failed_write_leaves_nothing(tmp_path):
    for fail, message in (
        (lambda w: w.add(CELLS[0], [Moments.empty(3)], clips=0), "1 states instead of 2"),
        (lambda w: w.add(CELLS[0], [Moments.empty(2)] * 2, clips=0), "do not fit"),
        (
            lambda w: w.add(CELLS[0], [Moments.of(np.eye(3)), Moments.empty(3)], clips=0),
            "do not fit",
        ),
        (lambda w: [w.add(CELLS[0], [Moments.empty(3)] * 2, clips=0)] * 2, None),
    ):
        path = tmp_path / "f.npz"
        if message is None:
            with (
                pytest.raises(ValueError, match="twice"),
                MomentsWriter(path, states=2, dim=3) as w,
            ):
                fail(w)
                fail(w)
        else:
            with (
                pytest.raises(ValueError, match=message),
                MomentsWriter(path, states=2, dim=3) as w,
            ):
                fail(w)
        assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_is_named(tmp_path):
    path = tmp_path / "d.moments.npz"
    with pytest.raises(InputError, match="cannot be read"):
        MomentsReader(path)
    write(path)
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        member = archive.getinfo("speech/angry/0/0/scatter.npy")
    flipped = bytearray(whole)
    # Inside the array's numbers: past the local header (30 bytes and the name) and numpy's own.
    flipped[member.header_offset + 30 + len(member.filename) + 130] ^= 1
    path.write_bytes(flipped)
    with (
        MomentsReader(path) as reader,
        pytest.raises(InputError, match=r"d.moments.npz is .*damaged.* made anew"),
    ):
        reader.load(CELLS[0], 0)
    path.write_bytes(whole[:-30])
    with pytest.raises(InputError, match="damaged"):
        MomentsReader(path)
