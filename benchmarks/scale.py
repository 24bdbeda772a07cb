"""Measures what grows with the number of clips: planning, the manifest, and the merge of shards.

No audio is read and nothing is embedded. For a corpus given by a table of so many rows (whose files
are there, and empty):

a. `snakemake --dry-run`: wall time, peak memory and number of jobs, before anything is made, and
   again with manifest, audio tables and embeddings in place;
b. a synthetic manifest of as many clips: checked, written and read, divided into splits and folds,
   and one shard cut from it, each in a process of its own;
c. extraction that computes nothing, but writes each shard's moments as they would be (base-size
   dimensions, two states instead of 13), and the merge of all shards that the Fréchet distances
   start with: its peak memory should depend on the number of sets, not of clips.

    python benchmarks/scale.py --clips 10000 100000 --output scale.json
"""

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow" / "scripts"))

from consonance import embeddings, manifest, scanning, splits
from consonance.moments import Cell, Moments, MomentsWriter, pack

PROJECT = Path(__file__).resolve().parents[1]
EMOTIONS = ["neutral", "calm", "happy", "sad", "angry", "fearful"]
DOMAINS = ["speech", "song"]
SPEAKERS = 200
FILES_PER_FOLDER = 1000
SHARD = 1024
FOLDS = 6
SEEDS = [0, 1, 2, 3, 4]
DIM, STATES = 768, 2


