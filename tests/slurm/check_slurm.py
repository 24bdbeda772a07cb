"""The workflow on a SLURM cluster, from its accounting, and after each kind of loss.

Called by tests/slurm/run, which brings a cluster up first; `make test` does not collect it. The
rules and their numbers are Snakemake's own account of them, so a new rule or number is checked too.
"""

import os
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest
import yaml
from jobs_on_slurm import PATIENCE, Run, cluster, command, hang, nodes, planned, slurm
from workspace import copy_project, digests

# What a site edits in profiles/slurm, here for tests/slurm/cluster.
ACCOUNT = "laboratory"
PARTITIONS = {"batch": {"max_gpu": 0}, "accelerated": {"max_gpu": 2}}
SETTINGS = {
    "default-resources": {"slurm_account": ACCOUNT},
    "slurm-init-seconds-before-status-checks": 2,
    "jobs": 12,
}
# A job is said to need this much of the memory that it was seen to need.
TOO_LITTLE = 0.6


@pytest.fixture(scope="session")
def place(project) -> Path:
    """The folder that is left to look at: both runs and the accounting."""
    folder = project / "results" / "slurm"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


@pytest.fixture(scope="session")
def local(project, place) -> Path:
    """The finished run on this machine."""
    folder = place / "local"
    copy_project(project, folder)
    with (folder / "snakemake.log").open("w") as log:
        subprocess.run(command("--cores", "2"), cwd=folder, stdout=log, stderr=log, check=True)
    return folder


@pytest.fixture(scope="session")
def submitted(project, place, local) -> Run:
    """The finished run on the cluster, through the profile with a site's edits."""
    folder = place / "cluster"
    copy_project(project, folder)
    profile = folder / "profiles" / "slurm"
    settings = yaml.safe_load((profile / "config.yaml").read_text(encoding="utf-8"))
    assert SETTINGS.keys() <= settings.keys()
    (profile / "config.yaml").write_text(yaml.safe_dump(settings | SETTINGS), encoding="utf-8")
    (profile / "partitions.yaml").write_text(
        yaml.safe_dump({"partitions": PARTITIONS}), encoding="utf-8"
    )
    run = Run(folder)
    run.end()
    return run


@pytest.fixture(scope="session")
def accounting(submitted) -> pd.DataFrame:
    return submitted.accounting()


@pytest.fixture(scope="session")
def jobs(local):
    """Every job of the workflow, as Snakemake plans it."""
    return planned(local, "--forceall")


@pytest.fixture(scope="session")
def lost(jobs):
    """The jobs that the faults hit: those of the rule with a GPU that has most."""
    rule, _ = Counter(job.rule for job in jobs if job.gpus).most_common(1)[0]
    return [job for job in jobs if job.rule == rule]


@pytest.fixture
def unfinished(submitted, local, lost):
    """The finished run on the cluster without the results of those jobs, and their names."""

    def remove(some):
        assert digests(submitted.folder) == digests(local)
        for job in some:
            for output in job.outputs:
                (submitted.folder / output).unlink()
        return submitted.folder, [job.outputs[0] for job in some]

    return remove


def assert_whole(folder, local):
    """All results are there, equal to the local run's, and nothing is left to do."""
    assert digests(folder) == digests(local)
    assert planned(folder) == []


def histories(table):
    """The accounting of each job, one row per time that it was submitted."""
    return [rows for _, rows in table.groupby("job", sort=False)]


@contextmanager
def declaring(folder, rule, resources):
    """For a while, a rule declares other resources; how they grow with attempts stays its own."""
    pattern = re.compile(rf"^rule {rule}:\n(?:(?: .*)?\n)+", re.MULTILINE)
    (path,) = [
        path for path in (folder / "rules").glob("*.smk") if pattern.search(path.read_text())
    ]
    before = path.read_text()
    block = changed = pattern.search(before).group()
    for key, value in resources.items():
        changed, count = re.subn(rf"({key}=\w+)\(.*\)", rf"\1({value})", changed)
        assert count == 1, f"Rule {rule} does not declare {key} in a way that this test knows."
    path.write_text(before.replace(block, changed))
    yield
    path.write_text(before)


def test_every_rule_ran_on_the_cluster(submitted, accounting, jobs):
    here = set(re.findall(r"^localrule (\w+):", submitted.said, re.MULTILINE)) - {"all"}
    print("\nOn the submitting machine:", ", ".join(sorted(here)))
    assert set(accounting["rule"]) == {job.rule for job in jobs} - here
    assert Counter(accounting["rule"]) == Counter(job.rule for job in jobs if job.rule not in here)
    assert set(accounting["state"]) == {"COMPLETED"}, "A rule declares too little for the demo."


def test_jobs_got_what_their_rules_declare(accounting, jobs, place):
    summary = accounting.groupby("rule").agg(
        jobs=("id", "size"),
        cpus=("cpus", "max"),
        memory_mb=("memory", "max"),
        time_limit_minutes=("minutes", "max"),
        gpus=("gpus", "max"),
        nodes=("node", lambda names: " ".join(sorted(set(names)))),
        longest_seconds=("seconds", "max"),
        peak_memory_mb=("peak", "max"),
    )
    summary["peak_memory_mb"] = summary["peak_memory_mb"].round()
    summary.to_csv(place / "accounting.csv")
    print("", summary.to_string(), sep="\n")
    for job in jobs:
        for row in accounting[accounting["rule"] == job.rule].itertuples():
            got = (row.cpus, row.memory, row.minutes, row.gpus)
            assert got == (job.cpus, job.memory, job.minutes, job.gpus), row.job
    assert set(accounting["account"]) == {ACCOUNT}


