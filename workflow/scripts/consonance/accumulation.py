"""Running moments of the frames of one cell, in every state, and the means of its clips.

Frames are gathered in a buffer of fixed size, and each full buffer is folded into the moments by
one symmetric product per state in float64, so that memory depends on neither the number of clips
nor their length.
"""

from collections.abc import Sequence

import numpy as np
import torch

from consonance.moments import Moments, pack


class Accumulator:
    """Count, mean and scatter of frames, per state, and sums of frames per clip.

    Args:
        states: number of states.
        dim: dimensions of a state.
        capacity: frames the buffer holds.
        device: where the frames are; the moments are kept there in float64.
    """

    def __init__(self, *, states: int, dim: int, capacity: int, device: torch.device) -> None:
        self.device = device
        self._buffer = torch.empty((states, capacity, dim), dtype=torch.float32, device=device)
        self._mean = torch.zeros((states, dim), dtype=torch.float64, device=device)
        self._scatter = torch.zeros((states, dim, dim), dtype=torch.float64, device=device)
        self.reset()

    def reset(self) -> None:
        """Forgets everything: a new cell begins."""
        self._mean.zero_()
        self._scatter.zero_()
        self.count = 0
        self._filled = 0
        self._segments: list[tuple[int, int]] = []
        self._sums: dict[int, torch.Tensor] = {}
        self._frames: dict[int, int] = {}

    def add(
        self, states: Sequence[torch.Tensor], counts: Sequence[int], keys: Sequence[int]
    ) -> None:
        """Adds a batch.

        Args:
            states: per state (clips, frames, dim), float32.
            counts: valid frames of every clip of the batch.
            keys: which clip each is; windows of one clip share a key.
        """
        capacity = self._buffer.shape[1]
        stacked = torch.stack(list(states))
        for index, (count, key) in enumerate(zip(counts, keys, strict=True)):
            first = 0
            while first < count:
                if self._filled == capacity:
                    self._fold()
                taken = min(count - first, capacity - self._filled)
                self._buffer[:, self._filled : self._filled + taken] = stacked[
                    :, index, first : first + taken
                ]
                self._segments.append((key, taken))
                self._filled += taken
                first += taken

    def finish(self) -> tuple[list[Moments], dict[int, np.ndarray], dict[int, int]]:
        """Returns what has been gathered since the last reset.

        Returns:
            moments: of all frames, per state.
            means: per clip key, (states, dim) float64, the mean over the clip's frames.
            frames: per clip key, the number of its frames.
        """
        if self._filled:
            self._fold()
        mean, scatter = self._mean.cpu().numpy(), self._scatter
        moments = [
            Moments(self.count, mean[state].copy(), pack(scatter[state].cpu().numpy()))
            for state in range(len(mean))
        ]
        means = {key: total.cpu().numpy() / self._frames[key] for key, total in self._sums.items()}
        return moments, means, dict(self._frames)

    def _fold(self) -> None:
        """Folds the buffer into the moments (Chan, Golub and LeVeque, 1982) and the clip sums."""
        filled = self._filled
        total = self.count + filled
        lengths = [taken for _, taken in self._segments]
        sums = []
        for state, row in enumerate(self._buffer):
            frames = row[:filled].double()
            parts = torch.stack([part.sum(0) for part in frames.split(lengths)])
            mean = parts.sum(0) / filled
            frames -= mean
            shift = mean - self._mean[state]
            self._scatter[state] += _gram(frames)
            self._scatter[state].addr_(shift, shift, alpha=self.count * filled / total)
            self._mean[state] += shift * (filled / total)
            sums.append(parts)
        for (key, _), part in zip(self._segments, torch.stack(sums, dim=1), strict=True):
            self._sums[key] = self._sums[key] + part if key in self._sums else part
        for key, taken in self._segments:
            self._frames[key] = self._frames.get(key, 0) + taken
        self.count = total
        self._filled = 0
        self._segments = []


def _gram(frames: torch.Tensor) -> torch.Tensor:
    """Computes X^T X of (n, d)."""
    if frames.device.type != "cpu":
        return frames.T @ frames
    # numpy sees the symmetry and does half the work.
    array = frames.numpy()
    return torch.from_numpy(array.T @ array)
