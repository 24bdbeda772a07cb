"""What every job does around its one call: a log, a number of threads, a readable failure."""

import logging
import shutil
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_info, threadpool_limits

from consonance.errors import ADVICE, DamagedFileError, InputError, StorageError

logger = logging.getLogger(__name__)


@contextmanager
def running(snakemake: Any) -> Iterator[None]:
    """Runs the body of a script as a job of the workflow.

    Messages, warnings, printed text and tracebacks go to the rule's `log:` file, BLAS and PyTorch
    use `snakemake.threads` threads, and an `InputError` ends the job with its sentences on the
    terminal and in the log, without a traceback; so does a disk that is full or read-only. An
    input of the job that an earlier job made and that is damaged now is deleted, so that the next
    run makes it anew.

    Args:
        snakemake: the object that Snakemake puts into a script (`log`, `threads`, `rule`, `input`
            and `config` are used).

    Raises:
        SystemExit: with status 1 after an `InputError` or an error in `errors.ADVICE`.
    """
    log_path = Path(snakemake.log[0])
    log_path.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        stream = stack.enter_context(log_path.open("w", encoding="utf-8", buffering=1))
        handler = logging.StreamHandler(stream)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        root = logging.getLogger()
        root.addHandler(handler)
        stack.callback(root.removeHandler, handler)
        level = root.level
        root.setLevel(logging.INFO)
        stack.callback(root.setLevel, level)
        logging.captureWarnings(True)
        stack.callback(logging.captureWarnings, False)
        stack.enter_context(redirect_stdout(stream))
        stack.enter_context(threadpool_limits(limits=snakemake.threads))
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(snakemake.threads)
        logger.info("%s has %d threads (%s).", snakemake.rule, snakemake.threads, _pools())
        started = time.monotonic()
        try:
            yield
        except (InputError, OSError) as error:
            said = _sentence(error, snakemake)
            if said is None:
                stream.write(traceback.format_exc())
                raise
            # The terminal first: on a full disk the log may take nothing more.
            sys.stderr.write(f"Error in {snakemake.rule}: {said}\n")
            logger.error("%s", said)
            raise SystemExit(1) from None
        except Exception:
            stream.write(traceback.format_exc())
            raise
        logger.info("%s finished in %.1f s.", snakemake.rule, time.monotonic() - started)


def warn(message: str) -> None:
    """Logs a warning, and says it on the terminal too: a user should not have to look for it."""
    logger.warning("%s", message)
    sys.stderr.write(f"Warning: {message}\n")


def _sentence(error: InputError | OSError, snakemake: Any) -> str | None:
    """Returns what a user should read; None for an error that only a traceback explains."""
    if isinstance(error, DamagedFileError):
        return _discard(error, snakemake)
    if isinstance(error, InputError):
        return str(error)
    return str(StorageError(error)) if error.errno in ADVICE else None


def _discard(error: DamagedFileError, snakemake: Any) -> str:
    """Deletes a damaged input of a job and returns what to say; nothing else is ever deleted.

    Of a folder that is an input, the whole is deleted: one job made it. What does not lie below the
    folder of results may be the user's own, and stays.
    """
    inputs = {Path(name) for name in snakemake.input}
    path = Path(error.path)
    made = next((place for place in (path, *path.parents) if place in inputs), None)
    if made is None or not made.exists() or not _below(made, snakemake.config["results"]):
        return str(error)
    try:
        shutil.rmtree(made) if made.is_dir() else made.unlink()
    except OSError as refusal:
        return f"{error} It could not be deleted here ({refusal.strerror})."
    what = "It" if made == path else f"The folder {made}"
    return f"{error.found}. {what} was deleted: run the same command again and it is made anew."


def _below(path: Path, folder: str) -> bool:
    return Path(folder).resolve() in path.resolve().parents


def _pools() -> str:
    """Says how many threads each numerical library that is loaded would use now."""
    counts = {pool["internal_api"]: pool["num_threads"] for pool in threadpool_info()}
    if "torch" in sys.modules:
        counts["torch"] = sys.modules["torch"].get_num_threads()
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "no libraries"
