"""What Snakemake declares, what SLURM's accounting says, and how to start and disturb a run."""

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

HERE = Path(__file__).resolve().parent
CONFIG = ("tests/demo/config.yaml", "tests/demo/small.yaml", str(HERE / "config.yaml"))
# More than any rule declares: Snakemake cuts threads to the cores it is given.
MANY_CORES = "1000"
# Longer than any run of these tests, in seconds.
PATIENCE = 900


@dataclass(frozen=True)
class Job:
    """A job as Snakemake plans it: memory in MB, time in minutes."""

    rule: str
    outputs: tuple[str, ...]
    cpus: int
    memory: int
    minutes: int
    gpus: int


def command(*arguments: str) -> list[str]:
    """Returns the call of Snakemake for the tests' configuration."""
    return [sys.executable, "-m", "snakemake", *arguments, "--configfile", *CONFIG]


def planned(folder: Path, *arguments: str) -> list[Job]:
    """Returns the jobs that a run on one large machine would have, without running them."""
    done = subprocess.run(
        command("--dry-run", "--cores", MANY_CORES, *arguments),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-5000:]
    jobs = []
    for name, block in re.findall(r"^(?:local)?rule (\w+):\n((?:    .*\n)+)", said, re.M):
        fields = dict(re.findall(r"^    (\w+): (.*)$", block, re.M))
        resources = dict(re.findall(r"(\w+)=([^,\n]+)", fields["resources"]))
        if "output" in fields:  # the target rule `all` has none and is no job
            jobs.append(
                Job(
                    rule=name,
                    outputs=tuple(fields["output"].split(", ")),
                    cpus=int(fields.get("threads", 1)),
                    memory=int(resources["mem_mb"]),
                    minutes=int(resources["runtime"]),
                    gpus=int(resources.get("gpu", 0)),
                )
            )
    return jobs


class Run:
    """A run of Snakemake on the cluster, in the background."""

    def __init__(self, folder: Path, *targets: str) -> None:
        self.folder = folder
        self.log = folder / f"snakemake.{time.time_ns()}.log"
        arguments = command(*targets, "--profile", "profiles/slurm")
        with self.log.open("w") as stream:
            # A session of its own, so that a signal to it does not reach the tests.
            self.process = subprocess.Popen(
                arguments, cwd=folder, stdout=stream, stderr=stream, start_new_session=True
            )

    @property
    def said(self) -> str:
        return self.log.read_text(encoding="utf-8")

    @property
    def name(self) -> str:
        """The name that all its SLURM jobs have."""
        (name,) = re.findall(r"^SLURM run ID: (\S+)", self.said, re.M)
        return name

    @property
    def finished(self) -> set[str]:
        """The ids of the SLURM jobs that Snakemake knows to be done."""
        ids = dict(
            re.findall(r"^Job (\d+) has been submitted with SLURM jobid (\d+)", self.said, re.M)
        )
        return {ids[job] for job in re.findall(r"^Finished jobid: (\d+)", self.said, re.M)}

    def end(self) -> None:
        """Waits for the run, which must succeed."""
        assert self.process.wait(timeout=PATIENCE) == 0, self.said[-5000:]

    def running(self) -> pd.DataFrame:
        """Returns the SLURM jobs that run now: id, job, node."""
        if "SLURM run ID" not in self.said:
            return pd.DataFrame(columns=["id", "job", "node"])
        rows = slurm("squeue", "-h", "-t", "R", "-n", self.name, "-o", "%A|%k|%N").splitlines()
        return pd.DataFrame([row.split("|") for row in rows], columns=["id", "job", "node"])

    def wait_for_running(self, count: int) -> pd.DataFrame:
        """Waits until so many SLURM jobs run at once, and returns them."""
        end = time.monotonic() + PATIENCE
        while len(rows := self.running()) < count:
            assert self.process.poll() is None and time.monotonic() < end, self.said[-5000:]
            time.sleep(0.2)
        return rows

    def accounting(self) -> pd.DataFrame:
        """Returns one row per submitted SLURM job, in the order of submission.

        Memory is in MB, time limits in minutes. Waits until the database knows how all ended.
        """
        fields = "JobIDRaw,Comment,State,ReqTRES,TimelimitRaw,NodeList,Partition,Account,ElapsedRaw"
        end = time.monotonic() + PATIENCE
        while True:
            rows = [
                line.split("|")
                for line in slurm(
                    *f"sacct -X -n -P --noconvert --format={fields} --name={self.name}".split()
                ).splitlines()
            ]
            submitted = set(re.findall(r"submitted with SLURM jobid (\d+)", self.said))
            ended = {row[0] for row in rows if row[2] not in ("PENDING", "RUNNING")}
            if submitted <= ended:
                break
            assert time.monotonic() < end, f"The accounting lacks {submitted - ended}."
            time.sleep(0.5)
        table = pd.DataFrame(
            rows,
            columns=[
                *("id", "job", "state", "requested", "minutes"),
                *("node", "partition", "account", "seconds"),
            ],
        )
        requested = [
            dict(item.split("=") for item in each.split(",")) for each in table["requested"]
        ]
        table["rule"] = table["job"].str.extract(r"^rule_(\w+?)(?:_wildcards_|$)", expand=False)
        table["cpus"] = [int(each["cpu"]) for each in requested]
        table["memory"] = [int(each["mem"].removesuffix("M")) for each in requested]
        table["gpus"] = [int(each.get("gres/gpu", 0)) for each in requested]
        table["peak"] = table["id"].map(peaks(self.name))
        table = table.astype({"id": int, "minutes": int, "seconds": int})
        return table.drop(columns="requested").sort_values("id", ignore_index=True)


def peaks(name: str) -> dict[str, float]:
    """Returns the most memory (MB) that each SLURM job of a run was seen to use, over its steps."""
    result: dict[str, float] = {}
    for line in slurm(
        *f"sacct -n -P --noconvert --format=JobIDRaw,MaxRSS --name={name}".split()
    ).splitlines():
        step, size = line.split("|")
        if size:
            job = step.split(".")[0]
            result[job] = result.get(job, 0.0) + int(size) / 2**20
    return result


def slurm(*arguments: str) -> str:
    """Runs one of SLURM's commands and returns what it says."""
    return subprocess.run(arguments, capture_output=True, text=True, check=True).stdout


def cluster(*arguments: str) -> None:
    """Calls `tests/slurm/cluster`."""
    subprocess.run([HERE / "cluster", *arguments], check=True)


def nodes(partition: str) -> set[str]:
    """Returns the names of a partition's nodes."""
    return set(slurm("sinfo", "-h", "-N", "-p", partition, "-o", "%N").split())


def hang(job: str) -> None:
    """Waits until the script of a SLURM job runs, and stops it where it is."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        for process in Path("/proc").glob("[0-9]*"):
            try:
                called = (process / "cmdline").read_bytes()
                environment = (process / "environ").read_bytes().split(b"\0")
            except OSError:  # it has ended
                continue
            words = called.split(b"\0")
            ours = f"SLURM_JOB_ID={job}".encode() in environment and b"python" in words[0]
            if ours and b".snakemake/scripts/" in words[-2]:
                os.kill(int(process.name), signal.SIGSTOP)
                return
        time.sleep(0.05)
    raise AssertionError(f"The script of SLURM job {job} never ran.")
