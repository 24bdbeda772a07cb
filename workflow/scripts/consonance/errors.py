"""The one error that a user is expected to read."""

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


class DamagedFileError(InputError):
    """A file that the workflow made no longer holds what was written into it.

    Snakemake looks at dates only and would take the file as done for ever, so `jobs.running`
    deletes it where it is an input of the job: the next run makes it anew.

    Args:
        path: the file.
        reason: what is wrong with it, without a full stop.

    Attributes:
        path: the file.
        found: what was found, as the beginning of a sentence.
    """

    def __init__(self, path: str | os.PathLike[str], reason: object) -> None:
        self.path = path
        self.found = f"{path} is damaged ({reason})"
        super().__init__(f"{self.found}. Delete it and run the workflow again: it is made anew.")
