"""The profiles: what a site edits must have its effect, and nothing must undo it."""

import re
import shutil
import subprocess
import sys

import pytest
import yaml


@pytest.fixture
def profiles(project):
    return {
        name: yaml.safe_load((project / f"profiles/{name}/config.yaml").read_text("utf-8"))
        for name in ("default", "slurm")
    }


def test_no_key_stands_in_both(profiles):
    """profiles/default applies on top of any other profile and would win."""
    assert not profiles["default"].keys() & profiles["slurm"].keys()


def test_retries_are_the_profiles(project, profiles):
    """A rule's own retries run again in the same allocation, with the memory it had."""
    assert profiles["slurm"]["retries"] > 0
    for path in (project / "rules").glob("*.smk"):
        assert not re.search(r"^\s+retries:", path.read_text("utf-8"), re.MULTILINE), path


def test_cpu_and_gpu_jobs_have_a_partition_each(project, profiles):
    path = project / "profiles/slurm" / profiles["slurm"]["slurm-partition-config"]
    partitions = yaml.safe_load(path.read_text("utf-8"))["partitions"]
    assert {limits.get("max_gpu", 0) > 0 for limits in partitions.values()} == {False, True}


@pytest.mark.workflow
@pytest.mark.xdist_group("workflow")
def test_the_profile_is_accepted_as_it_stands(project, tmp_path):
    shutil.copy(project / "config.yaml", tmp_path)
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--directory", str(tmp_path)]
    command += ["--snakefile", str(project / "Snakefile")]
    command += ["--profile", str(project / "profiles/slurm")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
