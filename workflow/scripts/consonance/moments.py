"""Count, mean and scatter of sets of vectors: exact to merge, and their file."""

import io
import struct
import zipfile
import zlib
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import numpy as np

from consonance.errors import DamagedFileError, InputError
from consonance.files import replacing

# What a zip archive with other content than was written is met with.
_DAMAGE = (EOFError, KeyError, ValueError, NotImplementedError, RuntimeError, zipfile.BadZipFile,
    zlib.error, struct.error)  # fmt: skip
# Earliest time a zip entry can have: the same moments give the same bytes.
_EPOCH = (1980, 1, 1, 0, 0, 0)


class Cell(NamedTuple):
    """The clips of one domain, one emotion and one actor fold."""

    domain: str
    emotion: str
    fold: int

    @property
    def name(self) -> str:
        """The cell as "domain/emotion/fold", as the file writes it."""
        return f"{self.domain}/{self.emotion}/{self.fold}"

    @classmethod
    def parse(cls, name: str) -> Self:
        """Reads "domain/emotion/fold"."""
        domain, emotion, fold = name.split("/")
        return cls(domain, emotion, int(fold))


@dataclass(frozen=True, eq=False)
class Moments:
    """Count, mean and scatter of n vectors of d dimensions.

    Args:
        count: n.
        mean: (d,) float64.
        scatter: sum of (x - mean)(x - mean)^T, its upper triangle row by row, (d (d + 1) / 2,)
            float64.
    """

    count: int
    mean: np.ndarray
    scatter: np.ndarray

    @property
    def dim(self) -> int:
        """Number of dimensions, d."""
        return len(self.mean)

    @classmethod
    def empty(cls, dim: int) -> Self:
        """Returns the moments of no vectors, the neutral element of `merge`."""
        return cls(0, np.zeros(dim), np.zeros(dim * (dim + 1) // 2))

    @classmethod
    def of(cls, vectors: np.ndarray) -> Self:
        """Returns the moments of the rows of (n, d), computed in float64 in two passes."""
        vectors = np.asarray(vectors, dtype=np.float64)
        if not len(vectors):
            return cls.empty(vectors.shape[1])
        mean = vectors.mean(0)
        centred = vectors - mean
        return cls(len(vectors), mean, pack(centred.T @ centred))

    def merge(self, other: "Moments") -> "Moments":
        """Returns the moments of both sets together.

        M = M_a + M_b + (m_b - m_a)(m_b - m_a)^T n_a n_b / (n_a + n_b): Chan, Golub and LeVeque,
        "Updating formulae and a pairwise algorithm for computing sample variances", 1982.

        Raises:
            ValueError: different dimensions.
        """
        if self.dim != other.dim:
            raise ValueError(f"Moments of {self.dim} and {other.dim} dimensions do not merge.")
        if not self.count or not other.count:
            return other if not self.count else self
        count = self.count + other.count
        shift = other.mean - self.mean
        between = pack(np.outer(shift, shift)) * (self.count * other.count / count)
        return Moments(
            count, self.mean + shift * (other.count / count), self.scatter + other.scatter + between
        )

    def covariance(self) -> np.ndarray:
        """Returns the sample covariance, scatter / (n - 1), as a full (d, d) float64 matrix.

        Raises:
            ValueError: fewer than two vectors.
        """
        if self.count < 2:
            raise ValueError(f"The covariance of {self.count} vectors is not defined.")
        return unpack(self.scatter, self.dim) / (self.count - 1)

    def trace(self) -> float:
        """Returns the trace of the covariance without building it.

        Raises:
            ValueError: fewer than two vectors.
        """
        if self.count < 2:
            raise ValueError(f"The covariance of {self.count} vectors is not defined.")
        lengths = np.arange(self.dim, 0, -1)
        diagonal = np.concatenate([[0], np.cumsum(lengths)[:-1]])
        return float(self.scatter[diagonal].sum() / (self.count - 1))


def pool(parts: Iterable[Moments]) -> Moments:
    """Returns the moments of the union of disjoint sets.

    Raises:
        ValueError: no parts, or different dimensions.
    """
    total: Moments | None = None
    for part in parts:
        total = part if total is None else total.merge(part)
    if total is None:
        raise ValueError("There are no moments to pool.")
    return total


def pack(matrix: np.ndarray) -> np.ndarray:
    """Returns the upper triangle of a symmetric (d, d) matrix, row by row."""
    return np.concatenate([row[first:] for first, row in enumerate(matrix)])


def unpack(packed: np.ndarray, dim: int) -> np.ndarray:
    """Returns the symmetric (dim, dim) matrix of a packed upper triangle."""
    matrix = np.empty((dim, dim), dtype=packed.dtype)
    start = 0
    for first in range(dim):
        row = packed[start : start + dim - first]
        matrix[first, first:] = row
        matrix[first:, first] = row
        start += dim - first
    return matrix


class MomentsWriter:
    """Writes a moments file cell by cell; used as a context manager.

    The file takes its place when the block ends without an error. It is an uncompressed `.npz`
    with one array per member, so that a reader loads one state of one cell alone. The same
    moments in the same order give the same bytes.

    Args:
        path: the file.
        states: number of states of every cell.
        dim: dimensions of a state.
    """

    def __init__(self, path: Path | str, *, states: int, dim: int) -> None:
        self.path = Path(path)
        self.states = states
        self.dim = dim
        self._cells: list[Cell] = []
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Opens the temporary file."""
        temporary = self._stack.enter_context(replacing(self.path))
        self._zip = self._stack.enter_context(zipfile.ZipFile(temporary, "w"))
        return self

    def add(self, cell: Cell, moments: Iterable[Moments], *, clips: int) -> None:
        """Writes a cell: the moments of its states, in order, and its number of clips.

        Raises:
            ValueError: the cell is there already, or the moments do not fit the file.
        """
        if cell in self._cells:
            raise ValueError(f"Cell {cell.name} is written twice.")
        frames = None
        state = -1
        for state, part in enumerate(moments):
            if part.dim != self.dim or frames not in (None, part.count):
                raise ValueError(f"Cell {cell.name}, state {state}: moments do not fit the file.")
            frames = part.count
            self._write(f"{cell.name}/{state}/mean", part.mean)
            self._write(f"{cell.name}/{state}/scatter", part.scatter)
        if state + 1 != self.states:
            raise ValueError(f"Cell {cell.name} has {state + 1} states instead of {self.states}.")
        self._write(f"{cell.name}/clips", np.int64(clips))
        self._write(f"{cell.name}/frames", np.int64(frames or 0))
        self._cells.append(cell)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Completes the file, or removes what was written if the block failed."""
        with self._stack.pop_all() as stack:
            if error is not None:
                stack.__exit__(kind, error, trace)
                return
            names = [cell.name for cell in self._cells]
            self._write("cells", np.array(names, dtype=np.str_))
            self._write("states", np.int64(self.states))
            self._write("dim", np.int64(self.dim))

    def _write(self, name: str, array: np.ndarray | np.generic) -> None:
        """Writes one member."""
        content = io.BytesIO()
        np.lib.format.write_array(content, np.asarray(array), allow_pickle=False)
        self._zip.writestr(zipfile.ZipInfo(f"{name}.npy", _EPOCH), content.getbuffer())


class MomentsReader:
    """Reads a moments file, one state of one cell at a time; used as a context manager.

    Args:
        path: a file of `MomentsWriter`.

    Attributes:
        cells: the cells of the file, in the order written.
        states: number of states.
        dim: dimensions of a state.

    Raises:
        InputError: the file is missing or cannot be read.
        DamagedFileError: its content is not what was written (here, or when a damaged member is
            read; every member has a checksum).
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        try:
            self._zip = zipfile.ZipFile(self.path)
        except OSError as error:
            raise self._unreadable(error) from error
        except _DAMAGE as error:
            raise DamagedFileError(self.path, error) from error
        try:
            self.cells = [Cell.parse(str(name)) for name in self._read("cells")]
            self.states = int(self._read("states"))
            self.dim = int(self._read("dim"))
        except BaseException:
            self._zip.close()
            raise

    def __enter__(self) -> Self:
        """Returns the reader."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes the file."""
        self._zip.close()

    def clips(self, cell: Cell) -> int:
        """Returns the number of clips of a cell."""
        return int(self._read(f"{cell.name}/clips"))

    def frames(self, cell: Cell) -> int:
        """Returns the number of frames of a cell."""
        return int(self._read(f"{cell.name}/frames"))

    def load(self, cell: Cell, state: int) -> Moments:
        """Returns the moments of the frames of one cell in one state.

        Raises:
            KeyError: the file does not have this cell or this state.
            DamagedFileError: its content is not what was written.
        """
        if cell not in self.cells or not 0 <= state < self.states:
            raise KeyError(f"{self.path} has no state {state} of cell {cell.name}.")
        name = f"{cell.name}/{state}"
        return Moments(self.frames(cell), self._read(f"{name}/mean"), self._read(f"{name}/scatter"))

    def _read(self, name: str) -> np.ndarray:
        """Reads one member; its CRC is checked."""
        try:
            return np.lib.format.read_array(
                io.BytesIO(self._zip.read(f"{name}.npy")), allow_pickle=False
            )
        except OSError as error:
            raise self._unreadable(error) from error
        except _DAMAGE as error:
            raise DamagedFileError(self.path, error) from error

    def _unreadable(self, error: OSError) -> InputError:
        """Makes the message for a file that the system does not give."""
        return InputError(
            f"{self.path} cannot be read ({error.strerror or error}). Run the workflow again, so "
            "that the embeddings of this shard are made."
        )
