import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from consonance import acoustics, audio, properties
from consonance.contents import content_hash
from consonance.errors import InputError

pytest.importorskip("opensmile")

RATE = 16000


def vowel(pitch, *, seconds=1.0, rate=RATE, level=0.3):
    """Harmonics of a steady pitch, falling by 6 dB per octave."""
    time = np.arange(round(seconds * rate)) / rate
    harmonics = np.arange(1, int(0.45 * rate / pitch) + 1)[:, None]
    wave = (np.cos(2 * np.pi * pitch * harmonics * time) / harmonics).sum(0)
    return (level * wave / np.abs(wave).max()).astype(np.float32)


def rows(folder, waves, *, rate=RATE, subtype="PCM_16"):
    """Writes recordings and returns the manifest columns that are used."""
    entries = []
    for clip, wave in waves.items():
        path = folder / f"{clip}.wav"
        sf.write(path, wave, rate, subtype=subtype)
        samples, read_rate = audio.read_mono(path)
        entries.append((clip, str(path), content_hash(samples, read_rate), read_rate))
    return pd.DataFrame(entries, columns=["clip", "path", "content", "rate"])


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A few recordings and their functionals, computed once."""
    waves = {
        "a110": vowel(110),
        "a220": vowel(220),
        "quiet": vowel(220, level=0.03),
        "silence": np.zeros(RATE, np.float32),
        "short": vowel(220, seconds=0.02),
    }
    frame = rows(tmp_path_factory.mktemp("recordings"), waves)
    return frame, acoustics.functionals(frame, rate=None, threads=2).set_index("clip")


def test_there_are_88_float_columns_in_the_order_of_the_rows(measured):
    frame, result = measured
    assert list(result.index) == list(frame["clip"])
    values = result.drop(columns=["rate", "note"])
    assert values.shape == (5, 88)
    assert set(map(str, values.dtypes)) == {"float64"}
    assert set(result["rate"]) == {RATE}


def test_every_property_has_a_functional(measured):
    _, result = measured
    columns = {entry.column for entry in properties.PROPERTIES.values()}
    assert columns <= set(result.columns)
    assert len(columns) == len(properties.PROPERTIES)


def test_a_steady_pitch_is_found(measured):
    _, result = measured
    values = properties.property_values(result.reset_index(), ["pitch", "pitch_range", "loudness"])
    values = values.set_index("clip")
    # 12 log2(f / 27.5); openSMILE's pitch has a grid of fractions of a semitone.
    assert values.loc["a110", "pitch"] == pytest.approx(24, abs=0.1)
    assert values.loc["a220", "pitch"] == pytest.approx(36, abs=0.1)
    assert values.loc["a220", "pitch_range"] < 0.1
    assert values.loc["quiet", "loudness"] < values.loc["a220", "loudness"]
    assert result.loc["a220", "note"] == ""


def test_an_unvoiced_recording_has_no_pitch_rather_than_a_pitch_of_zero(measured):
    _, result = measured
    silence = result.loc["silence"]
    assert np.isnan(silence["F0semitoneFrom27.5Hz_sma3nz_amean"])
    assert np.isnan(silence["jitterLocal_sma3nz_amean"])
    assert silence["loudness_sma3_amean"] < 0.01
    assert silence["VoicedSegmentsPerSec"] == 0
    assert silence["note"] == "No frame is voiced."


@pytest.mark.filterwarnings("ignore:Segment too short")
def test_what_cannot_be_measured_stays_with_its_reason(measured, tmp_path):
    frame, result = measured
    short = result.loc["short"]
    assert short.drop(["rate", "note"]).isna().all()
    assert short["note"] == "openSMILE cannot measure a recording of 320 samples."
    gone = frame.iloc[:2].copy()
    gone["path"] = [str(tmp_path / "gone.wav"), frame.loc[1, "path"]]
    result = acoustics.functionals(gone, rate=None, threads=1)
    assert len(result) == 2
    assert "gone.wav cannot be read" in result.loc[0, "note"]
    assert pd.isna(result.loc[0, "rate"])
    assert result.loc[1, "note"] == ""


def test_not_finite_samples_are_not_measured(tmp_path):
    wave = vowel(220)
    wave[100] = np.nan
    frame = rows(tmp_path, {"nan": wave}, subtype="FLOAT")
    result = acoustics.functionals(frame, rate=None, threads=1)
    assert result.loc[0, "note"] == "The recording has samples that are not finite."


def test_samples_past_full_scale_are_limited_not_wrapped(tmp_path):
    loud = vowel(220, level=1.02)
    frame = rows(tmp_path, {"loud": loud, "full": vowel(220, level=0.999)}, subtype="FLOAT")
    result = acoustics.functionals(frame, rate=None, threads=1)
    assert "samples past full scale were limited" in result.loc[0, "note"]
    assert result.loc[1, "note"] == ""
    values = properties.property_values(result, ["loudness", "hnr"])
    # Wrapped samples would be clicks: less harmonic by tens of dB and louder by half.
    assert values.loc[0, "loudness"] == pytest.approx(values.loc[1, "loudness"], rel=0.05)
    assert values.loc[0, "hnr"] == pytest.approx(values.loc[1, "hnr"], abs=3)


def test_results_repeat_whatever_the_number_of_threads(measured):
    frame, result = measured
    again = acoustics.functionals(frame, rate=None, threads=1).set_index("clip")
    pd.testing.assert_frame_equal(result, again, check_exact=True)


def test_the_rate_is_the_one_asked_for(tmp_path):
    frame = rows(tmp_path, {"a": vowel(220, rate=24000)}, rate=24000)
    assert acoustics.functionals(frame, rate=None, threads=1).loc[0, "rate"] == 24000
    result = acoustics.functionals(frame, rate=RATE, threads=1)
    assert result.loc[0, "rate"] == RATE
    pitch = properties.property_values(result, ["pitch"]).loc[0, "pitch"]
    assert pitch == pytest.approx(36, abs=0.1)  # the tone of 220 Hz, not of 146.7


def test_mixed_rates_need_a_rate(tmp_path):
    (tmp_path / "b").mkdir()
    frame = pd.concat(
        [
            rows(tmp_path, {"a": vowel(220)}),
            rows(tmp_path / "b", {"b": vowel(220, rate=24000)}, rate=24000),
        ]
    )
    with pytest.raises(InputError, match=r"2 sampling rates \(16000, 24000 Hz\).*sampling_rate"):
        acoustics.functionals(frame, rate=None, threads=1)
    assert acoustics.functionals(frame, rate=RATE, threads=1)["rate"].tolist() == [RATE, RATE]


def test_a_changed_recording_is_refused(measured):
    frame, _ = measured
    changed = frame.assign(content="0" * 64)
    with pytest.raises(InputError, match="changed since the manifest was made"):
        acoustics.functionals(changed, rate=None, threads=1)


def test_no_recordings_give_no_rows(measured):
    frame, _ = measured
    result = acoustics.functionals(frame.iloc[:0], rate=None, threads=1)
    assert len(result) == 0
    assert len(result.columns) == 91


def test_unknown_properties_are_named():
    with pytest.raises(InputError, match="pich, loudnes; choose from pitch, pitch_range"):
        properties.chosen(["pich", "loudness", "loudnes"])


def test_a_foreign_table_is_refused():
    with pytest.raises(InputError, match="lacks HNRdBACF_sma3nz_amean"):
        properties.property_values(pd.DataFrame({"clip": ["a"]}), ["hnr"])
