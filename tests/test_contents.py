import numpy as np

from consonance.contents import content_hash


def test_hash_is_that_of_the_rate_and_the_samples():
    # sha256sum of the bytes "16000", line break, and 0.5 as a little-endian float32.
    samples = np.array([0.5], dtype=np.float32)
    expected = "00011b6484c06bb235319fc9d0f11550e96e74f704a3ecd517710427c218f2f9"
    assert content_hash(samples, 16000) == expected
    assert content_hash(samples, 8000) != expected
    assert content_hash(samples.astype(np.float64), 16000) == expected
