"""Measures extraction beside the bare forward passes of the library's own model.

One run on one machine gives, for a base-size wav2vec 2.0 with random weights on real recordings:

a. the library's model on the same clips, one at a time, `output_hidden_states=True`, nothing
   kept;
b. `extract_shard` on the same clips: reading, forward passes, clip means and moments of every
   state, both files written;
c. one pass per layer and per directory, as fadtk works: estimated as a's time per clip times the
   number of blocks (its decoding, saving and statistics are left out, which favours it);
d. the peak memory of extracting two numbers of clips, each in a process of its own.

a and b take turns on small blocks of clips, in alternating order, so that whatever else the
machine does meets both alike; the ratio is the median over blocks. Beside the clock, processor
time is kept: on a busy machine run with one thread it says more. Run it as

    python benchmarks/extraction.py --recordings FOLDER --clips 100 --output extraction.json
"""

import argparse
import json
import logging
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import soxr
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow" / "scripts"))

from consonance.contents import content_hash
from consonance.encoders import DTYPES, ModelSpec, load_encoder
from consonance.encoders.base import Encoder
from consonance.extraction import extract_shard

RATE = 16000
SPEC = ModelSpec(
    name="base", family="wav2vec2", source="random", sampling_rate=RATE, normalise=True, seed=1
)


def prepare(recordings: Path, count: int, folder: Path) -> pd.DataFrame:
    """Resamples recordings, spread over the folder, to mono wavs; repeats them if too few."""
    files = sorted(p for p in recordings.rglob("*") if p.suffix in (".flac", ".wav"))
    if not files:
        raise SystemExit(f"{recordings} has no .flac or .wav files.")
    chosen = [files[i] for i in np.linspace(0, len(files) - 1, min(count, len(files))).astype(int)]
    rows, contents = [], {}
    for number in range(count):
        source = chosen[number % len(chosen)]
        target = folder / f"{number % len(chosen)}.wav"
        if not target.exists():
            wave, rate = soundfile.read(source, dtype="float32", always_2d=True)
            wave = soxr.resample(wave.mean(1), rate, RATE, quality="VHQ")
            soundfile.write(target, wave, RATE, subtype="FLOAT")
            contents[target] = content_hash(wave, RATE)
        song = source.name.split("-")[1:2] == ["02"]
        rows.append(
            {
                "clip": f"{number:05d}",
                "path": str(target),
                "content": contents[target],
                "domain": "song" if song else "speech",
                "emotion": "-".join(source.name.split("-")[2:3]) or "any",
                "fold": 0,
            }
        )
    return pd.DataFrame(rows)


def now() -> np.ndarray:
    """Returns the time on the clock and this process's processor time, in seconds."""
    return np.array([time.perf_counter(), time.process_time()])


def forward(model: torch.nn.Module, waves: list[torch.Tensor]) -> np.ndarray:
    """Runs the library's model on clips one at a time; returns the times of `now`."""
    started = now()
    with torch.inference_mode():
        for wave in waves:
            model(wave, output_hidden_states=True)
        if waves[0].is_cuda:
            torch.cuda.synchronize()
    return now() - started


def extract(rows: pd.DataFrame, encoder: Encoder, batch_seconds: float, threads: int) -> np.ndarray:
    """Runs extraction to files; returns the times of `now`."""
    with tempfile.TemporaryDirectory() as folder:
        started = now()
        extract_shard(
            rows,
            encoder,
            means_path=Path(folder) / "means.npz",
            moments_path=Path(folder) / "moments.npz",
            batch_seconds=batch_seconds,
            window_seconds=30.0,
            long_clips="window",
            threads=threads,
        )
        return now() - started


def library_model(device: str) -> torch.nn.Module:
    """Builds the library's model with the same weights."""
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    config = Wav2Vec2Config(layerdrop=0.0, apply_spec_augment=False, mask_time_prob=0.0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SPEC.seed)
        return Wav2Vec2Model(config).eval().to(device)


