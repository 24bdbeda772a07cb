"""Listing recordings: RAVDESS's folders, anybody's table, and what both refuse."""

import csv
import string
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consonance import corpora
from consonance.corpora import ravdess, table
from consonance.corpora.recording import CLIP_ID, CLIP_ID_LENGTH, path_id
from consonance.errors import InputError

DOMAINS = ["speech", "song"]
SIX = ["neutral", "calm", "happy", "sad", "angry", "fearful"]
SPEECH, SONG = ravdess.FOLDERS
EXPERIMENT = {"emotions": SIX, "domains": DOMAINS, "speakers_in_all_domains": True}


def touch(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def place(clip: str) -> str:
    """The release's path of a clip."""
    folder = SPEECH if clip[3:5] == "01" else SONG
    return f"{folder}/Actor_{clip[-2:]}/{clip}.wav"


def problems(root: Path) -> dict[str, str]:
    """Problems by path within root."""
    listed = ravdess.list_recordings(root)
    assert len({recording.clip for recording in listed}) == len(listed)
    assert all(CLIP_ID.fullmatch(recording.clip) for recording in listed)
    return {
        recording.path.relative_to(root).as_posix(): recording.problem
        for recording in listed
        if recording.problem
    }


# RAVDESS ----------------------------------------------------------------------------------------


def test_ravdess_reads_every_part_of_a_name(tmp_path):
    clips = ["03-01-06-01-02-01-12", "03-02-01-01-01-02-07", "03-01-08-02-01-01-01"]
    touch(tmp_path, *map(place, clips))
    assert corpora.list_recordings("ravdess", tmp_path, domains=DOMAINS) == [
        corpora.Recording(
            clip="03-01-06-01-02-01-12",
            domain="speech",
            path=tmp_path / SPEECH / "Actor_12/03-01-06-01-02-01-12.wav",
            emotion="fearful",
            intensity="normal",
            speaker="12",
            sex="female",
            language="en",
            statement="Dogs are sitting by the door",
            repetition="1",
        ),
        corpora.Recording(
            clip="03-01-08-02-01-01-01",
            domain="speech",
            path=tmp_path / SPEECH / "Actor_01/03-01-08-02-01-01-01.wav",
            emotion="surprised",
            intensity="strong",
            speaker="01",
            sex="male",
            language="en",
            statement="Kids are talking by the door",
            repetition="1",
        ),
        corpora.Recording(
            clip="03-02-01-01-01-02-07",
            domain="song",
            path=tmp_path / SONG / "Actor_07/03-02-01-01-01-02-07.wav",
            emotion="neutral",
            intensity="normal",
            speaker="07",
            sex="male",
            language="en",
            statement="Kids are talking by the door",
            repetition="2",
        ),
    ]


def test_ravdess_accepts_nesting_and_both_formats(tmp_path):
    touch(
        tmp_path,
        f"{SPEECH}/{SPEECH}/Actor_01/03-01-01-01-01-01-01.WAV",
        f"{SPEECH}/Actor_02/Actor_02/03-01-01-01-01-01-02.flac",
    )
    assert problems(tmp_path) == {}
    assert [r.clip for r in ravdess.list_recordings(tmp_path)] == [
        "03-01-01-01-01-01-01",
        "03-01-01-01-01-01-02",
    ]


def test_ravdess_ignores_only_what_is_on_its_list(tmp_path):
    clip = "03-01-01-01-01-01-01"
    folder = f"{SPEECH}/Actor_01"
    touch(
        tmp_path,
        place(clip),
        f"{folder}/.DS_Store",
        f"{folder}/._{clip}.wav",
        f"{folder}/README",
        f"{folder}/notes.TXT",
        f"{SPEECH}/__MACOSX/Actor_01/{clip}.wav",
        f"{SPEECH}/.hidden/{clip}.wav",
        f"{SPEECH}.zip",
        "elsewhere/anything.wav",
    )
    assert [r.clip for r in ravdess.list_recordings(tmp_path)] == [clip]
    touch(tmp_path, f"{folder}/{clip}.textgrid")
    assert "unread format" in problems(tmp_path)[f"{folder}/{clip}.textgrid"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("kids.wav", "not seven numbers"),
        ("03-01-01-01-01-01.wav", "not seven numbers"),
        ("03-01-01-01-01-01-01 (1).wav", "not seven numbers"),
        ("3-1-1-1-1-1-1.wav", "not seven numbers"),
        ("03-01-09-01-01-01-01.wav", "emotion 09 is not one of 01, 02"),
        ("03-03-01-01-01-01-01.wav", "channel 03 is not one of 01, 02"),
        ("01-01-01-01-01-01-01.wav", "modality 01 is not 03 (audio only)"),
        ("03-01-01-00-01-01-25.wav", "intensity 00 is not one of 01, 02; actor 25 is not one of"),
    ],
)
def test_ravdess_names_that_do_not_parse(tmp_path, name, words):
    touch(tmp_path, f"{SONG}/Actor_01/{name}")
    (recording,) = ravdess.list_recordings(tmp_path)
    assert recording.problem.startswith("name does not parse: ")
    assert words in recording.problem
    assert (recording.domain, recording.emotion, recording.speaker) == ("song", "", "")
    assert CLIP_ID.fullmatch(recording.clip)


