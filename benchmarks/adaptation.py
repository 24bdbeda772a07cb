"""Measures two-stage adaptation beside the loops that people write.

One run on one machine gives:

a. one epoch of PEFT on a base-size wav2vec 2.0 with random weights: `Trainer` (state 0 cached,
   clips in groups of like length) against a plain loop over the library's model with the same
   trained parts (raw audio in, random batches padded to their longest clip, a frame mask), both
   with training and validation. The cache is made once per job, so its time is given beside the
   ratio, as well as per epoch of a stage's epochs. Both sides take turns, batch by batch;
b. peak memory of both, each in a process of its own (GPU memory if there is a GPU);
c. from a, how long the paper's Table III takes: 3 models, 2 directions, 2 stages;
d. on a GPU, how far mixed precision moves the logits and what it saves;
e. the weighted sum on clip means: all seeds, both stages and directions of one model.

    python benchmarks/adaptation.py --recordings FOLDER --clips 64 --json adaptation.json

Recordings are any folder of .flac or .wav; 607 clips are the paper's epoch.
"""

import argparse
import copy
import json
import os
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
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow" / "scripts"))

from consonance.adaptation import approaches, front_end, modules, pooled, stages
from consonance.adaptation.training import Trainer
from consonance.arrangement import Arranged
from consonance.contents import content_hash
from consonance.encoders import ModelSpec, load_encoder

RATE, CLASSES = 16000, 6
TARGETS = {"cpu": 2.0, "cuda": 4.0, "pooled seconds": 30.0, "table III minutes on a GPU": 30.0}
PAPER = {"models": 3, "directions": 2, "stages": 2, "epochs": 300, "train": 607, "validation": 202}
SPEC = ModelSpec(
    name="base", family="wav2vec2", source="random", sampling_rate=RATE, normalise=True, seed=1
)
SETTINGS = {
    "run": ["ws", "peft"],
    "controls": [],
    "fractions": [1.0],
    "training": {
        "epochs": 300,
        "batch_size": 32,
        "weight_decay": 0.01,
        "betas": [0.9, 0.999],
        "epsilon": 1e-8,
        "initial_scale": 1.0,
    },
    "gate": {"function": "sigmoid", "initial": 1.0, "place": "path"},
    "lora": {"modules": ["q_proj", "k_proj", "v_proj", "out_proj"], "rank": 8, "alpha": 1.0},
    "adapter": {"width": 64, "scale": 1.0, "places": ["output"]},
    "approaches": {
        "ws": {"trains": ["layer_weights"], "learning_rate": 0.001},
        "peft": {
            "trains": ["layer_weights", "gate", "lora", "adapter"],
            "learning_rate": 0.0001,
        },
    },
}
LABELS = [str(label) for label in range(CLASSES)]
RUN = stages.Run("speech-to-song", 1, 1.0, 0, "speech", "song")


def approach(name):
    return approaches.read(approaches.resolve(SETTINGS))[name]


def prepare(recordings, count, folder):
    """Resamples recordings, spread over the folder, to mono wavs."""
    files = sorted(p for p in recordings.rglob("*") if p.suffix in (".flac", ".wav"))
    if not files:
        raise SystemExit(f"{recordings} has no .flac or .wav files.")
    rows = []
    for number, place in enumerate(np.linspace(0, len(files) - 1, count).astype(int)):
        wave, rate = soundfile.read(files[place], dtype="float32", always_2d=True)
        path = folder / f"{number:05d}.wav"
        wave = soxr.resample(wave.mean(1), rate, RATE)
        soundfile.write(path, wave, RATE, subtype="FLOAT")
        rows.append({"clip": path.stem, "path": str(path), "content": content_hash(wave, RATE)})
    return pd.DataFrame(rows)


def arranged(count):
    """Three quarters train, a quarter validates, as 607 to 202; one clip is tested."""
    rng = np.random.default_rng(0)
    parts = np.zeros(count, dtype=np.int8)
    parts[rng.permutation(count)[: round(count / 4)]] = 1
    parts[np.flatnonzero(parts == 0)[-1]] = 2
    emotions = np.arange(count) % CLASSES
    clips = [f"{number:05d}" for number in range(count)]
    return Arranged(clips, np.arange(count), emotions, [0], parts[None])


class Ours:
    """`Trainer`, step by step."""

    def __init__(self, recordings, own, options):
        encoder = load_encoder(SPEC, device=options.device)
        batch_seconds = options.batch_seconds
        began = time.perf_counter()
        cache = front_end.compute(
            recordings, encoder, window_seconds=30, batch_seconds=batch_seconds
        )
        self.once = time.perf_counter() - began
        model = modules.AdaptedEncoder(encoder, approach("peft"), n_classes=CLASSES)
        model.reset(seed=0, initial_scale=1.0)
        self.trainer = Trainer(
            model,
            cache,
            {"speech": own},
            labels=LABELS,
            configuration={},
            folder=Path("unused"),
            precision=options.precision,
            batch_seconds=batch_seconds,
            save_seconds=1e9,
        )
        self.optimiser = torch.optim.AdamW(model.trained.values(), lr=1e-4)
        self.own = own

    def step(self, numbers):
        """The body of `Trainer._epoch` for one batch."""
        trainer = self.trainer
        self.optimiser.zero_grad(set_to_none=True)
        for group in trainer.front_end.by_length(numbers, most_rows=trainer.most_rows):
            truth = torch.tensor(self.own.emotions[group], device=trainer.device)
            logits = trainer._logits(group).float()
            (functional.cross_entropy(logits, truth, reduction="sum") / len(numbers)).backward()
        self.optimiser.step()

    def validate(self, numbers):
        self.trainer.predict("speech", numbers)


