from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consonance import splits
from consonance.errors import InputError

FRACTIONS = (0.6, 0.2, 0.2)
SHARES = [Fraction(3, 5), Fraction(1, 5), Fraction(1, 5)]
EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful")


def ravdess(domains=("speech", "song")):
    """The paper's 1,012 clips per domain: neutral at one intensity, the others at two."""
    rows = []
    for domain in domains:
        for actor in (a for a in range(1, 25) if a != 18):
            for number, emotion in enumerate(EMOTIONS):
                for intensity in (1,) if emotion == "neutral" else (1, 2):
                    for statement in (1, 2):
                        for repetition in (1, 2):
                            clip = f"{domain}-{number}-{intensity}-{statement}-{repetition}"
                            rows.append(
                                {
                                    "clip": f"{clip}-{actor:02d}",
                                    "domain": domain,
                                    "emotion": emotion,
                                    "speaker": f"{actor:02d}",
                                    "sex": "male" if actor % 2 else "female",
                                    "duplicate_of": "",
                                }
                            )
    return pd.DataFrame(rows)


RAVDESS = ravdess()


def joined(manifest, table):
    return table.merge(manifest, on=["clip", "domain"], validate="many_to_one")


def test_random_sizes_are_the_papers():
    table = splits.draw(RAVDESS, scheme="random", fractions=FRACTIONS, seeds=[0, 7])
    sizes = table.groupby(["seed", "domain"])["part"].value_counts().unstack()
    assert (sizes["train"] == 607).all()
    assert (sizes["validation"] == 202).all()
    assert (sizes["test"] == 203).all()


def test_random_is_stratified_by_emotion():
    table = joined(RAVDESS, splits.draw(RAVDESS, scheme="random", fractions=FRACTIONS, seeds=[3]))
    counts = pd.crosstab([table["domain"], table["emotion"]], table["part"])
    exact = counts.sum(axis=1).to_numpy()[:, None] * np.array([0.2, 0.6, 0.2])
    assert list(counts.columns) == ["test", "train", "validation"]
    assert (np.abs(counts - exact) < 1).all().all()


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        # 0.2 x 1,012 = 202.4 twice: the test set takes the left-over clip.
        ([1012], [[607, 202, 203]]),
        ([92, *[184] * 5], [[56, 18, 18], [111, 36, 37], *[[110, 37, 37]] * 4]),
        ([3], [[1, 1, 1]]),
        ([10, 10], [[6, 2, 2], [6, 2, 2]]),
        ([1, 1, 1], [[1, 0, 0], [0, 1, 0], [0, 0, 1]]),
    ],
)
def test_allocate(counts, expected):
    got = splits.allocate(counts, SHARES)
    # Which of equal strata gives up an item is fixed, but not what matters with three of one.
    if max(counts) == 1:
        assert sorted(got.tolist()) == sorted(expected)
    else:
        assert got.tolist() == expected


@given(st.lists(st.integers(5, 400), min_size=1, max_size=9))
def test_allocate_keeps_both_sums_and_stays_near_the_shares(counts):
    table = splits.allocate(counts, SHARES)
    assert table.sum(axis=1).tolist() == counts
    exact_sizes = np.array([float(sum(counts) * share) for share in SHARES])
    assert (np.abs(table.sum(axis=0) - exact_sizes) < 1).all()
    exact = np.array([[float(count * share) for share in SHARES] for count in counts])
    # Rounding is less than 1; one move between parts may add at most another item.
    assert (np.abs(table - exact) < 2).all()
    assert (table >= 1).all()


def test_speaker_sizes_and_sexes():
    table = joined(
        RAVDESS, splits.draw(RAVDESS, scheme="speaker", fractions=FRACTIONS, seeds=range(5))
    )
    speakers = table.drop_duplicates(["seed", "speaker"])
    sizes = speakers.groupby("seed")["part"].value_counts().unstack()
    # 23 speakers: 13.8, 4.6, 4.6; training's remainder is the largest, then test before validation.
    assert sizes[["train", "validation", "test"]].to_numpy().tolist() == [[14, 4, 5]] * 5
    sexes = speakers.groupby(["seed", "part"])["sex"].value_counts().unstack()
    assert (sexes.loc[(slice(None), ["validation", "test"]), :] >= 2).all().all()


def test_speaker_parts_are_disjoint_and_equal_in_both_domains():
    table = joined(
        RAVDESS, splits.draw(RAVDESS, scheme="speaker", fractions=FRACTIONS, seeds=[0, 1])
    )
    assert (table.groupby(["seed", "speaker"])["part"].nunique() == 1).all()
    parts = table[table["seed"] == 0].drop_duplicates("speaker").set_index("speaker")["part"]
    other = table[table["seed"] == 1].drop_duplicates("speaker").set_index("speaker")["part"]
    assert (parts != other[parts.index]).any()