def test_ravdess_files_in_wrong_folders(tmp_path):
    clip = "03-01-05-01-01-01-03"
    touch(
        tmp_path,
        f"{SPEECH}/Actor_04/{clip}.wav",
        f"{SONG}/Actor_03/03-01-05-01-01-02-03.wav",
        f"{SPEECH}/03-01-05-01-02-01-03.wav",
    )
    assert problems(tmp_path) == {
        f"{SPEECH}/Actor_04/{clip}.wav": "wrong folder: its name says actor 03, its folder 04",
        f"{SONG}/Actor_03/03-01-05-01-01-02-03.wav": (
            "wrong folder: its name says speech, its folder song"
        ),
        f"{SPEECH}/03-01-05-01-02-01-03.wav": (
            "wrong folder: it does not lie in a folder named Actor_NN"
        ),
    }
    labelled = {r.clip: (r.domain, r.speaker, r.emotion) for r in ravdess.list_recordings(tmp_path)}
    assert set(labelled.values()) == {("speech", "03", "angry")}


def test_ravdess_several_files_for_one_clip(tmp_path):
    clip = "03-02-02-01-01-01-05"
    folder = f"{SONG}/Actor_05"
    touch(tmp_path, f"{folder}/{clip}.wav", f"{folder}/{clip}.flac", f"{folder}/{clip}.mp3")
    found = problems(tmp_path)
    assert found[f"{folder}/{clip}.wav"] == found[f"{folder}/{clip}.flac"]
    assert found[f"{folder}/{clip}.wav"].startswith("several files for one clip: ")
    assert found[f"{folder}/{clip}.mp3"].startswith("unread format: the suffix is `.mp3`")
    assert len(found) == 3


def test_ravdess_an_unread_suffix_does_not_spoil_its_twin(tmp_path):
    touch(tmp_path, place("03-02-02-01-01-01-05"), f"{SONG}/Actor_05/03-02-02-01-01-01-05.m4a")
    assert list(problems(tmp_path)) == [f"{SONG}/Actor_05/03-02-02-01-01-01-05.m4a"]


def test_ravdess_ids_do_not_depend_on_where_the_corpus_lies(tmp_path):
    for name in ("one", "two"):
        touch(tmp_path / name, f"{SONG}/Actor_05/bad name.wav", f"{SONG}/Actor_05/bad-name.wav")
    first, second = (ravdess.list_recordings(tmp_path / name) for name in ("one", "two"))
    assert [r.clip for r in first] == [r.clip for r in second]


def test_ravdess_folders_that_are_not_there(tmp_path):
    with pytest.raises(InputError, match=r"holds neither Audio_Speech.* nor Audio_Song"):
        ravdess.list_recordings(touch(tmp_path, "Actor_01/03-01-01-01-01-01-01.wav"))
    with pytest.raises(InputError, match="is not a folder"):
        ravdess.list_recordings(tmp_path / "none")


