"""From recordings to the manifest: choices, bad audio, duplicates, and the schema."""

import logging
from pathlib import Path

import jsonschema
import numpy as np
import pandas as pd
import pytest
import soundfile as sf
import yaml

from consonance import audio, corpora, manifest, scanning
from consonance.contents import content_hash
from consonance.corpora import Recording
from consonance.errors import InputError

RATE = 8000
CHOICES = {
    "corpus": "demo",
    "emotions": ["happy", "sad"],
    "domains": ["speech", "song"],
    "speakers_in_all_domains": True,
    "minimum_seconds": 0.025,
    "silence_peak": 3.1e-5,
    "rate_range": [4000, 384000],
    "on_bad_audio": "stop",
    "threads": 2,
}


class Corpus:
    """Recordings in a folder; each call adds one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.recordings: list[Recording] = []

    def add(self, clip: str, domain: str, emotion: str, speaker: str, **options) -> Path:
        samples = options.pop("samples", None)
        if samples is None:
            samples = np.random.default_rng(len(self.recordings)).normal(0, 0.1, RATE // 10)
        path = self.folder / f"{clip}.wav"
        sf.write(path, samples, RATE, subtype="FLOAT")
        fields = {"clip": clip, "domain": domain, "path": path, "emotion": emotion}
        self.recordings.append(Recording(**fields, speaker=speaker, **options))
        return path

    def build(self, **changes) -> pd.DataFrame:
        return scanning.build(self.recordings, **(CHOICES | changes))


@pytest.fixture
def corpus(tmp_path) -> Corpus:
    """Two speakers in both domains."""
    corpus = Corpus(tmp_path)
    for speaker in ("02", "01"):
        for domain in ("speech", "song"):
            for emotion in ("sad", "happy"):
                corpus.add(f"{speaker}-{domain}-{emotion}", domain, emotion, speaker)
    return corpus


def reasons(frame: pd.DataFrame) -> dict[str, str]:
    rows = frame[frame["excluded"] != ""]
    return dict(zip(rows["clip"], rows["excluded"], strict=True))


def test_a_row_says_what_is_known(tmp_path):
    corpus = Corpus(tmp_path)
    stereo = np.random.default_rng(0).normal(0, 0.1, (RATE // 2, 2))
    details = {"intensity": "strong", "sex": "female", "language": "de", "statement": "Hallo"}
    path = corpus.add("a", "song", "sad", "01", samples=stereo, repetition="2", **details)
    frame = corpus.build(speakers_in_all_domains=False)
    samples, rate = audio.read_mono(path)
    assert frame.to_dict("records") == [
        {
            "clip": "a",
            "corpus": "demo",
            "domain": "song",
            "path": str(path),
            "emotion": "sad",
            "intensity": "strong",
            "speaker": "01",
            "sex": "female",
            "language": "de",
            "statement": "Hallo",
            "repetition": "2",
            "duration": 0.5,
            "rate": RATE,
            "channels": 2,
            "content": content_hash(samples, rate),
            "duplicate_of": "",
            "note": "2 channels mixed down",
            "excluded": "",
        }
    ]


def test_rows_are_sorted_and_the_same_for_any_number_of_threads(corpus, tmp_path):
    frames = [corpus.build(threads=threads) for threads in (1, 3)]
    assert frames[0]["clip"].tolist() == sorted(r.clip for r in corpus.recordings)
    for number, frame in enumerate(frames):
        manifest.write(frame, tmp_path / f"{number}.csv")
    assert (tmp_path / "0.csv").read_bytes() == (tmp_path / "1.csv").read_bytes()
    pd.testing.assert_frame_equal(manifest.read_manifest(tmp_path / "0.csv"), frames[0])


def test_choices_exclude_without_opening(corpus):
    path = corpus.add("bored", "speech", "bored", "01")
    path.write_text("no audio at all")
    corpus.add("rap", "rap", "sad", "01")
    silent = np.zeros(RATE)
    corpus.add("alone", "speech", "sad", "18", samples=silent)
    corpus.recordings.append(
        Recording("twin", "speech", Path("nowhere.wav"), "bored", problem="several files: x")
    )
    frame = corpus.build(on_bad_audio="stop")
    assert reasons(frame) == {
        "alone": "speaker without recordings in every domain",
        "bored": "emotion not in experiment.emotions",
        "rap": "domain not in experiment.domains",
        "twin": "emotion not in experiment.emotions",
    }
    left = frame[frame["excluded"] != ""]
    assert left["duration"].isna().all()
    assert left["rate"].isna().all()
    assert (left["content"] == "").all()
    assert len(manifest.kept(frame)) == 8


@pytest.fixture
def spoilt(corpus) -> Corpus:
    """With four bad recordings, which leave speaker 03 without song."""
    corpus.add("03-song", "song", "sad", "03", samples=np.zeros(RATE))
    corpus.add("03-speech", "speech", "sad", "03")
    corpus.add("gone", "speech", "sad", "01").unlink()
    corpus.add("nan", "speech", "sad", "01", samples=np.full(10, np.nan))
    path = corpus.folder / "x.wav"
    corpus.recordings.append(Recording("x-1", "song", path, problem="name does not parse: why"))
    return corpus


def test_bad_audio_stops_with_the_whole_list(spoilt):
    with pytest.raises(InputError) as error:
        spoilt.build()
    folder = spoilt.folder
    assert error.value.problems == [
        f"{folder}/03-song.wav: silent: no sample exceeds 3.1e-05 of full scale.",
        f"{folder}/gone.wav: missing: there is no such file.",
        f"{folder}/nan.wav: too short: it lasts 0.00125 s, less than 0.025 s; not finite: 10 of 10 "
        "samples are NaN or infinite.",
        f"{folder}/x.wav: name does not parse: why."
        "\nMend or remove what is listed, or set experiment.on_bad_audio to `exclude` to go on "
        "without it.",
    ]


def test_bad_audio_is_excluded_and_speakers_checked_again(spoilt):
    frame = spoilt.build(on_bad_audio="exclude")
    assert reasons(frame) == {
        "03-song": "silent: no sample exceeds 3.1e-05 of full scale",
        "03-speech": "speaker without usable recordings in every domain",
        "gone": "missing: there is no such file",
        "nan": "too short: it lasts 0.00125 s, less than 0.025 s; not finite: 10 of 10 samples are "
        "NaN or infinite",
        "x-1": "name does not parse: why",
    }
    assert manifest.exclusion_counts(frame)["reason"].tolist() == [
        "name does not parse",
        "silent",
        "missing",
        "speaker without usable recordings in every domain",
        "too short",
    ]
    one = frame.set_index("clip").loc["03-song"]
    assert (one["duration"], one["rate"], one["channels"]) == (1.0, RATE, 1)
    anyone = spoilt.build(on_bad_audio="exclude", speakers_in_all_domains=False)
    assert "03-speech" not in reasons(anyone)


def test_duplicates_name_the_first_kept_clip(corpus):
    samples = np.random.default_rng(99).normal(0, 0.1, RATE)
    corpus.add("a0", "speech", "bored", "01", samples=samples)  # not kept
    corpus.add("a1", "speech", "sad", "01", samples=samples)
    corpus.add("a2", "speech", "sad", "01", samples=np.stack([samples, samples], axis=1))
    corpus.add("a3", "speech", "sad", "01", samples=samples[:-1])
    frame = corpus.build().set_index("clip")
    assert frame.loc[["a0", "a1", "a2", "a3"], "duplicate_of"].tolist() == ["", "", "a1", ""]
    assert frame["note"].tolist().count("2 channels mixed down") == 1
    assert (frame["duplicate_of"] != "").sum() == 1


def test_duplicates_of_excluded_clips_are_none(spoilt):
    samples = np.random.default_rng(99).normal(0, 0.1, RATE)
    spoilt.add("0", "speech", "sad", "03", samples=samples)  # a speaker without usable song
    spoilt.add("1", "speech", "sad", "01", samples=samples)
    frame = spoilt.build(on_bad_audio="exclude").set_index("clip")
    assert frame.loc["0", "content"] == frame.loc["1", "content"]
    assert (frame["duplicate_of"] == "").all()
    assert not frame["note"].str.contains("same content").any()


def test_duplicates_with_other_labels_are_noted(corpus, caplog):
    samples = np.random.default_rng(99).normal(0, 0.1, RATE)
    corpus.add("a1", "speech", "sad", "01", samples=samples)
    corpus.add("a2", "speech", "happy", "02", samples=np.stack([samples, samples], axis=1))
    with caplog.at_level(logging.INFO):
        frame = corpus.build().set_index("clip")
    assert frame.loc["a1", "note"] == "same content as a2, but emotion and speaker differ"
    assert frame.loc["a2", "note"] == (
        "2 channels mixed down; same content as a1, but emotion and speaker differ"
    )
    assert frame.loc[["a1", "a2"], "duplicate_of"].tolist() == ["", "a1"]
    assert "2 clips have the same content as another clip with other labels" in caplog.text


def test_what_was_found_is_logged(corpus, caplog):
    corpus.add("x", "song", "bored", "01")
    with caplog.at_level(logging.INFO):
        corpus.build(emotions=["happy", "sad", "calm"])
    assert "demo: 8 of 9 clips kept (1 emotion not in experiment.emotions)." in caplog.messages
    assert "song: 2 happy, 2 sad, 0 calm" in caplog.messages
    assert "demo has no song clip of calm." in caplog.messages


def test_nothing_left(corpus):
    with pytest.raises(InputError, match=r"none is kept \(8 emotion.*happy, sad.*asks for calm"):
        corpus.build(emotions=["calm"])
    with pytest.raises(InputError, match=r"0 recordings and none is kept \(none excluded"):
        scanning.build([], **CHOICES)


def test_labels_that_are_mistakes(corpus):
    corpus.add("x", "song", "Happy", "01")
    with pytest.raises(InputError, match=r"emotion `Happy`, and experiment\.emotions has `happy`"):
        corpus.build()
    corpus.recordings[-1] = corpus.recordings[0]
    with pytest.raises(InputError, match="More than one recording has the id 02-speech-sad"):
        corpus.build()


def test_a_wrong_setting(corpus):
    with pytest.raises(InputError, match="`stop` or `exclude`, not `ignore`"):
        corpus.build(on_bad_audio="ignore")


def test_a_whole_corpus_through_its_adapter(tmp_path):
    folder = tmp_path / "Audio_Speech_Actors_01-24/Actor_01"
    folder.mkdir(parents=True)
    for repetition in ("01", "02"):
        samples = np.random.default_rng(1).normal(0, 0.1, RATE)
        sf.write(folder / f"03-01-03-01-01-{repetition}-01.flac", samples, RATE)
    sf.write(folder / "03-01-04-01-01-01-02.wav", samples, RATE)
    listed = corpora.list_recordings("ravdess", tmp_path, domains=["speech"])
    frame = scanning.build(listed, **(CHOICES | {"domains": ["speech"], "on_bad_audio": "exclude"}))
    assert frame[["clip", "duplicate_of", "excluded"]].values.tolist() == [
        ["03-01-03-01-01-01-01", "", ""],
        ["03-01-03-01-01-02-01", "03-01-03-01-01-01-01", ""],
        ["03-01-04-01-01-01-02", "", "wrong folder: its name says actor 02, its folder 01"],
    ]


# The schema -------------------------------------------------------------------------------------

SCHEMA = yaml.safe_load(scanning.SCHEMA_PATH.read_text(encoding="utf-8"))


def test_the_schema_has_the_manifests_columns():
    assert list(SCHEMA["properties"]) == SCHEMA["required"] == list(manifest.COLUMNS)
    assert SCHEMA["additionalProperties"] is False
    assert all("description" in rule for rule in SCHEMA["properties"].values())


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("clip", "a b"),
        ("clip", "x" * 201),
        ("corpus", "Demo"),
        ("domain", "so ng"),
        ("path", ""),
        ("content", "A" * 64),
        ("content", ""),
        ("duration", -1.0),
        ("duration", np.nan),
        ("rate", 0),
        ("channels", pd.NA),
        ("emotion", ""),
        ("speaker", ""),
        ("duplicate_of", "?"),
        ("note", "anything"),
        ("statement", "any thing"),
        ("excluded", "why"),
    ],
)
def test_validation_is_the_schema_applied_to_every_row(corpus, column, value):
    frame = corpus.build()
    frame.loc[3, column] = value
    validator = jsonschema.Draft202012Validator(SCHEMA)
    rows = [
        {name: None if pd.isna(cell) else cell for name, cell in row.items()}
        for row in frame.to_dict("records")
    ]
    if all(validator.is_valid(row) for row in rows):
        scanning.validate(frame)
    else:
        with pytest.raises(InputError, match=column):
            scanning.validate(frame)


def test_wrong_values_are_shown(corpus):
    frame = corpus.build()
    frame["corpus"] = "My Corpus"
    frame.loc[[2, 3], "duplicate_of"] = ["?", "??"]
    with pytest.raises(InputError) as error:
        scanning.validate(frame)
    first, second = error.value.problems
    assert first.startswith("The manifest's column corpus is not valid (clip 01-song-happy): 'My C")
    assert second.startswith("The manifest's column duplicate_of is not valid (clip 01-speech-happ")
    assert second.endswith("; 1 other values are wrong too.")