@pytest.mark.parametrize("scheme", splits.SCHEMES)
def test_format_and_order(scheme):
    table = splits.draw(RAVDESS, scheme=scheme, fractions=FRACTIONS, seeds=[5, 1])
    assert list(table.columns) == ["seed", "domain", "clip", "part"]
    assert len(table) == 2 * len(RAVDESS)
    assert table["seed"].drop_duplicates().tolist() == [5, 1]
    first = table[table["seed"] == 5]
    assert first[["domain", "clip"]].apply(tuple, axis=1).is_monotonic_increasing


def test_a_further_domain_seed_or_scheme_changes_no_other_draw():
    both = splits.draw(RAVDESS, scheme="random", fractions=FRACTIONS, seeds=[0, 1])
    alone = splits.draw(ravdess(["song"]), scheme="random", fractions=FRACTIONS, seeds=[1])
    kept = both[(both["domain"] == "song") & (both["seed"] == 1)].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept, alone)


def test_the_draw_is_pinned():
    # Splits of published results must be drawn again by any later version.
    table = splits.draw(RAVDESS, scheme="random", fractions=FRACTIONS, seeds=[0])
    test = table[(table["part"] == "test") & (table["domain"] == "speech")]["clip"]
    assert test.head(3).tolist() == ["speech-0-1-1-1-01", "speech-0-1-1-1-09", "speech-0-1-1-1-15"]
    table = joined(RAVDESS, splits.draw(RAVDESS, scheme="speaker", fractions=FRACTIONS, seeds=[0]))
    assert sorted(table.loc[table["part"] == "test", "speaker"].unique()) == [
        "11",
        "14",
        "17",
        "22",
        "23",
    ]


def test_duplicates_fall_in_one_part_across_domains():
    manifest = RAVDESS.copy()
    first = manifest["clip"].iloc[[0, 30, 400]].tolist()
    manifest.loc[manifest["clip"] == manifest["clip"].iloc[1], "duplicate_of"] = first[0]
    # Another emotion, and another domain.
    manifest.loc[manifest["clip"] == manifest["clip"].iloc[90], "duplicate_of"] = first[1]
    manifest.loc[manifest["clip"] == manifest["clip"].iloc[1500], "duplicate_of"] = first[2]
    table = joined(
        manifest,
        splits.draw(manifest, scheme="random", fractions=FRACTIONS, seeds=range(20)),
    )
    table["root"] = table["duplicate_of"].where(table["duplicate_of"] != "", table["clip"])
    assert (table.groupby(["seed", "root"])["part"].nunique() == 1).all()
    sizes = table.groupby(["seed", "domain"])["part"].value_counts().unstack()
    assert (sizes == [203, 607, 202]).all().all()


def test_speakers_who_share_a_recording_stay_together():
    manifest = RAVDESS.copy()
    clip_of = manifest.drop_duplicates("speaker").set_index("speaker")["clip"]
    manifest.loc[manifest["clip"] == clip_of["07"], "duplicate_of"] = clip_of["02"]
    manifest.loc[manifest["clip"] == clip_of["11"], "duplicate_of"] = clip_of["02"]
    table = joined(
        manifest,
        splits.draw(manifest, scheme="speaker", fractions=FRACTIONS, seeds=range(10)),
    )
    parts = table.drop_duplicates(["seed", "speaker"]).pivot(
        index="seed", columns="speaker", values="part"
    )
    assert (parts["02"] == parts["07"]).all()
    assert (parts["02"] == parts["11"]).all()
    sizes = parts.apply(lambda row: row.value_counts(), axis=1)
    assert (sizes[["train", "validation", "test"]] == [14, 4, 5]).all().all()


@st.composite
def manifests(draw):
    """Small corpora with enough speakers and every emotion for each of them."""
    speakers = draw(st.integers(5, 9))
    emotions = draw(st.integers(2, 4))
    takes = draw(st.integers(2, 4))
    rows = [
        {
            "clip": f"{domain}{speaker}{emotion}{take}",
            "domain": domain,
            "emotion": f"e{emotion}",
            "speaker": f"s{speaker}",
            "sex": draw(st.sampled_from(["male", "female", ""])) if take == 0 else "",
            "duplicate_of": "",
        }
        for domain in ("a", "b")
        for speaker in range(speakers)
        for emotion in range(emotions)
        for take in range(takes)
    ]
    frame = pd.DataFrame(rows)
    # Copies within a speaker, so that few groups of speakers do not merge into fewer than three.
    for row in draw(st.lists(st.integers(0, len(rows) - 1), max_size=2)):
        same = frame.index[frame["speaker"] == frame["speaker"][row]]
        if row != same[0] and frame["duplicate_of"][same[0]] == "":
            frame.loc[row, "duplicate_of"] = frame["clip"][same[0]]
    return frame


