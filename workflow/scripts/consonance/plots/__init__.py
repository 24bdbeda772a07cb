"""Figures: each takes a tidy table and returns a matplotlib figure; none computes a statistic."""

from consonance.plots.board import save
from consonance.plots.heat import fad_matrix, rank_correlation_heatmap
from consonance.plots.intervals import forest
from consonance.plots.lines import (
    accuracy_by_emotion,
    accuracy_by_layer,
    emotion_spread,
    fad_by_layer,
    similarity_by_layer,
)
from consonance.plots.style import OKABE_ITO, Dress, Style

__all__ = [
    "OKABE_ITO",
    "Dress",
    "Style",
    "accuracy_by_emotion",
    "accuracy_by_layer",
    "emotion_spread",
    "fad_by_layer",
    "fad_matrix",
    "forest",
    "rank_correlation_heatmap",
    "save",
    "similarity_by_layer",
]
