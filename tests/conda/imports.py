"""Runs the imports of each environment's scripts in that environment, with nothing else in reach.

python imports.py PROJECT FOLDER_OF_ENVIRONMENTS
"""

import json
import subprocess
import sys
from pathlib import Path

import yaml

PROJECT = Path(sys.argv[1])
SCRIPTS = PROJECT / "workflow/scripts"
sys.path[:0] = [str(PROJECT / "tests"), str(SCRIPTS)]

from environments import modules, pins, scripts_by_environment, statements  # noqa: E402


def run(python: Path, *arguments: str) -> str:
    """Runs an environment's Python without paths, user packages or variables from outside."""
    done = subprocess.run(
        [python, "-I", *arguments], capture_output=True, text=True, check=False, env={}
    )
    if done.returncode:
        sys.exit(f"{python.parents[1].name}: {done.stderr}")
    return done.stdout


def module_names(scripts: list[Path]) -> list[str]:
    """Returns the dotted names of the package's modules that the scripts reach."""
    paths = [path.relative_to(SCRIPTS).with_suffix("") for path in modules(scripts)]
    names = {".".join(part for part in path.parts if part != "__init__") for path in paths}
    return sorted(name for name in names if name.split(".")[0] == "consonance")


def main() -> None:
    """Checks every environment and prints a line for each."""
    lock = pins((PROJECT / "constraints.txt").read_text(encoding="utf-8"))
    made = {
        yaml.safe_load(path.read_text(encoding="utf-8"))["name"]: path.with_suffix("")
        for path in Path(sys.argv[2]).resolve().glob("*.yaml")
    }
    for name, scripts in scripts_by_environment(PROJECT).items():
        if (prefix := made.get(f"consonance-{name}")) is None:
            sys.exit(f"The environment '{name}' was not made: no rule of the run uses it.")
        python = prefix / "bin/python"
        lines = statements(scripts)
        run(python, "-c", "\n".join(lines))
        names = module_names(scripts)
        first = f"import sys; sys.dont_write_bytecode = True; sys.path.append({str(SCRIPTS)!r})"
        run(python, "-c", "\n".join([first, *(f"import {module}" for module in names)]))
        packages = json.loads(run(python, "-m", "pip", "list", "--format", "json"))
        installed = pins("\n".join(f"{one['name']}=={one['version']}" for one in packages))
        moved = {
            package: f"{version} (lock: {lock[package]})"
            for package, version in installed.items()
            if package in lock and lock[package] != version.partition("+")[0]
        }
        print(
            f"{name}: {len(scripts)} scripts, {len(lines)} imports of libraries, {len(names)} "
            f"modules; {len(installed)} packages, of which differ from the lock: {moved or 'none'}."
        )


main()