@settings(max_examples=25, deadline=None)
@given(manifests(), st.sampled_from(splits.SCHEMES), st.randoms(use_true_random=False))
def test_invariants(manifest, scheme, shuffler):
    arguments = {"scheme": scheme, "fractions": FRACTIONS, "seeds": [0, 3]}
    table = splits.draw(manifest, **arguments)
    # A partition: every clip once per seed.
    assert not table.duplicated(["seed", "clip"]).any()
    assert len(table) == 2 * len(manifest)
    assert set(table["part"]) == set(splits.PARTS)
    full = joined(manifest, table)
    full["root"] = full["duplicate_of"].where(full["duplicate_of"] != "", full["clip"])
    assert (full.groupby(["seed", "root"])["part"].nunique() == 1).all()
    if scheme == "speaker":
        assert (full.groupby(["seed", "speaker"])["part"].nunique() == 1).all()
    order = list(range(len(manifest)))
    shuffler.shuffle(order)
    pd.testing.assert_frame_equal(table, splits.draw(manifest.iloc[order], **arguments))


def test_folds_are_even():
    table = splits.folds(RAVDESS, n_folds=6, seed=0)
    assert list(table.columns) == ["speaker", "fold"]
    assert table["speaker"].is_monotonic_increasing
    assert sorted(table["fold"].value_counts()) == [3, 4, 4, 4, 4, 4]
    sexes = table.assign(male=table["speaker"].astype(int) % 2).groupby("fold")["male"].sum()
    assert set(sexes) == {2}  # 12 men in 6 folds


def test_folds_do_not_depend_on_row_order_but_on_the_seed():
    table = splits.folds(RAVDESS, n_folds=4, seed=1)
    shuffled = RAVDESS.sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(table, splits.folds(shuffled, n_folds=4, seed=1))
    assert not table.equals(splits.folds(RAVDESS, n_folds=4, seed=2))


def draw(manifest=RAVDESS, **changed):
    return splits.draw(
        manifest, **({"scheme": "random", "fractions": FRACTIONS, "seeds": [0]} | changed)
    )


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"scheme": "stratified"}, "scheme 'stratified' is unknown"),
        ({"fractions": (0.6, 0.2, 0.3)}, "sum 1"),
        ({"fractions": (0.8, 0.2, 0.0)}, "positive"),
        ({"seeds": [1, 1]}, "different whole numbers"),
        ({"seeds": []}, "at least one"),
        ({"manifest": RAVDESS.assign(emotion="")}, "2024 clips have no emotion"),
        ({"manifest": RAVDESS.assign(speaker=""), "scheme": "speaker"}, "no speaker"),
        (
            {"manifest": RAVDESS[RAVDESS["speaker"].isin(["01", "02"])], "scheme": "speaker"},
            "at least 3 speakers .* the manifest has 2",
        ),
    ],
)
def test_errors(changed, words):
    with pytest.raises(InputError, match=words):
        draw(**changed)


def test_several_problems_come_at_once():
    with pytest.raises(InputError) as caught:
        draw(scheme="x", fractions=(1, 1, 1), seeds=[-1])
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize("scheme", splits.SCHEMES)
def test_an_emotion_missing_in_a_part_is_named(scheme):
    # Only one speaker, with two clips, is ever sad in song.
    sad = (RAVDESS["emotion"] == "sad") & (RAVDESS["domain"] == "song")
    kept = RAVDESS.index.isin(RAVDESS[sad & (RAVDESS["speaker"] == "05")].index[:2])
    with pytest.raises(InputError, match="song has no clip of: sad"):
        draw(RAVDESS[~sad | kept], scheme=scheme)


def test_fold_errors():
    with pytest.raises(InputError, match=r"24 folds need at least 24 speakers; .* has 23"):
        splits.folds(RAVDESS, n_folds=24, seed=0)
    with pytest.raises(InputError, match="at least 2"):
        splits.folds(RAVDESS, n_folds=1, seed=0)
    with pytest.raises(InputError, match="no speaker"):
        splits.folds(RAVDESS.assign(speaker=""), n_folds=2, seed=0)