def test_ravdess_release_is_the_published_one():
    release = ravdess.release()
    assert len(set(release)) == len(release) == 1440 + 1012
    speech = [clip for clip in release if clip[3:5] == "01"]
    song = [clip for clip in release if clip[3:5] == "02"]
    assert (len(speech), len(song)) == (1440, 1012)
    # Livingstone & Russo (2018), table 1: 60 spoken and 44 sung vocalisations of each actor.
    assert {clip[-2:] for clip in speech} - {clip[-2:] for clip in song} == {"18"}
    assert sum(clip.endswith("-07") for clip in speech) == 60
    assert sum(clip.endswith("-07") for clip in song) == 44


@pytest.fixture(scope="module")
def full_release(tmp_path_factory) -> Path:
    return touch(tmp_path_factory.mktemp("ravdess"), *map(place, ravdess.release()))


def labelled(root: Path) -> pd.DataFrame:
    """A manifest as far as counting goes."""
    listed = ravdess.list_recordings(root)
    frame = pd.DataFrame([vars(recording) for recording in listed])
    frame["excluded"] = corpora.choice_exclusions(frame, **EXPERIMENT)
    return frame


def test_ravdess_full_release_gives_the_papers_subset(full_release):
    report = corpora.check_release("ravdess", labelled(full_release), expected=True)
    subset = {emotion: 92 if emotion == "neutral" else 184 for emotion in SIX}
    assert report["full_release"] is True
    assert report["kept"] == report["common"] == {"speech": subset, "song": subset}
    assert sum(subset.values()) == 1012
    assert sum(report["found"]["speech"].values()) == 1440
    assert sum(report["found"]["song"].values()) == 1012
    assert corpora.expected_clips("ravdess", full_release, **EXPERIMENT) == 2024


def test_ravdess_part_of_the_release_is_reported_or_refused(tmp_path, caplog):
    clips = [clip for clip in ravdess.release() if clip[-2:] in ("01", "18")]
    manifest = labelled(touch(tmp_path, *map(place, clips[1:])))
    with caplog.at_level("INFO"):
        report = ravdess.check_full_release(manifest, expect_full_release=False)
    assert report["full_release"] is False
    assert clips[0] in report["missing"]
    assert len(report["missing"]) == 2452 - len(clips) + 1
    assert report["common"]["song"]["angry"] == 8
    assert report["common"]["speech"]["neutral"] == 3
    assert "RAVDESS: 119 of speech, 44 of song found (a part of the release)" in caplog.text
    with pytest.raises(InputError, match=r"lacks 2,289 clips .* `expect_full_release: false"):
        ravdess.check_full_release(manifest, expect_full_release=True)


def test_ravdess_release_with_a_clip_too_many(tmp_path, full_release):
    extra = labelled(full_release)
    extra.loc[len(extra)] = extra.iloc[0]
    extra.loc[len(extra) - 1, "clip"] = "03-02-01-01-01-01-18"
    report = ravdess.check_full_release(extra, expect_full_release=False)
    assert (report["missing"], report["unexpected"]) == ([], ["03-02-01-01-01-01-18"])
    with pytest.raises(InputError, match="has, beyond the release, 1 clips"):
        ravdess.check_full_release(extra, expect_full_release=True)


# Tables -----------------------------------------------------------------------------------------


