import os
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from consonance import audio, files, jobs
from consonance.adaptation import checkpoints
from consonance.errors import InputError
from consonance.moments import Cell, Moments, MomentsWriter


def test_replacing_makes_the_file_and_nothing_else(tmp_path):
    target = tmp_path / "new" / "a.txt"
    with files.replacing(target) as temporary:
        temporary.write_text("x")
        assert not target.exists()
    assert target.read_text() == "x"
    assert list(target.parent.iterdir()) == [target]


def test_a_failure_leaves_the_old_file_and_no_rest(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(RuntimeError), files.replacing(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


HALF = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from consonance import files
with files.replacing(sys.argv[2]) as temporary:
    temporary.write_text("half")
    if sys.argv[3] == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    print("writing", flush=True)
    sys.stdin.read()
"""


def writer(project, target, then):
    """Another process in the middle of writing `target`."""
    command = [sys.executable, "-c", HALF, project / "workflow/scripts", target, then]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_what_a_killed_job_left_is_cleared(project, tmp_path):
    target = tmp_path / "a.txt"
    assert writer(project, target, "die").wait() == -9
    (rest,) = tmp_path.iterdir()
    assert rest.name.endswith(".partial") and (rest / "a.txt").read_text() == "half"
    files.write_text("whole", target)
    assert list(tmp_path.iterdir()) == [target]


def test_a_job_that_outlived_its_run_does_not_get_in_the_way(project, tmp_path):
    """As after Snakemake alone was killed: the old job still writes, a new one does too."""
    target = tmp_path / "a.txt"
    with writer(project, target, "wait") as old:
        assert old.stdout.readline() == "writing\n"
        with files.replacing(target) as temporary:
            temporary.write_text("whole")
            assert len(list(tmp_path.iterdir())) == 2
        assert target.read_text() == "whole"
        old.communicate("")
    assert old.returncode == 0
    assert list(tmp_path.iterdir()) == [target]


def test_csv_keeps_every_digit(tmp_path):
    table = pd.DataFrame({"clip": ["a", "b"], "value": [0.1 + 0.2, 1e-300]})
    files.write_csv(table, tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_bytes() == b"clip,value\na,0.30000000000000004\nb,1e-300\n"


def test_json_refuses_what_json_does_not_know(tmp_path):
    files.write_json({"b": 1, "a": "é"}, tmp_path / "t.json")
    assert (tmp_path / "t.json").read_text(encoding="utf-8") == '{\n  "a": "é",\n  "b": 1\n}\n'
    assert files.read_json(tmp_path / "t.json") == {"a": "é", "b": 1}
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json({"a": float("nan")}, tmp_path / "t.json")


def test_npz_has_no_pickles_and_the_same_bytes_twice(tmp_path):
    arrays = {"clip": np.array(["a", "bc"]), "means": np.arange(6.0).reshape(2, 3)}
    files.write_npz(arrays, tmp_path / "1.npz")
    files.write_npz(arrays, tmp_path / "2.npz")
    assert (tmp_path / "1.npz").read_bytes() == (tmp_path / "2.npz").read_bytes()
    with np.load(tmp_path / "1.npz", allow_pickle=False) as loaded:
        assert loaded["clip"].tolist() == ["a", "bc"]
    with pytest.raises(ValueError, match="pickle"):
        files.write_npz({"a": np.array([object()])}, tmp_path / "3.npz")
    assert not (tmp_path / "3.npz").exists()


def test_sha256_of_known_bytes(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert files.sha256(tmp_path / "abc") == digest


def full_disk(monkeypatch):
    """Puts the files being written onto /dev/full, which answers as a full disk does."""

    def mkdir(folder, *arguments, **settings):
        make(folder, *arguments, **settings)
        if folder.name.endswith(".partial"):
            name = folder.name.split(".", 1)[1].split(f".{socket.gethostname()}.")[0]
            (folder / name).symlink_to("/dev/full")

    make = Path.mkdir
    monkeypatch.setattr(Path, "mkdir", mkdir)


def write_moments(path):
    with MomentsWriter(path, states=1, dim=400) as writer:
        cell = Moments.of(np.ones((3, 400)))
        writer.add(Cell("speech", "sad", 0), [cell], clips=3)


WRITERS = {
    "a.csv": lambda path: files.write_csv(pd.DataFrame({"x": range(9)}), path),
    "a.json": lambda path: files.write_json({"x": 1}, path),
    "a.md": lambda path: files.write_text("x", path),
    "a.npz": lambda path: files.write_npz({"x": np.ones(9)}, path),
    "a.moments.npz": write_moments,
    "a.safetensors": lambda path: checkpoints.write(path, {"x": np.ones(9)}, configuration={}),
    "a.wav": lambda path: audio.write_wav(path, np.zeros(9, np.float32), 16000),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path, monkeypatch, capsys, name):
    job = SimpleNamespace(log=[str(tmp_path / "log")], threads=1, rule="a_rule")
    target = tmp_path / "out" / name
    full_disk(monkeypatch)
    with pytest.raises(SystemExit), jobs.running(job):
        WRITERS[name](target)
    said = capsys.readouterr().err
    assert said.startswith("Error in a_rule: The job could not write its results")
    assert "No space left on device. Make room on the disk" in said
    assert "Traceback" not in (tmp_path / "log").read_text()
    assert list(target.parent.iterdir()) == []


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path, monkeypatch):
    files.check_writable(tmp_path / "new" / "results", key="results")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"`results` .* nothing can be written into .*file"):
        files.check_writable(tmp_path / "file" / "results", key="results")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(InputError, match=f"written into {tmp_path}.*--config results=FOLDER"):
        files.check_writable(tmp_path / "results", key="results")
