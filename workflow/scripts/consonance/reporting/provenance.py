"""Where results come from: time and memory of every rule, software versions, licences."""

import importlib.metadata
import platform
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

NOT_STATED = "not stated in the configuration"

RUN_TIME_COLUMNS = (
    "rule",
    "jobs",
    "seconds",
    "longest_seconds",
    "cpu_seconds",
    "max_rss_mb",
    "unread",
)
# Columns of Snakemake's benchmark files: wall-clock seconds, largest resident set in MB, CPU
# seconds. A job that ended before it was looked at has "NA" in all but the first.
_WALL, _MEMORY, _CPU = "s", "max_rss", "cpu_time"

TOTAL = "all rules"

SOFTWARE_LICENCES = (
    {
        "name": "openSMILE",
        "source": "audeering/opensmile-python",
        "licence": "audEERING Research License Agreement: research and other non-commercial use",
        "citation": "Eyben, Wöllmer & Schuller (2010), openSMILE, ACM Multimedia; Eyben et al. "
        "(2016), GeMAPS, IEEE Transactions on Affective Computing 7(2), "
        "doi:10.1109/TAFFC.2015.2457417",
    },
)
"""Software whose licence binds users of its results more than that of the other libraries does."""


def run_times(paths: Iterable[str | Path]) -> pd.DataFrame:
    """Sums up Snakemake's benchmark files by rule.

    Args:
        paths: files named `<folder>/<rule>/<job>.tsv`.

    Returns:
        The columns `RUN_TIME_COLUMNS`, slowest rule first and a row for all of them last: jobs;
        seconds, their wall-clock time added up (jobs that ran side by side count each); the longest
        job's; cpu_seconds; the largest resident memory of any job in MB (NaN where every job ended
        too soon to be looked at); unread, the number of files that could not be read. It differs
        from run to run.
    """
    by_rule: dict[str, list[dict[str, float] | None]] = defaultdict(list)
    for path in sorted(map(Path, paths)):
        by_rule[path.parent.name].append(_benchmark(path))
    rows = [_run_time(rule, jobs) for rule, jobs in sorted(by_rule.items())]
    rows.sort(key=lambda row: -row["seconds"])
    every = [job for jobs in by_rule.values() for job in jobs]
    if every:
        rows.append(_run_time(TOTAL, every))
    return pd.DataFrame(rows, columns=list(RUN_TIME_COLUMNS))


def pins(environments: Sequence[Path]) -> dict[str, str]:
    """Returns package to version, as pinned in the pip sections of conda environment files."""
    found = {}
    for path in environments:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        for entry in content["dependencies"]:
            for line in entry["pip"] if isinstance(entry, dict) else ():
                name, _, version = line.partition("==")
                found[name.strip()] = version.strip()
    return found


def versions(packages: Sequence[str], *, pinned: Mapping[str, str]) -> pd.DataFrame:
    """Returns the versions of Python, the operating system and packages.

    Nothing in it names the machine or a folder.

    Args:
        packages: names as on the Python Package Index.
        pinned: of `pins`. With conda, each kind of step has an environment of its own, so that one
            job does not see all packages.

    Returns:
        software and version, Python and the system first; a package that is missing has its pinned
        version, marked so, or is "not installed".
    """
    rows = [
        ("Python", f"{platform.python_implementation()} {platform.python_version()}"),
        ("Operating system", f"{platform.system()} on {platform.machine()}"),
    ]
    for name in packages:
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            elsewhere = pinned.get(name)
            version = f"{elsewhere} (as pinned in envs)" if elsewhere else "not installed"
        rows.append((name, version))
    return pd.DataFrame(rows, columns=["software", "version"])


