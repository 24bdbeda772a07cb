"""The acoustic properties that can be chosen: what each is, and which functional measures it.

`acoustics` measures; this module knows only its table, so a step that reads that table needs
neither openSMILE nor a library that reads audio.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from consonance.errors import InputError

PITCH = "F0semitoneFrom27.5Hz_sma3nz_amean"


@dataclass(frozen=True)
class Property:
    """What one acoustic property is and which functional measures it.

    Attributes:
        name: as in the configuration and in tables.
        label: as in figures.
        unit: of its values; "ratio" for a number without unit.
        column: the eGeMAPS v02 functional of openSMILE.
        meaning: what a larger value means, in a phrase.
    """

    name: str
    label: str
    unit: str
    column: str
    meaning: str


_PROPERTIES = (
    Property("pitch", "Pitch", "semitones above 27.5 Hz", PITCH, "mean F0 of voiced frames"),
    Property(
        "pitch_range",
        "Pitch range",
        "semitones",
        "F0semitoneFrom27.5Hz_sma3nz_pctlrange0-2",
        "80th minus 20th percentile of F0 over voiced frames",
    ),
    Property(
        "loudness",
        "Loudness",
        "sone-like",
        "loudness_sma3_amean",
        "mean of the summed auditory spectrum over all frames",
    ),
    Property(
        "jitter",
        "Jitter",
        "ratio",
        "jitterLocal_sma3nz_amean",
        "mean change between neighbouring periods, relative to the period",
    ),
    Property(
        "shimmer",
        "Shimmer",
        "dB",
        "shimmerLocaldB_sma3nz_amean",
        "mean change of peak amplitude between neighbouring periods",
    ),
    Property(
        "hnr",
        "Harmonics-to-noise ratio",
        "dB",
        "HNRdBACF_sma3nz_amean",
        "energy of harmonics relative to noise in voiced frames",
    ),
    Property("f1", "First formant", "Hz", "F1frequency_sma3nz_amean", "mean frequency"),
    Property("f2", "Second formant", "Hz", "F2frequency_sma3nz_amean", "mean frequency"),
    Property("f3", "Third formant", "Hz", "F3frequency_sma3nz_amean", "mean frequency"),
    Property(
        "slope_low",
        "Spectral slope 0-500 Hz",
        "dB/Hz",
        "slopeV0-500_sma3nz_amean",
        "slope of the logarithmic spectrum of voiced frames",
    ),
    Property(
        "slope_high",
        "Spectral slope 500-1500 Hz",
        "dB/Hz",
        "slopeV500-1500_sma3nz_amean",
        "slope of the logarithmic spectrum of voiced frames",
    ),
    Property(
        "alpha_ratio",
        "Alpha ratio",
        "dB",
        "alphaRatioV_sma3nz_amean",
        "energy of 1-5 kHz relative to 50-1000 Hz in voiced frames",
    ),
    Property(
        "hammarberg",
        "Hammarberg index",
        "dB",
        "hammarbergIndexV_sma3nz_amean",
        "strongest peak of 0-2 kHz relative to 2-5 kHz in voiced frames",
    ),
    Property(
        "loudness_peaks",
        "Loudness peaks",
        "1/s",
        "loudnessPeaksPerSec",
        "peaks of loudness per second, which follow the syllables",
    ),
    Property(
        "voiced_segments",
        "Voiced segments",
        "1/s",
        "VoicedSegmentsPerSec",
        "unbroken voiced stretches per second",
    ),
)
PROPERTIES = {entry.name: entry for entry in _PROPERTIES}
"""The acoustic properties that can be chosen, by name."""


def chosen(names: Sequence[str]) -> list[Property]:
    """Returns properties by name, in the given order.

    Raises:
        InputError: naming every unknown name.
    """
    unknown = [name for name in names if name not in PROPERTIES]
    if unknown:
        raise InputError(
            f"Unknown acoustic properties: {', '.join(unknown)}; choose from "
            f"{', '.join(PROPERTIES)}."
        )
    return [PROPERTIES[name] for name in names]


def property_values(functionals: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Returns the chosen properties of every clip.

    Args:
        functionals: what `acoustics.functionals` returned.
        names: properties, from `PROPERTIES`.

    Returns:
        clip and one float64 column per property, named by it, in its unit.

    Raises:
        InputError: if a property is unknown or its functional is missing from the table.
    """
    properties = chosen(names)
    missing = [entry.column for entry in properties if entry.column not in functionals.columns]
    if missing:
        raise InputError(
            f"The table of functionals lacks {', '.join(missing)}; make it anew with openSMILE's "
            "feature set eGeMAPSv02."
        )
    columns = {entry.name: functionals[entry.column].astype(float) for entry in properties}
    return pd.DataFrame({"clip": functionals["clip"], **columns})