def write(path: Path, text: str, *, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def read(path: Path) -> list[corpora.Recording]:
    return corpora.list_recordings("table", path, domains=DOMAINS)


def refusal(path: Path) -> list[str]:
    with pytest.raises(InputError) as error:
        read(path)
    return [
        problem.replace(f"{path}: ", "").replace(str(path), "T") for problem in error.value.problems
    ]


def test_table_reads_all_columns_as_text(tmp_path):
    text = (
        "speaker,path, statement ,domain,emotion,repetition,sex,clip,language,intensity\r\n"
        '01, wav/b.wav ,"Hello, ""you""",speech,happy,01,f,NA,de,1.0\r\n'
        ",,,,,,,,,\r\n"
        "\r\n"
        "1,/data/a.wav,,song,sad,,,,,\r\n"
    )
    path = write(tmp_path / "my corpus.csv", text, encoding="utf-8-sig")
    assert read(path) == [
        corpora.Recording(
            clip="NA",
            domain="speech",
            path=tmp_path / "wav/b.wav",
            emotion="happy",
            intensity="1.0",
            speaker="01",
            sex="f",
            language="de",
            statement='Hello, "you"',
            repetition="01",
        ),
        corpora.Recording(
            clip="a", domain="song", path=Path("/data/a.wav"), emotion="sad", speaker="1"
        ),
    ]


def test_table_paths_are_relative_to_its_folder(tmp_path, monkeypatch):
    write(tmp_path / "t.csv", "path,emotion,domain,speaker\n../x/./a.wav,sad,song,1\n")
    assert read(tmp_path / "t.csv")[0].path == tmp_path.parent / "x/a.wav"
    monkeypatch.chdir(tmp_path)
    assert read(Path("t.csv"))[0].path == Path("../x/a.wav")


def test_table_names_unknown_and_missing_columns(tmp_path):
    path = write(tmp_path / "t.csv", "path,Emotion,domain,speakr,mood,path\na,b,song,1,x,a\n")
    known = "path, emotion, domain, speaker, clip, intensity, sex, language, statement, repetition"
    assert refusal(path) == [
        f"T has an unknown column `Emotion`; did you mean `emotion`? The known columns are {known}:"
        " rename or remove it.",
        f"T has an unknown column `mood`; the known columns are {known}: rename or remove it.",
        f"T has an unknown column `speakr`; did you mean `speaker`? The known columns are {known}: "
        "rename or remove it.",
        "T lacks the columns emotion, speaker; a table needs path, emotion, domain, speaker, "
        "separated by commas.",
        "T has the column `path` 2 times; keep one of them.",
    ]


def test_table_names_all_bad_rows_at_once(tmp_path):
    rows = [
        "path,emotion,domain,speaker,clip",
        "a.wav,sad,song,1,",
        "b.wav,,song,,",
        "c.wav,,songs,1,",
        ",sad,song,1,",
        "./a.wav,sad,song,1,",
        "d.wav,sad,speech,1,no good",
        "e.wav,sad,speech,1,Same",
        "f.wav,sad,talk,1,same",
        "g.wav,sad,songs,1,",
        "h.wav,sad,songs,1,",
    ]
    path = write(tmp_path / "t.csv", "\n".join(rows))
    advice = (
        "is not one of speech, song; correct it, or name your two domains in experiment.domains."
    )
    assert refusal(path) == [
        "no path in row 5; fill it in.",
        "no emotion in rows 3-4; fill it in.",
        "no speaker in row 3; fill it in.",
        f"domain `songs` in rows 4, 10-11 {advice}",
        f"domain `talk` in row 9 {advice}",
        f"rows 2, 6 give the same file {tmp_path / 'a.wav'}; keep one of them.",
        "clip `no good` in row 7 cannot name a file; use at most 200 letters, digits, `.`, `_` and "
        "`-`.",
        "rows 8-9 have the same clip id `same` (upper and lower case count as the same); give each "
        "its own.",
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("path,emotion,domain,speaker\n", "lists no recordings"),
        (
            "path,emotion,domain,speaker\na.wav,sad,song\nb.wav,sad,song,1,x\n",
            "rows 2-3 do not have 4",
        ),
        ('path,emotion,domain,speaker\n"a.wav,sad,song,1\n', "not a valid CSV file"),
        (
            'path,emotion,domain,speaker\n"a\nb.wav",sad,song,1\n',
            "line break inside a value in row 2",
        ),
        ("path;emotion;domain;speaker\na.wav;sad;song;1\n", "separated by commas"),
    ],
)
def test_table_that_is_no_table(tmp_path, text, words):
    assert any(words in problem for problem in refusal(write(tmp_path / "t.csv", text)))