def licences(config: Mapping[str, Any], *, citation: Mapping[str, Any]) -> pd.DataFrame:
    """Returns what must be cited and obeyed: the chosen data and models, and the software.

    Args:
        config: the configuration; corpora and models that the experiment does not choose are left
            out.
        citation: the contents of `CITATION.cff`.

    Returns:
        kind (data, model, software, paper), name, source, revision (of a model from the Hub),
        licence and citation. A licence that the configuration does not state says so, except
        for what the workflow makes itself.
    """
    rows = [
        {"kind": "data", **_corpus(name, config["corpora"][name])}
        for name in config["experiment"]["corpora"]
    ]
    rows += [
        {"kind": "model", **_model(name, config["models"][name])}
        for name in config["experiment"]["models"]
    ]
    rows.append(
        {
            "kind": "software",
            "name": citation["title"].partition(":")[0],
            "source": citation.get("repository-code", ""),
            "licence": citation.get("license", NOT_STATED),
            "citation": f"{_authors(citation.get('authors', []))}. {citation['title']}.",
        }
    )
    rows += [{"kind": "software", **entry} for entry in SOFTWARE_LICENCES]
    for reference in citation.get("references", []):
        rows.append(
            {
                "kind": "paper",
                "name": reference["title"],
                "source": reference.get("url", ""),
                "citation": f"{_authors(reference.get('authors', []))} ({reference['year']})",
            }
        )
    columns = ["kind", "name", "source", "revision", "licence", "citation"]
    return pd.DataFrame(rows, columns=columns).fillna("")


def model_source(entry: Mapping[str, Any]) -> str:
    """Returns where a configured model comes from, in a phrase without a path."""
    if entry["source"] == "hub":
        return f"Hugging Face Hub, {entry['repository']}"
    if entry["source"] == "folder":
        return "a local folder"
    return f"random weights (seed {entry['seed']})"


def corpus_source(entry: Mapping[str, Any]) -> str:
    """Returns where a configured corpus comes from, in a phrase without a path."""
    if entry["source"] == "download":
        addresses = {archive["url"].split("/files/")[0] for archive in entry["archives"].values()}
        return ", ".join(sorted(addresses))
    if entry["source"] == "synthetic":
        return "synthetic, made by the workflow"
    return "a local folder"


def _corpus(name: str, entry: Mapping[str, Any]) -> dict[str, str]:
    own = entry["source"] == "synthetic"
    return {
        "name": entry.get("label", name),
        "source": corpus_source(entry),
        "licence": entry.get("licence", "" if own else NOT_STATED),
        "citation": entry.get("citation", "" if own else NOT_STATED),
    }


def _model(name: str, entry: Mapping[str, Any]) -> dict[str, str]:
    own = entry["source"] == "random"
    return {
        "name": entry.get("label", name),
        "source": model_source(entry),
        "revision": entry.get("revision", "") if entry["source"] == "hub" else "",
        "licence": entry.get("licence", "" if own else NOT_STATED),
        "citation": entry.get("citation", "" if own else NOT_STATED),
    }


def _authors(entries: Sequence[Mapping[str, str]]) -> str:
    names = [
        entry["name"]
        if "name" in entry
        else f"{entry['family-names']}, {entry.get('given-names', '')[:1]}."
        for entry in entries
    ]
    return "; ".join(names)


def _benchmark(path: Path) -> dict[str, float] | None:
    """Returns seconds, CPU seconds and MB of one job, or None if its file cannot be read."""
    try:
        frame = pd.read_csv(path, sep="\t", na_values=["NA", "-"])
        wall = pd.to_numeric(frame[_WALL])
    except (OSError, ValueError, KeyError):
        return None
    if wall.isna().any() or wall.empty:
        return None
    memory = pd.to_numeric(frame.get(_MEMORY, pd.Series(dtype=float)), errors="coerce")
    cpu = pd.to_numeric(frame.get(_CPU, pd.Series(dtype=float)), errors="coerce")
    return {"seconds": wall.sum(), "memory": memory.max(), "cpu": cpu.sum(min_count=1)}


def _run_time(rule: str, jobs: Sequence[dict[str, float] | None]) -> dict[str, Any]:
    read = [job for job in jobs if job is not None]
    memory = [job["memory"] for job in read if np.isfinite(job["memory"])]
    cpu = [job["cpu"] for job in read if np.isfinite(job["cpu"])]
    return {
        "rule": rule,
        "jobs": len(jobs),
        "seconds": sum(job["seconds"] for job in read),
        "longest_seconds": max((job["seconds"] for job in read), default=np.nan),
        "cpu_seconds": sum(cpu) if cpu else np.nan,
        "max_rss_mb": max(memory, default=np.nan),
        "unread": len(jobs) - len(read),
    }
