"""Tests of approaches: what the configuration may say, and what an error says."""

import re

import adaptation_data as data
import pytest

from consonance.adaptation import approaches, naming
from consonance.adaptation.approaches import Adapter, Gate, Lora
from consonance.errors import InputError


def test_an_approach_takes_what_is_said_for_all():
    peft = data.approach("peft")
    assert peft.trains == ("layer_weights", "gate", "lora", "adapter")
    assert peft.gate == Gate("sigmoid", 1.0, "path")
    assert peft.lora == Lora(("q_proj", "v_proj"), 2, 1.0)
    assert peft.adapter == Adapter(4, 1.0, ("output",))
    assert peft.training.learning_rate == 0.01
    assert peft.fractions == (1.0,)
    assert not peft.pooled


def test_its_own_values_come_first_and_reach_no_other_approach():
    settings = data.settings(
        approaches={
            "peft": {
                "trains": ["lora"],
                "learning_rate": 0.5,
                "lora": {"rank": 3},
                "training": {"epochs": 7},
            }
        }
    )
    found = approaches.read(approaches.resolve(settings))
    assert found["peft"].lora == Lora(("q_proj", "v_proj"), 3, 1.0)
    assert found["peft"].gate is None
    assert found["peft"].adapter is None
    assert [found[name].training.epochs for name in found] == [3, 3, 7]


def test_a_part_that_is_not_trained_is_no_parameter_of_the_rule():
    changed = data.settings(lora={"rank": 99})
    before, after = (approaches.resolve(s) for s in (data.settings(), changed))
    assert before["ws"] == after["ws"]
    assert before["peft"] != after["peft"]


@pytest.mark.parametrize(("name", "pooled"), [("baseline", True), ("ws", True), ("peft", False)])
def test_clip_means_are_enough_without_parts_in_the_encoder(name, pooled):
    assert data.approach(name).pooled is pooled


def test_models_and_schemes_narrow_an_approach():
    entry = {"trains": [], "learning_rate": 0.1, "models": ["a"], "schemes": ["random"]}
    found = data.approach("baseline", approaches={"baseline": entry})
    assert found.covers(model="a", scheme="random")
    assert not found.covers(model="b", scheme="random")
    assert not found.covers(model="a", scheme="speaker")


def test_an_unknown_approach_is_refused_with_the_nearest_name():
    with pytest.raises(InputError, match=r"`peftt`.*did you mean `peft`"):
        approaches.resolve(data.settings(run=["peftt"]))


def test_a_control_trains_for_the_epochs_of_both_stages_on_all_clips():
    found = approaches.resolve(data.settings(controls=["ws"], fractions=[0.25, 1.0]))
    assert list(found) == ["baseline", "ws", "ws-long", "peft"]
    assert found["ws-long"] == {
        **found["ws"],
        "fractions": [1.0],
        "training": {**found["ws"]["training"], "epochs": 6},
        "stages": [1],
    }
    assert list(approaches.resolve(data.settings(controls=["ws"], run=["peft"]))) == ["peft"]


def test_controls_that_cannot_be_are_said_at_once():
    own = {"ws-long": {"trains": [], "learning_rate": 0.1}}
    settings = data.settings(run=["ws", "ws-long"], controls=["ws", "bassline"], approaches=own)
    with pytest.raises(InputError) as caught:
        approaches.resolve(settings)
    unknown, taken = caught.value.problems
    assert "adaptation.controls names the approach `bassline`" in unknown
    assert "did you mean `baseline`?" in unknown
    assert "adaptation.run has the approach `ws-long`" in taken


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"lora": {"rank": 0}}, "lora.rank is 0; it must be a whole number of at least 1"),
        ({"lora": {"rank": 1.5}}, "lora.rank is 1.5"),
        ({"lora": {"modules": []}}, "lora.modules is []; name at least one"),
        ({"adapter": {"width": 0}}, "adapter.width is 0"),
        ({"adapter": {"places": ["below"]}}, "adapter.places is `below`; choose from"),
        ({"gate": {"function": "tanh"}}, "gate.function is `tanh`; choose from"),
        ({"gate": {"initial": float("nan")}}, "gate.initial is nan; it must be finite"),
        ({"learning_rate": 0}, "learning_rate is 0; it must be a finite number above 0"),
        ({"training": {"epochs": 0}}, "training.epochs is 0"),
        ({"training": {"betas": [0.9, 1.0]}}, "betas is [0.9, 1.0]"),
        ({"trains": ["layer_weight"]}, "`layer_weight`, which is unknown; did you mean"),
        ({"fractions": [0.5]}, "1 must be among them"),
        ({"fractions": [0.0, 1.0]}, "different shares above 0"),
        ({"rank": 8}, "unknown key `rank`"),
    ],
)
def test_what_cannot_be_is_named(entry, said):
    full = {"trains": list(approaches.PARTS), "learning_rate": 0.1, **entry}
    with pytest.raises(InputError, match=re.escape(said)) as caught:
        data.approach("peft", approaches={"peft": full})
    assert "adaptation.approaches.peft" in str(caught.value)


def test_all_problems_are_said_at_once():
    bad = {"trains": ["lora"], "learning_rate": -1, "lora": {"rank": 0}}
    with pytest.raises(InputError) as caught:
        data.approach("peft", approaches={"peft": bad})
    assert len(caught.value.problems) == 2


def test_two_domains_have_two_directions_and_one_has_none():
    assert naming.directions(["speech", "song"]) == {
        "speech-to-song": ("speech", "song"),
        "song-to-speech": ("song", "speech"),
    }
    assert naming.directions(["speech"]) == {}
