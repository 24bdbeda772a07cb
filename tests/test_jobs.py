import logging
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from consonance import jobs
from consonance.errors import InputError


@pytest.fixture
def snakemake(tmp_path):
    return SimpleNamespace(log=[str(tmp_path / "logs" / "a.log")], threads=1, rule="a_rule")


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


def test_logging_is_left_as_it_was(snakemake):
    root = logging.getLogger()
    before = (root.level, list(root.handlers))
    with jobs.running(snakemake):
        pass
    assert (root.level, list(root.handlers)) == before
