"""The manifest's file, what readers rely on, and how it is cut into shards."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consonance import manifest
from consonance.errors import InputError

DOMAINS = ["speech", "song"]
EMOTIONS = ["calm", "happy", "sad"]


def clip(name: str, **values) -> dict:
    row = {column: "" for column in manifest.COLUMNS}
    row |= {"clip": name, "corpus": "demo", "domain": "speech", "path": f"wav/{name}.wav"}
    row |= {"emotion": "happy", "speaker": "01", "content": "a" * 64}
    row |= {"duration": 1.0, "rate": 48000, "channels": 1}
    return row | values


def unopened(name: str, reason: str, **values) -> dict:
    nothing = {"duration": np.nan, "rate": pd.NA, "channels": pd.NA, "content": ""}
    return clip(name, excluded=reason, **nothing, **values)


def frame_of(*rows: dict) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=list(manifest.COLUMNS))
    types = dict.fromkeys(manifest.TEXT_COLUMNS, str) | dict.fromkeys(["rate", "channels"], "Int64")
    return frame.astype(types | {"duration": "float64"})


EXAMPLE = frame_of(
    clip("a", speaker="01", statement='Say "NA", twice', duration=0.1 + 0.2),
    clip("b", speaker="NA", emotion="null", note="2 channels mixed down", channels=2),
    unopened("c", "emotion not in experiment.emotions", emotion="disgust", intensity="1.0"),
    unopened("d", "unreadable: Format not recognised", domain="song"),
)


def test_a_manifest_reads_back_as_it_was_written(tmp_path):
    manifest.write(EXAMPLE, tmp_path / "m.csv")
    read = manifest.read_manifest(tmp_path / "m.csv")
    pd.testing.assert_frame_equal(read, EXAMPLE)
    manifest.write(read, tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "m.csv").read_bytes()


def test_the_file_is_plain_csv(tmp_path):
    manifest.write(EXAMPLE.iloc[1:3], tmp_path / "m.csv")
    assert (tmp_path / "m.csv").read_text().splitlines() == [
        "clip,corpus,domain,path,emotion,intensity,speaker,sex,language,statement,repetition,"
        "duration,rate,channels,content,duplicate_of,note,excluded",
        f"b,demo,speech,wav/b.wav,null,,NA,,,,,1.0,48000,2,{'a' * 64},,2 channels mixed down,",
        "c,demo,speech,wav/c.wav,disgust,1.0,01,,,,,,,,,,,emotion not in experiment.emotions",
    ]


@settings(deadline=None, max_examples=25)
@given(
    texts=st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["Cc"])), max_size=6),
    duration=st.floats(1e-3, 1e6),
)
def test_any_text_and_number_survives(tmp_path_factory, texts, duration):
    rows = [clip(f"c{n}", statement=text, duration=duration) for n, text in enumerate(texts)]
    path = tmp_path_factory.mktemp("m") / "m.csv"
    manifest.write(frame_of(*rows), path)
    pd.testing.assert_frame_equal(manifest.read_manifest(path), frame_of(*rows), check_exact=True)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("clip,corpus", "clip,corpora", "lacks the column corpus"),
        ("clip,corpus", "clip,corpora", "unknown column `corpora`"),
        ("\nb,", "\na,", "more than one row for the clip a"),
        (",48000,2,", ",fast,2,", "wrong number: .*fast"),
        (",48000,2,", ",48000.5,2,", "wrong number: .*48000.5"),
        (",48000,2,", ",0,2,", r"lacks a usable rate for 1 clips \(the first: b\)"),
        (",1.0,48000,", ",,48000,", "lacks a usable duration for 1 clips"),
        (",null,", ",,", "lacks a usable emotion for 1 clips"),
        ("a" * 64 + ",,2 ch", ",,2 ch", r"lacks a usable content for 1 clips \(the first: b\)"),
        ("2 channels mixed down,", "x,y,z", "not a valid CSV file"),
    ],
)
def test_a_spoilt_manifest_is_refused(tmp_path, old, new, words):
    manifest.write(EXAMPLE, tmp_path / "m.csv")
    text = (tmp_path / "m.csv").read_text()
    assert old in text
    (tmp_path / "m.csv").write_text(text.replace(old, new))
    with pytest.raises(InputError, match=words) as error:
        manifest.read_manifest(tmp_path / "m.csv")
    assert str(tmp_path / "m.csv") in str(error.value)


def test_no_manifest(tmp_path):
    with pytest.raises(InputError, match="cannot be read: No such file"):
        manifest.read_manifest(tmp_path / "m.csv")
    (tmp_path / "m.csv").touch()
    with pytest.raises(InputError, match="not a valid CSV"):
        manifest.read_manifest(tmp_path / "m.csv")


def test_kept_clips_have_whole_numbers():
    kept = manifest.kept(EXAMPLE)
    assert kept["clip"].tolist() == ["a", "b"]
    assert kept.index.tolist() == [0, 1]
    assert (kept["rate"].dtype, kept["channels"].dtype) == (np.int64, np.int64)


def test_exclusions_are_counted_by_kind():
    frame = frame_of(
        clip("a"),
        unopened("b", "silent: no sample exceeds 0.1"),
        unopened("c", "silent: no sample exceeds 0.2; constant: 0"),
        unopened("d", "missing: there is no such file"),
        unopened("e", "emotion not in experiment.emotions", domain="song"),
    )
    counts = manifest.exclusion_counts(frame)
    assert counts.to_dict("split", index=False) == {
        "columns": ["corpus", "domain", "reason", "clips"],
        "data": [
            ["demo", "song", "emotion not in experiment.emotions", 1],
            ["demo", "speech", "missing", 1],
            ["demo", "speech", "silent", 2],
        ],
    }
    nothing = manifest.exclusion_counts(frame.iloc[:1])
    assert list(nothing.columns) == ["corpus", "domain", "reason", "clips"]
    assert nothing.empty


def test_kept_clips_are_counted():
    frame = frame_of(
        clip("a"), clip("b", speaker="02"), clip("c"), clip("d", domain="song"), unopened("e", "x")
    )
    assert manifest.counts(frame).values.tolist() == [
        ["demo", "song", "happy", 1, 1],
        ["demo", "speech", "happy", 3, 2],
    ]
    assert list(manifest.counts(frame).columns) == [
        *("corpus", "domain", "emotion", "clips", "speakers")
    ]


# Shards -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("clips", "size", "shards"), [(0, 5, 1), (1, 5, 1), (5, 5, 1), (6, 5, 2), (2024, 1024, 2)]
)
def test_number_of_shards(clips, size, shards):
    assert manifest.number_of_shards(clips, size) == shards


def test_shards_hold_at_least_one_clip():
    with pytest.raises(ValueError, match="at least 1"):
        manifest.number_of_shards(10, 0)


def test_shards_are_sorted_by_cell():
    frame = frame_of(
        clip("a", speaker="02"),
        clip("b", speaker="01", domain="speech", emotion="sad"),
        clip("c", speaker="01", domain="speech", emotion="calm"),
        clip("d", speaker="01", domain="song", emotion="sad"),
        unopened("e", "x", speaker="03"),
        clip("f", speaker="01", domain="speech", emotion="calm"),
    )
    folds = pd.DataFrame({"speaker": ["01", "02"], "fold": [0, 1]})
    shards = [manifest.shard_rows(frame, folds, index, 2) for index in range(4)]
    assert [shard["clip"].tolist() for shard in shards] == [["d", "c"], ["f", "b"], ["a"], []]
    assert shards[2]["fold"].tolist() == [1]
    assert shards[2].index.tolist() == [0]
    assert list(shards[3].columns) == [*manifest.COLUMNS, "fold"]
    assert shards[3].dtypes.to_dict() == shards[0].dtypes.to_dict()


CLIPS = st.lists(
    st.tuples(
        st.sampled_from(DOMAINS),
        st.sampled_from(EMOTIONS),
        st.sampled_from(["1", "01", "x"]),
        st.booleans(),
    ),
    max_size=30,
)


@settings(deadline=None, max_examples=25)
@given(clips=CLIPS, size=st.integers(1, 12), order=st.randoms(use_true_random=False))
def test_shards_are_a_partition(clips, size, order):
    """Every kept clip is in one shard, shards are full but the last, whatever the rows' order."""
    rows = [
        clip(f"c{n}", domain=d, emotion=e, speaker=s) if keep else unopened(f"c{n}", "x", speaker=s)
        for n, (d, e, s, keep) in enumerate(clips)
    ]
    folds = pd.DataFrame({"speaker": ["1", "01", "x"], "fold": [0, 1, 1]})
    kept = [row["clip"] for row in rows if not row["excluded"]]
    count = manifest.number_of_shards(len(kept), size)

    def shards(rows):
        frame = frame_of(*rows)
        return [
            manifest.shard_rows(frame, folds, index, size, planned_shards=count)
            for index in range(count + 1)
        ]

    cut = shards(rows)
    assert sorted(name for shard in cut for name in shard["clip"]) == sorted(kept)
    assert all(len(shard) == size for shard in cut[: count - 1])
    assert len(cut[count]) == 0
    whole = pd.concat(cut)
    cells = list(zip(whole["fold"], whole["domain"], whole["emotion"], strict=True))
    assert cells == sorted(cells)
    order.shuffle(rows)
    for before, after in zip(cut, shards(rows), strict=True):
        pd.testing.assert_frame_equal(before, after)


def test_folds_that_do_not_fit():
    frame = frame_of(clip("a", speaker="01"), clip("b", speaker="02"))
    numbers = pd.DataFrame({"speaker": [1, 2], "fold": [0, 1]})
    with pytest.raises(InputError, match=r"lack the speakers 01, 02 .*speakers are text"):
        manifest.shard_rows(frame, numbers, 0, 10)
    twice = pd.DataFrame({"speaker": ["01", "02", "01"], "fold": [0, 1, 1]})
    with pytest.raises(InputError, match="speaker 01 more than one fold"):
        manifest.shard_rows(frame, twice, 0, 10)


def test_too_few_shards_are_never_silent():
    frame = frame_of(clip("a"), clip("b"), clip("c"))
    folds = pd.DataFrame({"speaker": ["01"], "fold": [0]})
    assert len(manifest.shard_rows(frame, folds, 1, 2, planned_shards=2)) == 1
    with pytest.raises(InputError, match="3 clips, which need 2 shards of 2, but only 1 were"):
        manifest.shard_rows(frame, folds, 0, 2, planned_shards=1)
