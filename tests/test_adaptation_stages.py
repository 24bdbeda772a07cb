"""Tests of stages: which clips a run sees, and what must not be seen."""

import adaptation_data as data
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consonance.adaptation import approaches, stages
from consonance.errors import InputError


def arranged(table, splits, scheme="random"):
    return stages.arrange(
        list(table["clip"]), table, splits, domains=data.DOMAINS, labels=data.LABELS, scheme=scheme
    )


def run(stage=2, fraction=1.0, seed=0):
    return stages.Run("speech-to-song", stage, fraction, seed, "speech", "song")


def test_a_plan_lists_stage_one_before_what_starts_from_it():
    ws = data.approach("ws")
    plan = stages.plan("song-to-speech", ws, domains=data.DOMAINS, seeds=[4])
    assert [(r.stage, r.fraction, r.domain) for r in plan] == [
        (1, 1.0, "song"),
        (1, 0.5, "song"),
        (2, 1.0, "speech"),
        (2, 0.5, "speech"),
    ]
    assert plan[0].start is None
    # However little of the target is used, stage one saw all of the source.
    assert plan[3].start == plan[0]
    assert len({r.name for r in plan}) == 4


def test_an_unknown_direction_is_refused():
    with pytest.raises(InputError, match="'song-to-song' is unknown"):
        stages.plan("song-to-song", data.approach("ws"), domains=data.DOMAINS, seeds=[0])


def test_a_control_has_one_stage_and_an_approach_may_have_seeds_of_its_own():
    settings = data.settings(controls=["ws"])
    settings["approaches"]["ws"]["seeds"] = [4, 5]
    control = approaches.read(approaches.resolve(settings))["ws-long"]
    plan = stages.plan("song-to-speech", control, domains=data.DOMAINS, seeds=[3, 4, 5])
    assert [(r.seed, r.stage, r.fraction) for r in plan] == [(4, 1, 1.0), (5, 1, 1.0)]


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), small=st.floats(0.05, 0.95), step=st.floats(0, 0.9))
def test_shares_are_nested_stratified_and_leave_the_other_parts_alone(seed, small, step):
    table = data.manifest(speakers=12)
    own = arranged(table, data.drawn(table, seeds=[seed]))["song"]
    large = min(1.0, small + step)
    whole, few, more = (
        stages.clips_of(own, run(fraction=f, seed=seed)) for f in (1.0, small, large)
    )
    assert set(few.train) <= set(more.train) <= set(whole.train)
    for emotion in range(len(data.LABELS)):
        n = (own.emotions[whole.train] == emotion).sum()
        taken = (own.emotions[few.train] == emotion).sum()
        assert taken == max(1, np.floor(small * n + 0.5))
    for part in ("validation", "test"):
        assert (getattr(few, part) == getattr(whole, part)).all()


def test_the_order_depends_on_seed_domain_and_epoch_only():
    table = data.manifest()
    own = arranged(table, data.drawn(table, seeds=[0, 1]))
    clips = stages.clips_of(own["song"], run())
    first = stages.order(clips, run(), 1)
    assert sorted(first) == list(clips.train)
    # Direct training on song sees the clips in the same order as stage two on song.
    direct = stages.Run("song-to-speech", 1, 1.0, 0, "song", "speech")
    assert (stages.order(stages.clips_of(own["song"], direct), direct, 1) == first).all()
    assert (stages.order(clips, run(), 2) != first).any()


@pytest.mark.parametrize("scheme", ["random", "speaker"])
def test_what_is_tested_in_the_target_is_seen_in_neither_stage(scheme):
    table = data.manifest(speakers=8)
    # A recording of speech that is, sample for sample, one of song.
    table.loc[table["clip"] == "speech-0-calm-0", "duplicate_of"] = "song-0-calm-0"
    splits = data.drawn(table, scheme, seeds=range(4))
    own = arranged(table, splits, scheme)
    of = table.set_index("clip")
    root = of["duplicate_of"].where(of["duplicate_of"] != "", of.index.to_series())
    for seed in range(4):
        tested = stages.clips_of(own["song"], run(2, seed=seed)).test
        tested = [own["song"].clips[row] for row in tested]
        seen = []
        for stage, domain in ((1, "speech"), (2, "song")):
            clips = stages.clips_of(own[domain], run(stage, seed=seed))
            seen += [own[domain].clips[row] for row in [*clips.train, *clips.validation]]
        assert not set(root[tested]) & set(root[seen])
        if scheme == "speaker":
            assert not set(of["speaker"][tested]) & set(of["speaker"][seen])


def test_a_speaker_on_both_sides_is_refused():
    table = data.manifest(speakers=8)
    splits = data.drawn(table, "speaker")
    speech = (splits["domain"] == "speech") & (splits["part"] == "test")
    swapped = splits.copy()
    name = table.set_index("clip")["speaker"]
    tested = name[swapped.loc[speech, "clip"].iloc[0]]
    swapped.loc[(swapped["domain"] == "song") & (swapped["clip"].map(name) == tested), "part"] = (
        "train"
    )
    with pytest.raises(InputError, match=f"speakers are tested and trained on.*'{tested}'"):
        arranged(table, swapped, "speaker")


def test_a_copy_on_both_sides_is_refused():
    table = data.manifest(speakers=8)
    splits = data.drawn(table)
    tested = splits.loc[(splits["domain"] == "song") & (splits["part"] == "test"), "clip"].iloc[0]
    trained = splits.loc[(splits["domain"] == "speech") & (splits["part"] == "train"), "clip"]
    table.loc[table["clip"] == trained.iloc[0], "duplicate_of"] = tested
    with pytest.raises(InputError, match="recordings are tested and trained on"):
        arranged(table, splits)


def test_two_stages_with_different_labels_are_refused():
    table = data.manifest()
    splits = data.drawn(table)
    no_anger = table["clip"][(table["domain"] == "song") & (table["emotion"] == "angry")]
    left = splits[~splits["clip"].isin(no_anger)]
    with pytest.raises(InputError, match=r"no training clip of song is angry.*same labels"):
        arranged(table, left)


def test_domains_with_different_seeds_are_refused():
    table = data.manifest()
    splits = data.drawn(table, seeds=[0, 1])
    left = splits[(splits["domain"] == "speech") | (splits["seed"] == 0)]
    with pytest.raises(InputError, match="different seeds"):
        arranged(table, left)


def test_the_fingerprint_notices_a_clip_that_changes_its_part():
    table = data.manifest()
    splits = data.drawn(table)
    before = stages.fingerprint(arranged(table, splits))
    assert before == stages.fingerprint(arranged(table, splits))
    one, other = (splits.index[splits["part"] == part][0] for part in ("train", "validation"))
    splits.loc[[one, other], "part"] = ["validation", "train"]
    assert stages.fingerprint(arranged(table, splits)) != before


def test_the_first_numbers_of_a_tensor_depend_on_its_name_and_seed():
    draws = [
        stages.initial(seed, name, (3, 2), bound=0.5)
        for seed, name in ((0, "a"), (0, "a"), (1, "a"), (0, "b"))
    ]
    assert (draws[0] == draws[1]).all()
    assert (draws[0] != draws[2]).any()
    assert (draws[0] != draws[3]).any()
    assert np.abs(draws).max() <= 0.5
