"""Asks the Python index for every version that an environment pins, pip's own included."""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

PROJECT = Path(sys.argv[1])
sys.path[:0] = [str(PROJECT / "tests"), str(PROJECT / "workflow/scripts")]

from environments import normal, read_environment  # noqa: E402


def pinned() -> dict[str, str]:
    """Returns name and version of everything that some environment pins."""
    found = {}
    for path in sorted((PROJECT / "envs").glob("*.yaml")):
        entries, pins = read_environment(path)
        conda = dict(re.fullmatch(r"(\S+) =(\S+)", entry).groups() for entry in entries)
        found |= pins | {"pip": conda["pip"]}
    return found


def index_only() -> dict[str, str]:
    """Returns an environment in which pip sees its one index and no files beside it."""
    configured = [sys.executable, "-m", "pip", "config", "get", "global.index-url"]
    said = subprocess.run(configured, capture_output=True, text=True, check=False).stdout.strip()
    beside = {"PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"}
    kept = {name: value for name, value in os.environ.items() if name not in beside}
    return ({"PIP_INDEX_URL": said} if said else {}) | kept | {"PIP_CONFIG_FILE": os.devnull}


def main() -> None:
    """Fails with pip's own words if a version is not there; names nothing but versions."""
    wanted = pinned()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--no-deps"]
        command += ["--ignore-installed", "--report", str(report)]
        command += [f"{name}=={version}" for name, version in wanted.items()]
        subprocess.run(command, env=index_only(), check=True)
        entries = json.loads(report.read_text(encoding="utf-8"))["install"]
    found = {normal(one["metadata"]["name"]): one["metadata"]["version"] for one in entries}
    different = {name: found.get(name) for name in wanted if found.get(name) != wanted[name]}
    if different:
        sys.exit(f"The index has other versions than envs/ pin: {different}.")
    print(f"All {len(wanted)} pinned versions are on the index.")


main()