def test_table_in_another_encoding_or_absent(tmp_path):
    text = "path,emotion,domain,speaker\nä.wav,sad,song,1\n"
    assert "not UTF-8" in refusal(write(tmp_path / "t.csv", text, encoding="latin-1"))[0]
    assert "cannot be read: No such file" in refusal(tmp_path / "none.csv")[0]


def test_table_ids(tmp_path):
    rows = [
        "path,emotion,domain,speaker,clip",
        "one/a.wav,sad,song,1,",
        "two/A.wav,sad,song,1,",
        "grüße 1.wav,sad,song,1,",
        "b.wav,sad,song,1,given",
        "deep/given.wav,sad,song,1,",
        "x.y.flac,sad,song,1,",
        "UPPER.wav,sad,song,1,",
        f"{'l' * 300}.wav,sad,song,1,",
    ]
    path = write(tmp_path / "t.csv", "\n".join(rows))
    clips = {recording.path.name: recording.clip for recording in read(path)}
    assert clips == {
        "a.wav": path_id("one/a.wav"),
        "A.wav": path_id("two/A.wav"),
        "grüße 1.wav": "gr_e_1",
        "b.wav": "given",
        "given.wav": path_id("deep/given.wav"),
        "x.y.flac": "x.y",
        "UPPER.wav": "UPPER",
        f"{'l' * 300}.wav": path_id(f"{'l' * 300}.wav"),
    }
    # Written out once, because results on disk are named by it.
    assert path_id("one/a.wav") == "one-a-c0f92ebb"
    assert all(CLIP_ID.fullmatch(clip) for clip in clips.values())


VALUE = st.text(string.ascii_letters + string.digits + ' ,"ßé-_.;|', min_size=1).map(str.strip)
NAMES = st.lists(VALUE.filter(bool), min_size=1, max_size=8, unique=True)


@settings(deadline=None, max_examples=50)
@given(names=NAMES, data=st.data())
def test_table_keeps_every_value(tmp_path_factory, names, data):
    """Whatever the values, each row comes back once, unchanged, under an id of its own."""
    value = VALUE.filter(bool)
    rows = [
        {
            "path": f"{name}/{data.draw(st.sampled_from('ab'))}.wav",
            "emotion": data.draw(value),
            "domain": data.draw(st.sampled_from(DOMAINS)),
            "speaker": data.draw(value),
            "statement": data.draw(VALUE),
        }
        for name in names
    ]
    path = tmp_path_factory.mktemp("table") / "t.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    files = {table._files(path, [row["path"]])[0] for row in rows}
    if len(files) < len(rows):  # "./a.wav" and "a.wav"
        with pytest.raises(InputError, match="give the same file"):
            read(path)
        return
    listed = read(path)
    assert [r.clip for r in listed] == sorted({r.clip for r in listed})
    assert all(CLIP_ID.fullmatch(r.clip) for r in listed)
    found = {(str(r.path), r.emotion, r.domain, r.speaker, r.statement) for r in listed}
    wanted = {
        (
            table._files(path, [r["path"]])[0],
            r["emotion"],
            r["domain"],
            r["speaker"],
            r["statement"],
        )
        for r in rows
    }
    assert found == wanted


@settings(deadline=None)
@given(st.text(min_size=1))
def test_path_ids_always_name_a_file(path):
    assert CLIP_ID.fullmatch(path_id(path))
    assert len(path_id(path)) <= CLIP_ID_LENGTH


# Both -------------------------------------------------------------------------------------------


def test_unknown_adapter(tmp_path):
    for call in (
        lambda: corpora.list_recordings("iemocap", tmp_path, domains=DOMAINS),
        lambda: corpora.list_audio_files("iemocap", tmp_path),
        lambda: corpora.expected_clips("iemocap", tmp_path, **EXPERIMENT),
    ):
        with pytest.raises(InputError, match=r"no corpus adapter `iemocap`.*ravdess, table"):
            call()


