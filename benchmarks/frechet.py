"""One Fréchet audio distance at 768 dimensions, against the way the paper's toolkit computes it.

The toolkit (fadtk) takes the eigenvectors of the product S_a S_b, which is not symmetric, and
inverts them; its released function also computes `sqrtm` of the product for a comparison that it
prints. Both are timed here, written from their formulas. Runs alternate, so that a busy machine
slows both sides; the fastest run of each counts.

    python benchmarks/frechet.py
"""

import argparse
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow" / "scripts"))

import numpy as np
import scipy.linalg
from threadpoolctl import threadpool_limits

from consonance import frechet

TARGET = 8.0
AGREEMENT = 1e-6


def frames(rng: np.random.Generator, *, dim: int, count: int) -> np.ndarray:
    """Full-rank frames: variances fall as 1 / rank, as in real layers, in a random basis."""
    basis, _ = np.linalg.qr(rng.standard_normal((dim, dim)))
    return (
        rng.standard_normal(dim) / 10
        + (rng.standard_normal((count, dim)) * np.arange(1, dim + 1) ** -0.5) @ basis
    )


def by_eigenvectors(mean_a, cov_a, mean_b, cov_b) -> float:
    values, vectors = scipy.linalg.eig(cov_a @ cov_b)
    root = (vectors * np.emath.sqrt(values)) @ scipy.linalg.inv(vectors)
    shift = mean_a - mean_b
    return float(shift @ shift + np.trace(cov_a) + np.trace(cov_b) - 2 * np.trace(root).real)


def as_released(mean_a, cov_a, mean_b, cov_b) -> float:
    np.trace(scipy.linalg.sqrtm(cov_a @ cov_b))
    return by_eigenvectors(mean_a, cov_a, mean_b, cov_b)


def ours(mean_a, cov_a, mean_b, cov_b) -> float:
    return frechet.distance(mean_a, cov_a, mean_b, cov_b).fad


def seconds(function, *arguments) -> tuple[float, float]:
    start = time.perf_counter()
    value = function(*arguments)
    return time.perf_counter() - start, value


def measure(*, dim: int, count: int, repeats: int, threads: int) -> dict[str, float]:
    """Returns the fastest time of each side (s), the ratios, and how far the values lie apart."""
    rng = np.random.default_rng(0)
    arguments = []
    for _ in range(2):
        samples = frames(rng, dim=dim, count=count)
        arguments += [samples.mean(axis=0), np.cov(samples, rowvar=False)]
    sides = {"eig": by_eigenvectors, "released": as_released, "ours": ours}
    times = {name: [] for name in sides}
    values = {}
    # Each side at its best number of threads: more of them do not always help.
    for repeat in range(repeats):
        for limit in {1, threads}:
            with threadpool_limits(limits=limit):
                for name, function in sides.items():
                    if name == "released" and repeat > 0:
                        continue
                    elapsed, values[name] = seconds(function, *arguments)
                    times[name].append(elapsed)
    sets = {
        (domain, str(i)): frechet.Moments(2, count, mean, covariance * (count - 1))
        for i in range(6)
        for domain, mean, covariance in (
            ("a", arguments[0] + i, arguments[1] * (1 + i)),
            ("b", arguments[2] - i, arguments[3] * (1 + i)),
        )
    }
    start = time.perf_counter()
    rows, _ = frechet.matrix(
        sets,
        corpus="benchmark",
        model="synthetic",
        level="frames",
        layer=1,
        domains=["a", "b"],
        emotions=[str(i) for i in range(6)],
        workers=threads,
    )
    table = time.perf_counter() - start
    fastest = {name: min(several) for name, several in times.items()}
    return {
        **fastest,
        "ratio": fastest["eig"] / fastest["ours"],
        "ratio_released": fastest["released"] / fastest["ours"],
        "difference": abs(values["ours"] / values["eig"] - 1),
        "pair_in_matrix": table / len(rows),
        "pairs": len(rows),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dim", type=int, default=768)
    parser.add_argument("--frames", type=int, default=8000)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    options = parser.parse_args()
    result = measure(
        dim=options.dim, count=options.frames, repeats=options.repeats, threads=options.threads
    )
    print(
        f"one FAD, {options.dim} dimensions, {options.frames} frames, "
        f"up to {options.threads} threads"
    )
    print(f"  eigenvectors and inverse          {result['eig'] * 1e3:8.1f} ms")
    print(f"  the same with sqrtm, as released  {result['released'] * 1e3:8.1f} ms")
    print(f"  ours                              {result['ours'] * 1e3:8.1f} ms")
    print(f"  ratio {result['ratio']:.1f} (as released: {result['ratio_released']:.1f}), ", end="")
    print(f"target {TARGET:g}; relative difference {result['difference']:.1e}")
    print(
        f"  in a table of {result['pairs']} pairs: {result['pair_in_matrix'] * 1e3:.1f} ms per pair"
    )
    return 0 if result["ratio"] >= TARGET and result["difference"] <= AGREEMENT else 1


if __name__ == "__main__":
    sys.exit(main())