class Plain:
    """The library's model on padded raw audio, with the same trained parts."""

    def __init__(self, recordings, own, options):
        from transformers import Wav2Vec2Config, Wav2Vec2Model

        self.device, self.own = torch.device(options.device), own
        config = Wav2Vec2Config(layerdrop=0.0, apply_spec_augment=False, mask_time_prob=0.0)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SPEC.seed)
            self.model = Wav2Vec2Model(config).requires_grad_(False).eval().to(self.device)
        # The same parts around the library's own blocks.
        encoder = load_encoder(SPEC, device="cpu")
        shell = copy.copy(encoder)
        shell._modules = dict(encoder._modules) | {"blocks": self.model.encoder.layers}
        shell.device = self.device
        self.parts = modules.AdaptedEncoder(shell, approach("peft"), n_classes=CLASSES)
        for block in self.model.encoder.layers.modules():
            if type(block) is modules.FrozenLinear:
                block.__class__ = torch.nn.Linear
        self.parts.reset(seed=0, initial_scale=1.0)
        for index, block in enumerate(self.model.encoder.layers):
            block.register_forward_hook(self._adapt(index))
        self.optimiser = torch.optim.AdamW(self.parts.trained.values(), lr=1e-4)
        self.waves = [
            encoder.prepare(soundfile.read(path, dtype="float32")[0]) for path in recordings["path"]
        ]

    def _adapt(self, index):
        def hook(_, __, output):
            parts = self.parts
            hidden = output[0] if isinstance(output, tuple) else output
            factors = modules.gate_values(parts.gates, parts.approach.gate)
            hidden = parts.adapters["output"][index](hidden) * factors[index]
            return (hidden, *output[1:]) if isinstance(output, tuple) else hidden

        return hook

    def logits(self, numbers):
        waves = [torch.from_numpy(self.waves[number]) for number in numbers]
        padded = torch.nn.utils.rnn.pad_sequence(waves, batch_first=True).to(self.device)
        lengths = torch.tensor([len(wave) for wave in waves], device=self.device)
        mask = torch.arange(padded.shape[1], device=self.device) < lengths[:, None]
        out = self.model(padded, attention_mask=mask, output_hidden_states=True)
        frames = self.model._get_feature_vector_attention_mask(
            out.hidden_states[0].shape[1], mask.long()
        )
        share = frames.float() / frames.sum(1, keepdim=True)
        stacked = torch.stack(out.hidden_states[1:])
        pooled_states = (stacked * share[None, :, :, None]).sum(2)
        weights = self.parts.shares_of_layers()
        return self.parts.head((weights[:, None, None] * pooled_states).sum(0))

    def step(self, numbers):
        self.optimiser.zero_grad(set_to_none=True)
        truth = torch.tensor(self.own.emotions[numbers], device=self.device)
        functional.cross_entropy(self.logits(numbers), truth).backward()
        self.optimiser.step()

    def validate(self, numbers):
        with torch.no_grad():
            for begin in range(0, len(numbers), 32):
                self.logits(numbers[begin : begin + 32])


def timed(call, device):
    """Returns seconds, and CPU seconds of this process, which other processes do not lengthen."""
    began, cpu = time.perf_counter(), time.process_time()
    call()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began, time.process_time() - cpu


def epoch(options, folder):
    """Measures a, c and d."""
    own = arranged(options.clips)
    recordings = prepare(options.recordings, options.clips, folder)
    sides = {"ours": Ours(recordings, own, options), "plain": Plain(recordings, own, options)}
    clips = stages.clips_of(own, RUN)
    order = stages.order(clips, RUN, 1)
    batches = [order[i : i + 32] for i in range(0, len(order), 32)]
    for side in sides.values():  # warm
        side.step(order[:2])
    seconds = {name: {"train": [], "validation": []} for name in sides}
    turns = [("train", batch) for batch in batches] + [("validation", clips.validation)]
    turns *= options.rounds
    for number, (kind, rows) in enumerate(turns):
        names = list(sides) if number % 2 else list(sides)[::-1]
        for name in names:
            side = sides[name]
            call = side.step if kind == "train" else side.validate
            spent = timed(lambda call=call, rows=rows: call(rows), options.device)
            seconds[name][kind].append(np.array(spent) / len(rows))
    total, cpu = (
        {
            name: sum(
                PAPER[kind] * float(np.median([spent[clock] for spent in seconds[name][kind]]))
                for kind in seconds[name]
            )
            for name in sides
        }
        for clock in (0, 1)
    )
    once = sides["ours"].once / options.clips * 2 * (PAPER["train"] + PAPER["validation"])
    runs = PAPER["models"] * PAPER["directions"]
    whole = runs * (PAPER["stages"] * PAPER["epochs"] * total["ours"] + once)
    result = {
        "clips": options.clips,
        "mean_seconds_per_clip": float(
            np.mean([soundfile.info(path).duration for path in recordings["path"]])
        ),
        "seconds_of_the_papers_epoch": total,
        "ratio": total["plain"] / total["ours"],
        "cpu_ratio": cpu["plain"] / cpu["ours"],
        "ratio_training": _ratio(seconds, "train"),
        "ratio_validation": _ratio(seconds, "validation"),
        "cache_seconds_of_the_papers_clips": once,
        "table_three_minutes": whole / 60,
        "table_three_minutes_plain": runs * 600 * total["plain"] / 60,
    }
    if options.device == "cuda":
        result |= precision(sides["ours"], clips.validation, order[:32])
    return result