def test_table_has_no_release():
    assert corpora.check_release("table", pd.DataFrame(), expected=False) == {"full_release": False}
    with pytest.raises(InputError, match="no published release"):
        corpora.check_release("table", pd.DataFrame(), expected=True)


def test_choices_come_in_their_order():
    rows = [
        ("speech", "happy", "a", ""),
        ("song", "happy", "a", ""),
        ("speech", "disgust", "a", corpora.EMOTION_NOT_CHOSEN),
        ("rap", "disgust", "a", corpora.EMOTION_NOT_CHOSEN),
        ("rap", "happy", "a", corpora.DOMAIN_NOT_CHOSEN),
        ("speech", "happy", "b", corpora.SPEAKER_INCOMPLETE),
        # b sings, but only with an emotion that is not chosen.
        ("song", "disgust", "b", corpora.EMOTION_NOT_CHOSEN),
        # Unknown because the name does not parse: not a matter of choice.
        ("speech", "", "", ""),
    ]
    labels = pd.DataFrame(rows, columns=["domain", "emotion", "speaker", "reason"])
    assert corpora.choice_exclusions(labels, **EXPERIMENT).tolist() == labels["reason"].tolist()
    anyone = corpora.choice_exclusions(labels, **{**EXPERIMENT, "speakers_in_all_domains": False})
    assert anyone[5] == ""


def test_expected_clips_of_ravdess(tmp_path):
    root = tmp_path / "r"
    assert corpora.expected_clips("ravdess", root, **EXPERIMENT, planned=2024) == 2024
    with pytest.raises(InputError, match="is not a folder"):
        corpora.expected_clips("ravdess", root, **EXPERIMENT)
    clips = ["03-01-01-01-01-01-01", "03-01-07-01-01-01-01", "03-01-01-01-01-01-18"]
    touch(root, *map(place, clips))
    # The song folder is still to come.
    assert corpora.expected_clips("ravdess", root, **EXPERIMENT, planned=2024) == 2024
    speech = {**EXPERIMENT, "domains": ["speech"]}
    assert corpora.expected_clips("ravdess", root, **speech, planned=2024) == 2
    touch(root, place("03-02-01-01-01-01-01"), f"{SONG}/Actor_01/bad.wav")
    assert corpora.expected_clips("ravdess", root, **EXPERIMENT, planned=2024) == 2


def test_expected_clips_of_a_table(tmp_path):
    rows = ["a.wav,sad,song,1", "b.wav,sad,speech,1", "c.wav,sad,song,2", "d.wav,bored,song,1"]
    path = write(tmp_path / "t.csv", "\n".join(["path,emotion,domain,speaker", *rows]))
    assert corpora.expected_clips("table", path, **EXPERIMENT) == 2
    assert corpora.expected_clips("table", tmp_path / "u.csv", **EXPERIMENT, planned=7) == 7


def test_audio_files_are_those_that_exist(tmp_path):
    assert corpora.list_audio_files("ravdess", tmp_path / "none") == []
    names = [place("03-01-01-01-01-01-01"), f"{SPEECH}/Actor_01/bad.mp3"]
    touch(tmp_path, *names, f"{SPEECH}/.DS_Store")
    assert corpora.list_audio_files("ravdess", tmp_path) == [tmp_path / name for name in names]

    touch(tmp_path, "x/b.wav", "x/c.wav", "a.wav")
    (tmp_path / "x/folder.wav").mkdir()
    (tmp_path / "x/dangling.wav").symlink_to("nowhere")
    rows = ["x/b.wav", "a.wav", "x/gone.wav", "y/b.wav", "x/folder.wav", "x/dangling.wav"]
    text = "\n".join(["path,emotion,domain,speaker", *(f"{row},sad,any,1" for row in rows)])
    path = write(tmp_path / "t.csv", text)
    assert corpora.list_audio_files("table", path) == [tmp_path / "a.wav", tmp_path / "x/b.wav"]
