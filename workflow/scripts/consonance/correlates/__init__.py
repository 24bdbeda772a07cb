"""What drives similarity: acoustic differences between two domains, set against a distance.

For every emotion, how much do its recordings in the two domains differ in an acoustic property? And
are the emotions that differ most in it also those that an encoder puts farthest apart? With the
handful of emotions that a corpus has, the second question can only be answered weakly; `weakness`
says how weakly.
"""

from consonance.correlates.effects import (
    DIFFERENCE_COLUMNS,
    PAIR,
    correction_factor,
    differences,
)
from consonance.correlates.ranks import (
    ALL,
    CORRELATION_COLUMNS,
    adjust,
    correlations,
    distances,
    forest_table,
    heatmap_table,
    weakness,
)

__all__ = [
    "ALL",
    "CORRELATION_COLUMNS",
    "DIFFERENCE_COLUMNS",
    "PAIR",
    "adjust",
    "correction_factor",
    "correlations",
    "differences",
    "distances",
    "forest_table",
    "heatmap_table",
    "weakness",
]
