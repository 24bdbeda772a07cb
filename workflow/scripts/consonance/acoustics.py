"""Acoustic measures of recordings: the eGeMAPS functionals of openSMILE.

eGeMAPS (Eyben et al., 2016, IEEE Transactions on Affective Computing 7(2), 190-202,
doi:10.1109/TAFFC.2015.2457417) is the set of 88 voice measures most used in research on vocal
emotion. It is computed by openSMILE (Eyben, Woellmer & Schuller, 2010, ACM Multimedia), whose
licence allows research and other non-commercial use only.
"""

import logging
import math
import threading
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from consonance import audio
from consonance.contents import content_hash
from consonance.errors import InputError
from consonance.properties import PITCH

logger = logging.getLogger(__name__)

FUNCTIONALS = 88
# openSMILE is given 16-bit samples; its Python interface wraps what lies outside this to the other
# sign, so it is limited here first.
_INT16_STEPS = 32768
_LOWEST, _HIGHEST = -1.0, (_INT16_STEPS - 1) / _INT16_STEPS

_VOICED_SEGMENTS = ("MeanVoicedSegmentLengthSec", "StddevVoicedSegmentLengthSec")


def functionals(rows: pd.DataFrame, *, rate: int | None, threads: int) -> pd.DataFrame:
    """Computes the 88 eGeMAPS v02 functionals of every recording.

    The recordings themselves are read, not the audio that was resampled for a model. openSMILE
    computes at the rate of the samples that it is given and resamples nothing; several of its
    measures (loudness, jitter, formants, segments) depend on that rate, so all clips need the same.
    Functionals over voiced frames are NaN, and not 0 as openSMILE says, where no frame is voiced.

    Args:
        rows: kept rows of a manifest: clip, path, content and rate are used.
        rate: Hz to compute at; recordings are resampled to it with `audio.resample`. None
            computes at the rate of the recordings.
        threads: how many recordings are worked on at once; changes nothing in the results.

    Returns:
        One row per clip, in the order of `rows`: clip; rate (Hz); openSMILE's 88 columns in its
        order, float64 (openSMILE computes in float32); and note, a sentence or "". A recording
        that cannot be measured keeps its row, with NaN and the reason in `note`.

    Raises:
        InputError: if `rate` is None and the recordings have several rates.
    """
    import opensmile  # only the environment of this step has it

    rates = sorted(set(rows["rate"]))
    if rate is None and len(rates) > 1:
        raise InputError(
            f"The recordings have {len(rates)} sampling rates "
            f"({', '.join(map(str, rates))} Hz) and openSMILE's measures depend on the rate; set "
            "acoustics.sampling_rate to a rate that all of them can be brought to, such as "
            f"{rates[0]}."
        )
    local = threading.local()

    def extractor() -> Any:
        if not hasattr(local, "smile"):
            local.smile = opensmile.Smile(
                feature_set=opensmile.FeatureSet.eGeMAPSv02,
                feature_level=opensmile.FeatureLevel.Functionals,
            )
        return local.smile

    names = list(extractor().feature_names)
    if len(names) != FUNCTIONALS:
        raise RuntimeError(f"openSMILE gives {len(names)} functionals instead of {FUNCTIONALS}.")
    work = partial(_measure, rate=rate, extractor=extractor)
    items = list(zip(rows["clip"], rows["path"], rows["content"], strict=True))
    results = audio.in_threads(work, items, threads=threads, what="Measuring acoustics")
    values = np.array([result[1] for result in results], np.float64).reshape(-1, FUNCTIONALS)
    frame = pd.DataFrame(values, columns=names)
    unvoiced = (frame[PITCH] == 0).to_numpy()
    frame.loc[unvoiced, [name for name in names if _voiced(name)]] = np.nan
    notes = [result[2] for result in results]
    for index in np.flatnonzero(unvoiced):
        notes[index] = " ".join(filter(None, [notes[index], "No frame is voiced."]))
    noted = sum(map(bool, notes))
    if noted:
        logger.warning("%s of %s clips have a note.", f"{noted:,}", f"{len(notes):,}")
    frame.insert(0, "clip", [item[0] for item in items])
    frame.insert(1, "rate", pd.array([result[0] for result in results], dtype="Int64"))
    return frame.assign(note=notes)


def _voiced(name: str) -> bool:
    """Whether a functional is taken over voiced frames."""
    if name in _VOICED_SEGMENTS:
        return True
    return "_sma3nz_" in name and "UV" not in name


def _measure(
    item: tuple[str, str, str], *, rate: int | None, extractor: Any
) -> tuple[int | None, np.ndarray, str]:
    """Returns the rate, the functionals and a note for one recording."""
    clip, path, content = item
    nothing = np.full(FUNCTIONALS, math.nan)
    try:
        samples, source_rate = audio.read_mono(path)
    except InputError as error:
        return None, nothing, str(error)
    if content_hash(samples, source_rate) != content:
        raise InputError(
            f"{path} (clip {clip}) changed since the manifest was made; make the manifest anew by "
            "running the workflow again."
        )
    if not np.isfinite(samples).all():
        return source_rate, nothing, "The recording has samples that are not finite."
    target = source_rate if rate is None else rate
    samples = audio.resample(samples, source_rate, target)
    limited = np.clip(samples, _LOWEST, _HIGHEST)
    over = int((limited != samples).sum())
    note = f"{over} samples past full scale were limited." if over else ""
    values = np.asarray(extractor()(limited, target), np.float64).ravel()
    if np.isnan(values).all():
        return target, nothing, f"openSMILE cannot measure a recording of {samples.size} samples."
    return target, values, note