def test_jobs_with_a_gpu_ran_on_nodes_with_gpus(accounting):
    with_gpu = accounting["gpus"] > 0
    assert with_gpu.any()
    batch, accelerated = (nodes(partition) for partition in PARTITIONS)
    assert set(accounting["node"][with_gpu]) <= accelerated
    assert set(accounting["node"][~with_gpu]) <= batch


def test_results_equal_the_local_runs(submitted, local):
    assert len(digests(local)) > 50
    assert_whole(submitted.folder, local)


def test_libraries_use_the_threads_of_the_rule(submitted, local, jobs):
    """Snakemake gives a job no more threads than the machine that it runs on has cores."""
    declared = {job.rule: job.cpus for job in jobs}
    for folder in (submitted.folder, local):
        logs = [path for path in (folder / "results/logs").rglob("*.log")]
        assert len(logs) == len(jobs)
        for log in logs:
            text = log.read_text(encoding="utf-8")
            ((rule, threads, libraries),) = re.findall(r"(\w+) has (\d+) threads \((.*)\)", text)
            assert int(threads) == min(declared[rule], os.cpu_count()), log
            assert set(re.findall(r" (\d+)(?:,|$)", libraries)) <= {threads}, log


def test_a_cancelled_job_and_a_lost_node(unfinished, lost, local):
    folder, targets = unfinished(lost)
    run = Run(folder, *targets)
    first = run.wait_for_running(3)
    dark = first["node"].iloc[0]
    cancelled = first[first["node"] != dark].iloc[0]
    # Both in the middle of their work.
    hang(first["id"].iloc[0])
    hang(cancelled["id"])
    slurm("scancel", cancelled["id"])
    cluster("node-down", dark)
    try:
        run.end()
    finally:
        cluster("node-up", dark)
    table = run.accounting()
    print("", table.to_string(), sep="\n")
    failed = table[table["state"] == "NODE_FAIL"]
    assert len(failed) and set(failed["node"]) == {dark}
    for rows in histories(table):
        job, states = rows["job"].iloc[0], [state.split()[0] for state in rows["state"]]
        if job == cancelled["job"]:
            assert states == ["CANCELLED", "COMPLETED"]
        elif job in set(failed["job"]):
            assert states == ["NODE_FAIL", "COMPLETED"]
            assert rows["node"].iloc[1] != dark
        else:
            assert states == ["COMPLETED"], job
    assert table["job"].nunique() == len(lost)
    assert_whole(folder, local)


def test_too_little_memory_and_too_little_time(unfinished, lost, local, accounting):
    """The first of a few jobs hangs until its time is up; the others need more than they have."""
    some = lost[:3]
    folder, targets = unfinished(some)
    needed = accounting["peak"][accounting["rule"] == lost[0].rule].max()
    declarations = {"mem_mb": int(TOO_LITTLE * needed), "runtime": 1}
    with declaring(folder, lost[0].rule, declarations):
        run = Run(folder, *targets)
        hanging = run.wait_for_running(1).iloc[0]
        hang(hanging["id"])
        run.end()
    table = run.accounting()
    print("", table.to_string(), sep="\n")
    for rows in histories(table):
        states = list(rows["state"])
        if rows["job"].iloc[0] == hanging["job"]:
            assert states == ["TIMEOUT", "COMPLETED"]
        else:
            # What SLURM calls it depends on how a site enforces memory.
            assert states in (["FAILED", "COMPLETED"], ["OUT_OF_MEMORY", "COMPLETED"])
            assert rows["peak"].iloc[0] > rows["memory"].iloc[0]
        for column, key in (("memory", "mem_mb"), ("minutes", "runtime")):
            assert list(rows[column]) == [declarations[key], 2 * declarations[key]]
    assert table["job"].nunique() == len(some)
    assert_whole(folder, local)


def test_snakemake_is_killed_with_jobs_in_flight(unfinished, lost, local):
    folder, targets = unfinished(lost)
    killed = Run(folder, *targets, "--jobs", "2")
    # Until some jobs are done and the next ones run.
    while not (done := killed.finished) or set(killed.running()["id"]) <= done:
        assert killed.process.poll() is None, killed.said[-5000:]
        time.sleep(0.2)
    os.killpg(killed.process.pid, signal.SIGKILL)
    killed.process.wait(timeout=PATIENCE)
    subprocess.run(command("--unlock"), cwd=folder, capture_output=True, check=True)
    # At once, while what the killed run submitted still runs.
    again = Run(folder, *targets)
    again.end()
    first, second = killed.accounting(), again.accounting()
    print("", first.to_string(), second.to_string(), sep="\n")
    kept = set(first["job"][first["id"].astype(str).isin(done)])
    in_flight = set(first["job"]) - kept
    assert in_flight
    # What Snakemake knew to be done is kept; what was in flight is not trusted.
    assert in_flight <= set(second["job"])
    assert kept.isdisjoint(second["job"])
    assert second["job"].nunique() == len(lost) - len(kept)
    assert_whole(folder, local)