def _ratio(seconds, kind):
    plain, ours = (np.median([s[0] for s in seconds[name][kind]]) for name in ("plain", "ours"))
    return float(plain / ours)


def precision(side, validation, batch):
    """Mixed against full precision: logits, decisions, time of a step."""
    trainer, found = side.trainer, {}
    for name in ("float32", "bfloat16"):
        trainer.precision = name
        side.step(batch[:2])
        logits = trainer.predict("speech", validation)
        found[name] = (logits, timed(lambda: side.step(batch), "cuda")[0])
    (full, slow), (mixed, fast) = found["float32"], found["bfloat16"]
    return {
        "mixed_precision_largest_difference": float((full - mixed).abs().max()),
        "mixed_precision_same_decisions": float((full.argmax(1) == mixed.argmax(1)).float().mean()),
        "mixed_precision_ratio": slow / fast,
    }


def peak(options, side):
    """Peak memory (GiB) of a few steps of one side, in a process of its own."""
    command = [sys.executable, __file__, "--recordings", str(options.recordings), "--clips", "36"]
    command += ["--child", side, "--device", options.device, "--precision", options.precision]
    command += ["--batch-seconds", str(options.batch_seconds), "--threads", str(options.threads)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def child(options):
    with tempfile.TemporaryDirectory() as folder:
        own = arranged(options.clips)
        recordings = prepare(options.recordings, options.clips, Path(folder))
        side = {"ours": Ours, "plain": Plain}[options.child](recordings, own, options)
        side.step(stages.clips_of(own, RUN).train[:32])
    gpu = torch.cuda.max_memory_allocated() if options.device == "cuda" else 0
    host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({"host_gib": host, "gpu_gib": gpu / 2**30}))


def weighted_sum(options):
    """Measures e on random means of real size."""
    rng = np.random.default_rng(0)
    clips, layers, dim, seeds = 1000, 12, 768, list(range(5))
    means = rng.standard_normal((2 * clips, layers, dim), dtype=np.float32)
    found = {}
    for number, domain in enumerate(("speech", "song")):
        parts = np.stack([rng.permutation(np.repeat([0, 1, 2], [600, 200, 200])) for _ in seeds])
        rows = np.arange(clips) + number * clips
        found[domain] = Arranged(
            [str(row) for row in rows], rows, np.arange(clips) % CLASSES, seeds, parts
        )
    began, cpu = time.perf_counter(), time.process_time()
    results = pooled.train(
        means, found, [approach("ws")], domains=("speech", "song"), seeds=seeds, labels=LABELS,
        threads=options.threads,
    )["ws"]  # fmt: skip
    return {
        "runs": len(results),
        "seconds": time.perf_counter() - began,
        "cpu_seconds": time.process_time() - cpu,
        "threads": options.threads,
        "target_seconds": TARGETS["pooled seconds"],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recordings", type=Path, required=True, help="folder of .flac or .wav")
    parser.add_argument("--clips", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3, help="epochs, of which the median counts")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--batch-seconds", type=float, help="16 on a CPU, 320 on a GPU")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", choices=("epoch", "memory", "pooled"), action="append")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", choices=("ours", "plain"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.batch_seconds is None:
        options.batch_seconds = 320.0 if options.device == "cuda" else 16.0
    torch.set_num_threads(options.threads)
    if options.child:
        child(options)
        return
    wanted = options.only or ["epoch", "memory", "pooled"]
    device = torch.cuda.get_device_name() if options.device == "cuda" else "cpu"
    result = {"device": device, "threads": options.threads, "cores": os.cpu_count()}
    result |= {"precision": options.precision, "target": TARGETS[options.device]}
    if "pooled" in wanted:
        result["pooled"] = weighted_sum(options)
    if "epoch" in wanted:
        with tempfile.TemporaryDirectory() as folder:
            result["epoch"] = epoch(options, Path(folder))
    if "memory" in wanted:
        result["memory"] = {side: peak(options, side) for side in ("ours", "plain")}
    print(json.dumps(result, indent=2))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
