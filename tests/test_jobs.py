import logging
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info

from consonance import jobs
from consonance.errors import DamagedFileError, InputError


@pytest.fixture
def snakemake(tmp_path):
    return SimpleNamespace(
        log=[str(tmp_path / "logs" / "a.log")],
        threads=1,
        rule="a_rule",
        config={"results": str(tmp_path)},
    )


def log_of(snakemake):
    with open(snakemake.log[0], encoding="utf-8") as stream:
        return stream.read()


def test_messages_prints_and_warnings_reach_the_log(snakemake):
    with jobs.running(snakemake):
        logging.getLogger("consonance.x").info("a message")
        print("a print")
        warnings.warn("a warning", UserWarning, stacklevel=1)
    text = log_of(snakemake)
    for expected in ("INFO a message", "a print", "a warning", "a_rule finished in"):
        assert expected in text


def test_an_input_error_is_a_sentence_not_a_traceback(snakemake, capsys):
    with pytest.raises(SystemExit) as caught, jobs.running(snakemake):
        raise InputError("The file a.wav is empty.")
    assert caught.value.code == 1
    assert capsys.readouterr().err == "Error in a_rule: The file a.wav is empty.\n"
    assert "The file a.wav is empty." in log_of(snakemake)
    assert "Traceback" not in log_of(snakemake)


def test_any_other_error_keeps_its_traceback(snakemake):
    with pytest.raises(ZeroDivisionError), jobs.running(snakemake):
        _ = 1 / 0
    assert "Traceback" in log_of(snakemake)
    assert "ZeroDivisionError" in log_of(snakemake)


def test_blas_uses_the_threads_of_the_rule(snakemake):
    np.ones((2, 2)) @ np.ones((2, 2))
    with jobs.running(snakemake):
        blas = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
        assert blas
        assert {pool["num_threads"] for pool in blas} == {1}


def test_torch_uses_the_threads_of_the_rule_and_the_log_says_so(snakemake):
    before = torch.get_num_threads()
    try:
        for threads in (2, 1):
            snakemake.threads = threads
            with jobs.running(snakemake):
                assert torch.get_num_threads() == threads
            (line,) = [line for line in log_of(snakemake).splitlines() if " threads (" in line]
            assert f"a_rule has {threads} threads" in line
            assert f"torch {threads}" in line
    finally:
        torch.set_num_threads(before)


def test_logging_is_left_as_it_was(snakemake):
    root = logging.getLogger()
    before = (root.level, list(root.handlers))
    with jobs.running(snakemake):
        pass
    assert (root.level, list(root.handlers)) == before


@pytest.fixture
def damaged(snakemake, tmp_path):
    """A job one of whose inputs is damaged."""
    path = tmp_path / "0.means.npz"
    path.write_bytes(b"cut")
    snakemake.input = [str(path)]
    return path


def test_a_damaged_input_is_deleted_so_that_it_is_made_anew(snakemake, damaged, capsys):
    with pytest.raises(SystemExit), jobs.running(snakemake):
        raise DamagedFileError(damaged, "Bad CRC-32")
    assert not damaged.exists()
    said = capsys.readouterr().err
    assert f"{damaged} is damaged (Bad CRC-32). It was deleted: run the same command again" in said
    assert said.removeprefix("Error in a_rule: ").strip() in log_of(snakemake)


def test_a_folder_with_a_damaged_file_is_deleted_as_a_whole(snakemake, tmp_path, capsys):
    folder = tmp_path / "0-of-1"
    folder.mkdir()
    (folder / "b.wav").write_bytes(b"fine")
    snakemake.input = [str(tmp_path / "table.csv"), str(folder)]
    with pytest.raises(SystemExit), jobs.running(snakemake):
        raise DamagedFileError(folder / "a.wav", "it cannot be read")
    assert not folder.exists()
    said = capsys.readouterr().err
    assert f"{folder / 'a.wav'} is damaged (it cannot be read). The folder {folder} was" in said


def test_a_users_own_folder_is_never_deleted(snakemake, tmp_path, capsys):
    folder = tmp_path / "recordings"
    folder.mkdir()
    (folder / "a.wav").write_bytes(b"cut")
    snakemake.input = [str(folder)]
    for results in ("results", "recordings"):
        snakemake.config["results"] = str(tmp_path / results)
        with pytest.raises(SystemExit), jobs.running(snakemake):
            raise DamagedFileError(folder / "a.wav", "it cannot be read")
        assert (folder / "a.wav").exists()
        assert "Delete it and run the workflow again" in capsys.readouterr().err


def test_what_is_no_input_of_the_job_is_never_deleted(snakemake, damaged, tmp_path, capsys):
    other = tmp_path / "other.npz"
    other.write_bytes(b"cut")
    with pytest.raises(SystemExit), jobs.running(snakemake):
        raise DamagedFileError(other, "Bad CRC-32")
    assert other.exists()
    assert "Delete it and run the workflow again" in capsys.readouterr().err


def test_a_damaged_input_that_cannot_be_deleted_is_said(snakemake, damaged, monkeypatch, capsys):
    def refuse(path):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(type(damaged), "unlink", refuse)
    with pytest.raises(SystemExit), jobs.running(snakemake):
        raise DamagedFileError(damaged, "Bad CRC-32")
    assert "could not be deleted here (Read-only file system)" in capsys.readouterr().err


def test_a_warning_for_the_user_is_on_the_terminal_and_in_the_log(snakemake, capsys):
    with jobs.running(snakemake):
        jobs.warn("There is no GPU.")
    assert capsys.readouterr().err == "Warning: There is no GPU.\n"
    assert "WARNING There is no GPU." in log_of(snakemake)
