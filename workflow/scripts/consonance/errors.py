"""The one error that a user is expected to read."""

import errno
import os
from collections.abc import Iterable


class InputError(ValueError):
    """Something the user gave (a file, a key, a recording) cannot be used.

    Args:
        problems: one full sentence, or several; each says what is wrong, in which file or key,
            and what to do. All problems are shown at once.

    Attributes:
        problems: the sentences, as a list.
    """

    def __init__(self, problems: str | Iterable[str]) -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        if not self.problems:
            raise ValueError("InputError needs at least one sentence.")
        if len(self.problems) == 1:
            text = self.problems[0]
        else:
            listed = "\n".join(f"  - {problem}" for problem in self.problems)
            text = f"{len(self.problems)} problems:\n{listed}"
        super().__init__(text)


class StorageError(InputError):
    """A file could not be written: the disk is full, over its quota, or not to be written to.

    Args:
        error: what the system said.
    """

    def __init__(self, error: OSError) -> None:
        where = f" ({error.filename})" if error.filename else ""
        super().__init__(
            f"The job could not write its results{where}: {error.strerror}. {ADVICE[error.errno]}, "
            "and run the same command again; no half-written file counts as done."
        )


_SPACE = "Make room on the disk that holds the results"
_RIGHTS = "Make the folder of the results writable, or choose another with the key `results`"
ADVICE = {
    errno.ENOSPC: _SPACE,
    errno.EDQUOT: _SPACE,
    errno.EFBIG: "Raise the limit on the size of files (`ulimit -f`)",
    errno.EROFS: _RIGHTS,
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
}
"""What to do about the errors of the system that are a `StorageError`, by their number."""


class DamagedFileError(InputError):
    """A file that the workflow made no longer holds what was written into it.

    Snakemake looks at dates only and would take the file as done for ever, so `jobs.running`
    deletes it where it is an input of the job: the next run makes it anew.

    Args:
        path: the file; of a folder that one job made as a whole, the file within it.
        reason: what is wrong with it, without a full stop.

    Attributes:
        path: the file.
        found: what was found, as the beginning of a sentence.
    """

    def __init__(self, path: str | os.PathLike[str], reason: object) -> None:
        self.path = path
        self.found = f"{path} is damaged ({reason})"
        super().__init__(f"{self.found}. Delete it and run the workflow again: it is made anew.")
