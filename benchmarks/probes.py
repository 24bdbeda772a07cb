"""Time of all probes of one job, trained together, against a plain PyTorch loop.

Both sides do the paper's work: a linear classifier per layer and seed, AdamW, cross-entropy,
shuffled mini-batches, validation accuracy and loss after every epoch. The plain side (nn.Linear,
torch.optim.AdamW, cross_entropy, tensors in memory) trains one probe after the other; one probe is
timed and scaled linearly to all of them, which favours it slightly (no set-up, warm caches). Each
side uses the number of threads that a short trial finds best for it; AdamW is timed as it is by
default and fused. The sides take turns, and the shortest time of each is kept. Both use the same
initial weights and batches; their predictions are compared.

    python benchmarks/probes.py [--json FILE]
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "workflow" / "scripts"))

from consonance import arrangement, probes

TARGET = 25
LABELS = ["neutral", "calm", "happy", "sad", "angry", "fearful"]
SIZES = (607, 202, 203)
SETTINGS = {
    "batch_size": 32,
    "learning_rate": 1e-3,
    "weight_decay": 0.01,
    "betas": (0.9, 0.999),
    "epsilon": 1e-8,
    "initial_scale": 1.0,
    "class_weights": "none",
    "standardise": False,
}


def corpus(layers, seeds, dim):
    rng = np.random.default_rng(0)
    n = sum(SIZES)
    emotions = np.arange(n) % len(LABELS)
    centres = 0.1 * rng.standard_normal((layers, len(LABELS), dim), dtype=np.float32)
    means = rng.standard_normal((layers, n, dim), dtype=np.float32) + centres[:, emotions]
    parts = np.stack([rng.permutation(np.repeat([0, 1, 2], SIZES)) for _ in range(seeds)])
    return means, emotions, parts.astype(np.int8)


def together(data, *, epochs, threads):
    means, emotions, parts = data
    return probes.train(
        means, emotions, parts, seeds=range(len(parts)), labels=LABELS,
        layers=range(1, len(means) + 1), epochs=epochs, threads=threads, **SETTINGS,
    )  # fmt: skip


def plain(data, plan, *, epochs, fused):
    """The loop one would write: one probe. Returns seconds, CPU seconds and test predictions."""
    means, emotions, _ = data
    train, validation, test = plan.rows
    x, y = torch.from_numpy(means[0]), torch.from_numpy(emotions)
    x_train, y_train = x[train], y[train]
    x_validation, y_validation = x[validation], y[validation]
    position = np.empty(len(emotions), dtype=np.int64)
    position[train] = np.arange(len(train))
    order = torch.from_numpy(position[plan.order])
    layer = torch.nn.Linear(x.shape[1], len(LABELS))
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(plan.initial[: -len(LABELS)]).view_as(layer.weight))
        layer.bias.copy_(torch.from_numpy(plan.initial[-len(LABELS) :]))
    optimiser = torch.optim.AdamW(
        layer.parameters(), lr=SETTINGS["learning_rate"], betas=SETTINGS["betas"],
        eps=SETTINGS["epsilon"], weight_decay=SETTINGS["weight_decay"], fused=fused,
    )  # fmt: skip
    best = (-1.0, -np.inf)
    begin, cpu = time.perf_counter(), time.process_time()
    for epoch in range(epochs):
        for batch in order[epoch].split(SETTINGS["batch_size"]):
            optimiser.zero_grad()
            F.cross_entropy(layer(x_train[batch]), y_train[batch]).backward()
            optimiser.step()
        with torch.no_grad():
            logits = layer(x_validation)
            right = (logits.argmax(1) == y_validation).double().mean().item()
            score = (right, -F.cross_entropy(logits, y_validation).item())
        if score > best:
            best = score
            kept = {name: value.clone() for name, value in layer.state_dict().items()}
    seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
    predicted = F.linear(x[test], kept["weight"], kept["bias"]).argmax(1).numpy()
    return seconds, cpu, predicted


def measure(options):
    data = corpus(options.layers, options.seeds, options.dim)
    threads = sorted({1, os.cpu_count() or 1})
    begin = time.perf_counter()
    together(data, epochs=1, threads=1)
    first_call = time.perf_counter() - begin
    begin = time.perf_counter()
    together(data, epochs=1, threads=1)
    compilation = first_call - (time.perf_counter() - begin)

    plan = probes._plan(
        data[1], data[2][0], seed=0, n_classes=len(LABELS), dim=options.dim,
        epochs=options.epochs, initial_scale=SETTINGS["initial_scale"], balanced=False,
    )  # fmt: skip

    def run(side, count, epochs):
        """Returns seconds and CPU seconds for all probes, and predictions of the first one."""
        torch.set_num_threads(count)
        if side == "together":
            begin, cpu = time.perf_counter(), time.process_time()
            result = together(data, epochs=epochs, threads=count)
            seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
            return seconds, cpu, result.predictions[0, 0, plan.rows[arrangement.TEST]]
        seconds, cpu, predicted = plain(data, plan, epochs=epochs, fused="fused" in side)
        scale = options.layers * options.seeds
        return seconds * scale, cpu * scale, predicted

    sides = ("together", "plain", "plain, fused AdamW")
    trial = {
        (side, count): run(side, count, min(options.trial_epochs, options.epochs))[0]
        for side in sides
        for count in threads
    }
    best = {side: min(threads, key=lambda count: trial[side, count]) for side in sides}
    times, cpu_times, predicted = {}, {}, {}
    for _ in range(options.rounds):
        for side in sides:
            seconds, cpu, predicted[side] = run(side, best[side], options.epochs)
            times.setdefault((side, best[side]), []).append(seconds)
            cpu_times.setdefault((side, best[side]), []).append(cpu)
    agreement = float((predicted["together"] == predicted["plain"]).mean())

    rows = [
        {
            "side": side,
            "threads": count,
            "seconds": min(values),
            "cpu_seconds": min(cpu_times[side, count]),
        }
        for (side, count), values in times.items()
    ]

    def shortest(key, *sides):
        return min(row[key] for row in rows if row["side"] in sides)

    return {
        "what": f"{options.layers} layers x {options.seeds} seeds x {options.epochs} epochs, "
        f"{'/'.join(map(str, SIZES))} clips of {options.dim} dimensions",
        "rows": rows,
        "compilation_seconds": compilation,
        "ratio": shortest("seconds", "plain") / shortest("seconds", "together"),
        "ratio_to_fused": shortest("seconds", "plain", "plain, fused AdamW")
        / shortest("seconds", "together"),
        "cpu_ratio": shortest("cpu_seconds", "plain") / shortest("cpu_seconds", "together"),
        "target": TARGET,
        "same_predictions": agreement,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--dim", type=int, default=768)
    parser.add_argument("--epochs", type=int, default=500)
    parser.add_argument("--trial-epochs", type=int, default=10, help="to choose threads with")
    parser.add_argument("--rounds", type=int, default=3, help="turns of both sides")
    parser.add_argument("--json", type=Path, help="write the result here as well")
    options = parser.parse_args()
    result = measure(options)

    print(result["what"])
    print(f"{'':24}{'threads':>8}{'seconds':>10}{'CPU s':>10}")
    for row in sorted(result["rows"], key=lambda row: (row["side"], row["threads"])):
        print(f"{row['side']:24}{row['threads']:8}{row['seconds']:10.1f}{row['cpu_seconds']:10.1f}")
    print("(plain: one probe timed, scaled linearly)")
    print(f"compilation, once per process: {result['compilation_seconds']:.1f} s, not included")
    print(f"test predictions equal:        {result['same_predictions']:.1%}")
    print(f"ratio, best of each side:      {result['ratio']:.1f} (target {TARGET})")
    print(f"  against fused AdamW:         {result['ratio_to_fused']:.1f}")
    print(f"  in CPU time:                 {result['cpu_ratio']:.1f}")
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