def table(clips: int) -> pd.DataFrame:
    """Returns the table of a corpus: every speaker in both domains and all emotions."""
    numbers = np.arange(clips)
    return pd.DataFrame(
        {
            "path": [f"{n // FILES_PER_FOLDER}/{n}.wav" for n in numbers],
            "emotion": np.take(EMOTIONS, numbers // len(DOMAINS) % len(EMOTIONS)),
            "domain": np.take(DOMAINS, numbers % len(DOMAINS)),
            "speaker": [f"s{n}" for n in numbers // (len(DOMAINS) * len(EMOTIONS)) % SPEAKERS],
        }
    )


def synthetic_manifest(clips: int) -> pd.DataFrame:
    """Returns the manifest that a scan of the table would give."""
    rows = table(clips)
    columns = {column: pd.Series([""] * clips, dtype=str) for column in manifest.TEXT_COLUMNS}
    frame = pd.DataFrame({column: columns.get(column) for column in manifest.COLUMNS})
    for column in ("path", "emotion", "domain", "speaker"):
        frame[column] = rows[column]
    frame["clip"] = [f"clip{n:08d}" for n in range(clips)]
    frame["corpus"] = "large"
    frame["content"] = [hashlib.sha256(clip.encode()).hexdigest() for clip in frame["clip"]]
    frame["duration"] = 4.0
    for column, value in (("rate", 16000), ("channels", 1)):
        frame[column] = pd.array([value] * clips, dtype="Int64")
    return frame.sort_values("clip", ignore_index=True)


def measured(command: list[str], **settings) -> dict:
    """Runs a command in a process of its own; returns seconds, peak MB and what it printed."""
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT, **settings)
        _, status, usage = os.wait4(process.pid, 0)
        stream.seek(0)
        said = stream.read()
    if status != 0:
        raise SystemExit(said[-3000:])
    seconds = time.perf_counter() - started
    return {"seconds": round(seconds, 1), "peak_mb": round(usage.ru_maxrss / 1024), "said": said}


def planning(folder: Path, clips: int) -> dict:
    """Plans the default experiment on a corpus of so many rows, empty and with files in place."""
    corpus = folder / "corpus"
    rows = table(clips)
    for number in range(0, clips, FILES_PER_FOLDER):
        (corpus / str(number // FILES_PER_FOLDER)).mkdir(parents=True)
    for path in rows["path"]:
        (corpus / path).touch()
    rows.to_csv(corpus / "table.csv", index=False)
    entry = {"adapter": "table", "source": "folder", "path": str(corpus / "table.csv")}
    changes = {"experiment": {"corpora": ["large"]}, "corpora": {"large": entry}}
    (folder / "large.yaml").write_text(yaml.safe_dump(changes), encoding="utf-8")
    (folder / "config.yaml").write_bytes((PROJECT / "config.yaml").read_bytes())
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--quiet", "host", "--cores", "2"]
    command += ["--snakefile", str(PROJECT / "Snakefile"), "--configfile", "large.yaml"]
    command += ["--directory", str(folder)]
    result = {}
    for state in ("nothing made", "embeddings made"):
        found = measured(command, cwd=folder)
        said = found.pop("said")
        jobs = Counter(re.findall(r"^(?:local)?rule (\w+):", said, flags=re.MULTILINE))
        found |= {"jobs": sum(jobs.values()), "extract": jobs["extract"]}
        result[state] = found
        if state == "nothing made":
            made = re.findall(r"^    output: (.*)$", said, flags=re.MULTILINE)
            wanted = ("manifest", "folds", "/audio/", "/embeddings/", "/models/")
            for line in (line for line in made if any(part in line for part in wanted)):
                for path in line.split(", "):
                    make(folder / path)
    return result


def make(path: Path) -> None:
    """Makes an empty file, or a folder where the name has no ending."""
    if path.suffix:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    else:
        path.mkdir(parents=True, exist_ok=True)


def child(step: str, folder: Path, clips: int) -> None:
    """One step of b or c, in this process."""
    path = folder / "manifest.csv"
    if step == "write the manifest":
        frame = synthetic_manifest(clips)
        scanning.validate(frame)
        manifest.write(frame, path)
    elif step == "no-op extraction":
        write_shards(folder, clips)
    elif step == "merge of moments":
        for _ in embeddings.frame_sets(sorted(folder.glob("*.moments.npz"))):
            pass
    else:
        frame = manifest.kept(manifest.read_manifest(path))
        if step.startswith("splits"):
            splits.draw(frame, scheme=step.split()[1], fractions=[0.6, 0.2, 0.2], seeds=SEEDS)
        elif step == "folds":
            splits.folds(frame, n_folds=FOLDS, seed=0).to_csv(folder / "folds.csv", index=False)
        elif step == "one shard":
            folds = pd.read_csv(folder / "folds.csv", dtype={"speaker": str})
            manifest.shard_rows(manifest.read_manifest(path), folds, 0, SHARD)


def write_shards(folder: Path, clips: int) -> None:
    """Writes the moments of every shard, with the cells that its clips have."""
    frame, folds = manifest.read_manifest(folder / "manifest.csv"), folder / "folds.csv"
    folds = pd.read_csv(folds, dtype={"speaker": str})
    scatter = pack(np.eye(DIM))
    moments = [Moments(200, np.zeros(DIM), scatter)] * STATES
    count = manifest.number_of_shards(clips, SHARD)
    rows = manifest.shard_rows(frame, folds, 0, clips)
    for shard in range(count):
        own = rows.iloc[shard * SHARD : (shard + 1) * SHARD]
        with MomentsWriter(folder / f"{shard}.moments.npz", states=STATES, dim=DIM) as writer:
            for key, some in own.groupby(["domain", "emotion", "fold"]):
                writer.add(Cell(*key), moments, clips=len(some))


STEPS = (
    "write the manifest",
    "splits random",
    "splits speaker",
    "folds",
    "one shard",
    "no-op extraction",
    "merge of moments",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--output", type=Path)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        step, folder = arguments.child
        child(step, Path(folder), arguments.clips[0])
        return
    found = {}
    for clips in arguments.clips:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            shards = manifest.number_of_shards(clips, SHARD)
            print(f"{clips:,} clips, {shards} shards", flush=True)
            result = planning(folder, clips)
            for state, row in result.items():
                print(f"  plan, {state}: {row}", flush=True)
            for step in STEPS:
                command = [sys.executable, __file__, "--clips", str(clips)]
                result[step] = measured([*command, "--child", step, str(folder)])
                result[step].pop("said")
                print(f"  {step}: {result[step]}", flush=True)
            found[clips] = result
    if arguments.output:
        arguments.output.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
