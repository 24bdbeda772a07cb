from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from consonance import waves
from consonance.contents import content_hash
from consonance.errors import DamagedFileError, InputError

RATE = 8000


def encoder(**facts):
    """What a model says of the audio that it takes."""
    given = {"name": "m", "sampling_rate": RATE, "minimum_samples": 10, "maximum_samples": None}
    return SimpleNamespace(**given | facts, prepare=lambda wave: wave - wave.mean())


@pytest.fixture
def clip(tmp_path):
    wave = np.random.default_rng(0).standard_normal(1000).astype(np.float32)
    path = tmp_path / "a.wav"
    soundfile.write(path, wave, RATE, subtype="FLOAT")
    return path, wave


def read(path, content, *, limit=10**6, **facts):
    return list(waves.pieces(path, encoder(**facts), content=content, limit=limit))


def test_a_window_is_no_longer_than_the_encoder_takes():
    assert waves.longest_piece(encoder(), 0.5) == 4000
    assert waves.longest_piece(encoder(maximum_samples=3000), 0.5) == 3000
    assert waves.longest_piece(encoder(maximum_samples=5000), 0.5) == 4000


def test_a_short_clip_is_one_piece_prepared(clip):
    path, wave = clip
    (piece,) = read(path, content_hash(wave, RATE))
    np.testing.assert_array_equal(piece, wave - wave.mean())


def test_a_long_clip_is_prepared_as_a_whole_and_cut_evenly(clip):
    path, wave = clip
    found = read(path, content_hash(wave, RATE), limit=300)
    assert [len(piece) for piece in found] == [250] * 4
    np.testing.assert_array_equal(np.concatenate(found), wave - wave.mean())


@settings(max_examples=50)
@given(limit=st.integers(1, 1200))
def test_pieces_are_as_few_as_fit_and_of_like_length(tmp_path_factory, limit):
    wave = np.arange(1000, dtype=np.float32)
    path = tmp_path_factory.getbasetemp() / "pieces.wav"
    if not path.exists():
        soundfile.write(path, wave, RATE, subtype="FLOAT")
    lengths = [len(piece) for piece in read(path, content_hash(wave, RATE), limit=limit)]
    assert len(lengths) == -(-1000 // limit) and sum(lengths) == 1000
    assert max(lengths) <= limit and max(lengths) - min(lengths) <= 1


def test_other_samples_than_were_written_are_damage(clip):
    path, wave = clip
    content = content_hash(wave, RATE)
    changed = wave.copy()
    changed[500] = np.nextafter(changed[500], np.float32(2))
    for other in (changed, wave[:-1], np.stack([wave, wave], axis=1)):
        soundfile.write(path, other, RATE, subtype="FLOAT")
        with pytest.raises(DamagedFileError, match="its samples are not those that were written"):
            read(path, content)


def test_what_cannot_be_read_is_damage(clip):
    path, wave = clip
    path.write_bytes(b"RIFF")
    with pytest.raises(DamagedFileError, match=r"a\.wav is damaged .it cannot be read: "):
        read(path, content_hash(wave, RATE))


@pytest.mark.parametrize("facts", [{"sampling_rate": 16000}, {"minimum_samples": 1001}])
def test_what_the_encoder_does_not_take(clip, facts):
    path, wave = clip
    with pytest.raises(
        InputError, match=r"has 1000 samples .* at 8000 Hz, but model 'm' takes one"
    ):
        read(path, content_hash(wave, RATE), **facts)
