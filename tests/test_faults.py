"""What goes wrong on one machine, through Snakemake: said clearly, and made good by a rerun."""

import os
import shutil
import subprocess
import sys

import pytest
import torch
from transformers import Wav2Vec2Config, Wav2Vec2Model
from workspace import change, copy_project, digests, snakemake

from consonance import files

pytestmark = [pytest.mark.workflow, pytest.mark.xdist_group("faults")]

# The shortest way through all heavy rules: recordings, manifest, audio, embeddings, distances.
MODEL = "tiny-mert"
FAD = f"results/demo/fad/{MODEL}.csv"
EMBEDDINGS = f"results/demo/embeddings/{MODEL}"
# A mount is seen by the command alone, and needs no root where user namespaces are allowed.
APART = ["unshare", "--map-root-user", "--mount"]


def fails(folder, *arguments, before=(), environment=None):
    """Runs Snakemake, which must fail, and returns all that it says."""
    command = [*before, sys.executable, "-m", "snakemake", "--cores", "2", *arguments]
    command += ["--configfile", "tests/demo/config.yaml", "tests/demo/small.yaml"]
    if (folder / "changes.yaml").exists():
        command.append("changes.yaml")
    done = subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **(environment or {})},
    )
    said = done.stdout + done.stderr
    assert done.returncode != 0, said[-3000:]
    assert "Traceback" not in said, said[-3000:]
    return said


@pytest.fixture(scope="module")
def measured(project, tmp_path_factory):
    """A copy of the project in which the distances of one model have been measured."""
    folder = tmp_path_factory.mktemp("faults")
    copy_project(project, folder)
    snakemake(folder, FAD)
    return folder


@pytest.fixture
def workspace(measured, tmp_path):
    """A copy of it that a test may damage."""
    return shutil.copytree(measured, tmp_path / "copy", symlinks=True)


def flip(path):
    """Changes one bit in the middle of a file, and nothing that Snakemake looks at."""
    stat = path.stat()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


@pytest.mark.parametrize("kind", ["means", "moments"])
def test_a_damaged_embedding_is_noticed_said_and_made_anew(workspace, kind):
    before = digests(workspace)
    damaged = workspace / EMBEDDINGS / f"0-of-1.{kind}.npz"
    flip(damaged)
    (workspace / FAD).unlink()
    said = fails(workspace, FAD)
    assert f"{EMBEDDINGS}/0-of-1.{kind}.npz is damaged" in said
    assert "It was deleted: run the same command again and it is made anew." in said
    assert not damaged.exists()
    again = snakemake(workspace, FAD)
    assert "rule extract:" in again
    assert digests(workspace) == before


def test_an_altered_wav_is_noticed_said_and_made_anew(workspace):
    before = digests(workspace)
    folder = "results/demo/audio/24000/0-of-1"
    damaged = sorted((workspace / folder).iterdir())[3]
    flip(damaged)
    for path in (FAD, f"{EMBEDDINGS}/0-of-1.moments.npz"):
        (workspace / path).unlink()
    said = fails(workspace, FAD)
    assert f"{folder}/{damaged.name} is damaged (its samples are not those" in said
    assert f"The folder {folder} was deleted: run the same command again" in said
    assert "rule resample:" in snakemake(workspace, FAD)
    assert digests(workspace) == before


def test_a_gpu_that_is_asked_for_and_missing(workspace):
    change(workspace, {"compute": {"device": "cuda"}})
    shutil.rmtree(workspace / EMBEDDINGS)
    (workspace / FAD).unlink()
    said = fails(workspace, FAD, environment={"CUDA_VISIBLE_DEVICES": ""})
    assert "compute.device is `cuda`, but PyTorch finds no GPU here" in said
    assert "set compute.device to `auto` or `cpu`" in said


def test_without_a_gpu_a_job_says_how_long_it_takes_on_the_cpu(workspace, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    shutil.rmtree(workspace / EMBEDDINGS)
    (workspace / FAD).unlink()
    said = snakemake(workspace, FAD)
    assert "Warning: There is no GPU, so this job runs on the CPU: about 1 min for " in said


def save_model(folder, seed):
    """Writes a tiny encoder with random weights as a published model would lie in a folder."""
    torch.manual_seed(seed)
    tiny = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    tiny |= {"intermediate_size": 64, "conv_dim": [32] * 7, "num_conv_pos_embeddings": 16}
    tiny |= {"num_conv_pos_embedding_groups": 4}
    Wav2Vec2Model(Wav2Vec2Config(**tiny)).save_pretrained(folder)
    files.write_json(
        {"sampling_rate": 16000, "do_normalize": True}, folder / "preprocessor_config.json"
    )


def test_another_model_under_the_same_name_is_never_mixed_with_the_old_one(workspace, tmp_path):
    mine = tmp_path / "mine"
    save_model(mine, 1)
    entry = {"family": "wav2vec2", "source": "folder", "folder": str(mine), "sampling_rate": 16000}
    change(workspace, {"experiment": {"models": [MODEL, "mine"]}, "models": {"mine": entry}})
    fad = FAD.replace(MODEL, "mine")
    snakemake(workspace, fad)
    first = digests(workspace)
    assert "Nothing to be done" in snakemake(workspace, fad)
    # The new file is older than every result, as a file from an archive is.
    save_model(mine, 2)
    for path in mine.iterdir():
        os.utime(path, (10**9, 10**9))
    said = snakemake(workspace, fad)
    for rule in ("describe_model", "extract", "measure_fad"):
        assert f"rule {rule}:" in said
    second = digests(workspace)
    changed = {name for name in second if second[name] != first.get(name)}
    assert {"models/mine.json", "demo/fad/mine.csv"} < changed
    assert all("mine" in name for name in changed)
    # Files that were only touched change nothing, whatever is looked at anew.
    for path in mine.iterdir():
        path.touch()
    snakemake(workspace, fad)
    assert digests(workspace) == second


def mounting(*commands):
    """A command that mounts, in a namespace of its own, before it runs what follows it."""
    if shutil.which("unshare") is None or subprocess.run([*APART, "true"]).returncode != 0:
        pytest.skip("this machine allows no mounts of one's own; /dev/full stands in for the disk")
    return [*APART, "sh", "-ec", " && ".join([*commands, 'exec "$@"']), "sh"]


def test_a_disk_that_fills_up(workspace):
    before = digests(workspace)
    shutil.rmtree(workspace / EMBEDDINGS)
    (workspace / FAD).unlink()
    disk = "results/demo/embeddings"
    room = mounting(f"mount -t tmpfs -o size=600k consonance {disk}")
    said = fails(workspace, FAD, before=room)
    assert "The job could not write its results" in said
    assert "No space left on device. Make room on the disk that holds the results" in said
    snakemake(workspace, FAD)
    assert digests(workspace) == before


def test_a_results_folder_that_cannot_be_written_to(workspace):
    before = digests(workspace)
    shutil.rmtree((workspace / FAD).parent)
    locked = mounting("mount --bind results results", "mount -o remount,bind,ro results")
    said = fails(workspace, FAD, before=locked)
    assert "The folder `results` of the configuration is results, but nothing can be" in said
    assert "--config results=FOLDER" in said
    snakemake(workspace, FAD)
    assert digests(workspace) == before
