"""A STAND-IN for conda, for a test: the few commands that Snakemake 9 calls, done with py-rattler.

Lies as `bin/conda` in a folder of its own. A channel `name` is `channels/name` there, whatever the
environment file means by it.
"""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import rattler
import yaml

ROOT = Path(__file__).resolve().parent.parent
# The oldest conda that Snakemake 9 takes is 24.7.1.
VERSION = "24.7.1"


async def create(file: Path, prefix: Path) -> None:
    """Makes an environment: solves and installs its conda entries, then its pip section."""
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    *entries, section = content["dependencies"]
    channels = [
        rattler.Channel((ROOT / "channels" / name).as_uri())
        for name in content["channels"]
        if name != "nodefaults"
    ]
    records = await rattler.solve(
        channels,
        [rattler.MatchSpec(entry) for entry in entries],
        platforms=["linux-64", "noarch"],
        virtual_packages=rattler.VirtualPackage.detect(),
    )
    await rattler.install(records, prefix, show_progress=False)
    python = prefix / "bin/python"
    command = [python, "-m", "pip", "install", "--quiet", "--no-warn-script-location"]
    subprocess.run([*command, *section["pip"]], check=True)


def main(arguments: list[str]) -> None:
    """Answers one command as conda does."""
    match arguments:
        case ["--version"]:
            print(f"conda {VERSION}")
        case ["info", *_]:
            print(json.dumps({"conda_prefix": str(ROOT), "platform": "linux-64"}))
        case ["config", "--get", *_]:
            print(json.dumps({"get": {"channel_priority": "strict"}}))
        case ["clean", *_]:
            pass
        case ["env", "create", *options]:
            file, prefix = (options[options.index(name) + 1] for name in ("--file", "--prefix"))
            asyncio.run(create(Path(file), Path(prefix)))
        case _:
            sys.exit(f"The stand-in for conda does not know the command {arguments}.")


main(sys.argv[1:])