def compare(rows: pd.DataFrame, arguments: argparse.Namespace) -> dict:
    """Measures a and b in turns, and c from a."""
    torch.set_num_threads(arguments.threads)
    encoder = load_encoder(SPEC, device=arguments.device, dtype=DTYPES[arguments.dtype])
    model = library_model(arguments.device)
    rows = rows.sort_values(["domain", "emotion", "clip"], ignore_index=True)
    blocks = [
        rows.iloc[first : first + arguments.block] for first in range(0, len(rows), arguments.block)
    ]
    bare, ours = [], []
    for number, block in enumerate([blocks[0], *blocks]):
        waves = [
            torch.from_numpy(encoder.prepare(soundfile.read(path, dtype="float32")[0]))[None]
            for path in block["path"]
        ]
        waves = [wave.to(arguments.device) for wave in waves]
        sides = [
            lambda waves=waves: forward(model, waves),
            lambda block=block: extract(block, encoder, arguments.batch_seconds, arguments.threads),
        ]
        seconds = [np.zeros(2), np.zeros(2)]
        for side in (0, 1) if number % 2 else (1, 0):
            seconds[side] = sides[side]()
        if number:  # the first block warms up
            bare.append(seconds[0] / len(block))
            ours.append(seconds[1] / len(block))
    (bare, bare_processor), (ours, ours_processor) = np.transpose(bare), np.transpose(ours)
    ratios = bare / ours
    blocks_count = encoder.n_states - 1
    return {
        "clips": len(rows),
        "mean_seconds_per_clip": float(
            np.mean([soundfile.info(path).duration for path in rows["path"]])
        ),
        "bare_seconds_per_clip": float(np.median(bare)),
        "extraction_seconds_per_clip": float(np.median(ours)),
        "throughput_ratio": float(np.median(ratios)),
        "throughput_ratio_quartiles": np.quantile(ratios, [0.25, 0.75]).tolist(),
        "total_ratio": float(np.sum(bare) / np.sum(ours)),
        "bare_processor_seconds_per_clip": float(np.median(bare_processor)),
        "extraction_processor_seconds_per_clip": float(np.median(ours_processor)),
        "processor_time_ratio": float(np.median(bare_processor / ours_processor)),
        "pass_per_layer_ratio": float(np.median(ratios) * blocks_count),
        "pass_per_layer": f"estimated: the bare pass of a clip times {blocks_count} layers",
    }


def peak_memory(arguments: argparse.Namespace, count: int) -> dict:
    """Extracts `count` clips in a child process; returns its peak resident memory."""
    command = [sys.executable, __file__, "--recordings", str(arguments.recordings)]
    command += ["--child", str(count), "--threads", str(arguments.threads)]
    command += ["--batch-seconds", str(arguments.batch_seconds), "--device", arguments.device]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def child(arguments: argparse.Namespace) -> None:
    """The child of `peak_memory`."""
    with tempfile.TemporaryDirectory() as folder:
        rows = prepare(arguments.recordings, arguments.child, Path(folder))
        encoder = load_encoder(SPEC, device=arguments.device)
        seconds, _ = extract(rows, encoder, arguments.batch_seconds, arguments.threads)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({"clips": arguments.child, "peak_gib": peak, "seconds": seconds}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recordings", type=Path, required=True, help="folder of .flac or .wav")
    parser.add_argument("--clips", type=int, default=100)
    parser.add_argument("--block", type=int, default=20, help="clips per turn")
    parser.add_argument("--memory", type=int, nargs="*", default=[], help="clips per child process")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=DTYPES, default="float32")
    parser.add_argument("--batch-seconds", type=float, default=0.0)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    logging.getLogger("transformers").setLevel(logging.ERROR)
    if arguments.child is not None:
        child(arguments)
        return
    result = {
        "machine": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": arguments.threads,
        "device": arguments.device,
        "dtype": arguments.dtype,
        "torch": torch.__version__,
    }
    with tempfile.TemporaryDirectory() as folder:
        result |= compare(prepare(arguments.recordings, arguments.clips, Path(folder)), arguments)
    result["memory"] = [peak_memory(arguments, count) for count in arguments.memory]
    print(f"bare forward passes   {result['bare_seconds_per_clip']:8.4f} s/clip")
    print(f"extraction            {result['extraction_seconds_per_clip']:8.4f} s/clip")
    low, high = result["throughput_ratio_quartiles"]
    print(f"throughput            {result['throughput_ratio']:8.2f} x  ({low:.2f} to {high:.2f})")
    print(f"processor time        {result['processor_time_ratio']:8.2f} x")
    print(f"pass per layer        {result['pass_per_layer_ratio']:8.1f} x  (estimated)")
    for peak in result["memory"]:
        print(f"peak memory           {peak['peak_gib']:8.2f} GiB with {peak['clips']} clips")
    if arguments.output:
        arguments.output.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
