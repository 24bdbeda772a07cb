"""A tiny two-domain corpus, encoder and configuration, shared by the tests of adaptation."""

import copy
from pathlib import Path

import encoder_models
import numpy as np
import pandas as pd
import soundfile

from consonance import splits
from consonance.adaptation import approaches, front_end, modules, stages
from consonance.adaptation.training import Trainer
from consonance.contents import content_hash
from consonance.encoders import load_encoder

LABELS = ["calm", "angry"]
DOMAINS = ["speech", "song"]
SETTINGS = {
    "run": ["baseline", "ws", "peft"],
    "controls": [],
    "fractions": [0.5, 1.0],
    "training": {
        "epochs": 3,
        "batch_size": 4,
        "weight_decay": 0.01,
        "betas": [0.9, 0.999],
        "epsilon": 1e-8,
        "initial_scale": 1.0,
    },
    "gate": {"function": "sigmoid", "initial": 1.0, "place": "path"},
    "lora": {"modules": ["q_proj", "v_proj"], "rank": 2, "alpha": 1.0},
    "adapter": {"width": 4, "scale": 1.0, "places": ["output"]},
    "approaches": {
        "baseline": {"trains": [], "learning_rate": 0.01},
        "ws": {"trains": ["layer_weights"], "learning_rate": 0.01},
        "peft": {
            "trains": ["layer_weights", "gate", "lora", "adapter"],
            "learning_rate": 0.01,
            "fractions": [1.0],
        },
    },
}


def settings(**changes) -> dict:
    """Returns `SETTINGS` with whole sections replaced key by key."""
    result = copy.deepcopy(SETTINGS)
    for section, values in changes.items():
        if isinstance(values, dict):
            result[section] = {**result[section], **values}
        else:
            result[section] = values
    return result


def approach(name: str, **changes) -> approaches.Approach:
    """Reads one approach of `settings`."""
    full = settings(**changes)
    full["run"] = [name]
    return approaches.read(approaches.resolve(full))[name]


def manifest(speakers: int = 5, repetitions: int = 2) -> pd.DataFrame:
    """Makes a manifest: every speaker says and sings every emotion, some times each."""
    rows = [
        {
            "clip": f"{domain}-{speaker}-{emotion}-{repetition}",
            "corpus": "demo",
            "domain": domain,
            "emotion": emotion,
            "intensity": "",
            "speaker": f"s{speaker}",
            "sex": "",
            "statement": "",
            "repetition": str(repetition),
            "duplicate_of": "",
        }
        for domain in DOMAINS
        for speaker in range(speakers)
        for emotion in LABELS
        for repetition in range(repetitions)
    ]
    return pd.DataFrame(rows).sort_values("clip", ignore_index=True)


def drawn(table: pd.DataFrame, scheme: str = "random", seeds=(0,)) -> pd.DataFrame:
    """Draws splits of a manifest."""
    return splits.draw(table, scheme=scheme, fractions=[0.6, 0.2, 0.2], seeds=list(seeds))


def write_clips(folder: Path, table: pd.DataFrame, rate: int = 16000) -> list[Path]:
    """Writes a short recording per clip: a tone per emotion, in noise."""
    rng = np.random.default_rng(0)
    paths = []
    for number, (clip, emotion) in enumerate(zip(table["clip"], table["emotion"], strict=True)):
        samples = 1500 + 320 * (number % 4)
        pitch = {"calm": 0.05, "angry": 0.4}[emotion]
        wave = np.sin(pitch * np.arange(samples)) + 0.1 * rng.standard_normal(samples)
        paths.append(folder / f"{clip}.wav")
        soundfile.write(paths[-1], (0.1 * wave).astype(np.float32), rate, subtype="FLOAT")
    return paths


def recordings_of(table: pd.DataFrame, paths: list[Path]) -> pd.DataFrame:
    """Adds where clips are, and the hash of their samples."""
    contents = [content_hash(*soundfile.read(path, dtype="float32")) for path in paths]
    return table.assign(path=[str(path) for path in paths], content=contents)


def trainer(
    folder: Path,
    recordings: Path,
    chosen: approaches.Approach,
    *,
    scheme: str = "random",
    model: str = "wav2vec2",
    batch_seconds: float = 0.3,
    save_seconds: float = 0.0,
    configuration: dict | None = None,
) -> Trainer:
    """Builds a trainer on the tiny corpus."""
    table = manifest()
    recordings.mkdir(exist_ok=True)
    paths = write_clips(recordings, table)
    encoder = load_encoder(encoder_models.random_spec(model), device="cpu")
    cache = front_end.compute(
        recordings_of(table, paths), encoder, window_seconds=30, batch_seconds=1
    )
    return Trainer(
        modules.AdaptedEncoder(encoder, chosen, n_classes=len(LABELS)),
        cache,
        stages.arrange(
            cache.clips, table, drawn(table, scheme), domains=DOMAINS, labels=LABELS, scheme=scheme
        ),
        labels=LABELS,
        configuration=configuration or {"approach": chosen.name},
        folder=folder,
        precision="float32",
        batch_seconds=batch_seconds,
        save_seconds=save_seconds,
    )


def runs(chosen: approaches.Approach, direction: str = "speech-to-song") -> list[stages.Run]:
    """Lists the runs of an approach in one direction with seed 0."""
    return stages.plan(direction, chosen, domains=DOMAINS, seeds=[0])
