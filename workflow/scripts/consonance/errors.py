"""The one error that a user is expected to read."""

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
