"""What tells recordings apart: a hash of their samples."""

import hashlib

import numpy as np


def new_hash(rate: int) -> "hashlib._Hash":
    """Returns the beginning of a `content_hash`, to be updated with samples block by block."""
    return hashlib.sha256(f"{rate}\n".encode("ascii"))


def content_hash(samples: np.ndarray, rate: int) -> str:
    """Returns what tells recordings apart: SHA-256 over the rate and the samples.

    Hashed are the rate in Hz as decimal text, a line break, and the samples as little-endian
    float32.

    Args:
        samples: mono, shape (n,), float32.
        rate: Hz.
    """
    digest = new_hash(rate)
    digest.update(np.ascontiguousarray(samples, dtype="<f4"))
    return digest.hexdigest()
