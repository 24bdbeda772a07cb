"""A copy of the project to run the workflow in, and what tells two runs' results apart."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

PARTS = (
    "Snakefile",
    "config.yaml",
    "CITATION.cff",
    "rules",
    "workflow",
    "envs",
    "profiles",
    "tests/demo",
)
# What a run says about itself; everything else must repeat to the byte.
NOT_RESULTS = {"logs", "benchmarks", "report/run_times.html", "report/versions.html"}


def copy_project(project: Path, folder: Path) -> None:
    """Copies what the workflow consists of into a folder."""
    for part in PARTS:
        source = project / part
        target = folder / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)


def digests(folder: Path, part: str = "results") -> dict[str, str]:
    """Returns the SHA-256 of every result (or resource), by path."""
    root = folder / part
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
        and path.relative_to(root).parts[0] not in NOT_RESULTS
        and str(path.relative_to(root)) not in NOT_RESULTS
        and not path.name.startswith(".snakemake")
    }


def snakemake(folder: Path, *arguments: str) -> str:
    """Runs Snakemake in a copy of the project and returns all that it says."""
    command = [sys.executable, "-m", "snakemake", "--cores", "2", *arguments]
    command += ["--configfile", "tests/demo/config.yaml", "tests/demo/small.yaml"]
    if (folder / "changes.yaml").exists():
        command.append("changes.yaml")
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-5000:]
    return said


def change(folder: Path, changes: dict) -> None:
    """Writes the part of the configuration in which the next runs differ."""
    (folder / "changes.yaml").write_text(yaml.safe_dump(changes), encoding="utf-8")
