import numpy as np
import pandas as pd
import pytest
import worlds

from consonance import predictions as stored
from consonance.errors import InputError

# Reading ------------------------------------------------------------------------------------------


def test_arrange_gives_the_results_back():
    predictions, manifest, tested, correct = worlds.small()
    shuffled = predictions.sample(frac=1, random_state=3)
    found = stored.arrange(shuffled, manifest, emotions=["calm", "sad"])
    result = found["m", "speech", "random"]
    assert result.clips == ("a", "b", "c", "d")
    assert result.seeds == (0, 1)
    assert result.layers == (1, 2)
    np.testing.assert_array_equal(result.emotions, [0, 0, 1, 1])
    np.testing.assert_array_equal(result.tested, tested)
    np.testing.assert_array_equal(result.correct, correct & tested[:, None])


def test_parts_of_results():
    predictions, manifest, _, correct = worlds.small()
    result = next(iter(stored.arrange(predictions, manifest, emotions=["calm", "sad"]).values()))
    first = result.of_seeds([0])
    assert first.clips == ("a", "d")
    np.testing.assert_array_equal(first.correct[0], correct[0][:, [0, 3]])
    assert result.only(["d", "b"]).clips == ("b", "d")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p.assign(clip=p["clip"].replace("a", "x")), "the first is 'x'"),
        (lambda p: p.assign(emotion="calm"), "instead of sad"),
        (lambda p: p.assign(predicted="bored"), "predicted 'bored'"),
        (lambda p: pd.concat([p, p.iloc[:1]]), "more than once"),
        (lambda p: p.iloc[1:], "lack clips in some layers"),
        (lambda p: p.drop(columns="layer"), "lacks the column layer"),
    ],
)
def test_predictions_of_another_configuration_are_refused(change, message):
    predictions, manifest, *_ = worlds.small()
    with pytest.raises(InputError, match=message):
        stored.arrange(change(predictions), manifest, emotions=["calm", "sad"])


def test_all_problems_at_once():
    predictions, manifest, *_ = worlds.small()
    wrong = predictions.assign(predicted="bored", clip=predictions["clip"].replace("a", "x"))
    with pytest.raises(InputError) as error:
        stored.arrange(wrong, manifest, emotions=["calm", "sad"])
    assert len(error.value.problems) == 2


def test_read_predictions(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("seed,layer,clip,emotion,predicted\n0,1,007,None,NA\n", encoding="utf-8")
    frame = stored.read(path, model="m", scheme="random")
    row = frame.iloc[0]
    assert list(frame.columns[:2]) == ["model", "scheme"]
    assert (row["clip"], row["emotion"], row["predicted"], row["layer"]) == ("007", "None", "NA", 1)


def test_models_on_different_clips_are_told():
    predictions, manifest, *_ = worlds.small()
    other = predictions[predictions["seed"] == 0].assign(model="n")
    both = pd.concat([predictions, other])
    found = stored.arrange(both, manifest, emotions=["calm", "sad"])
    (problem,) = stored.same_splits(list(found.values()))
    assert "n and m were tested on different clips of speech" in problem


# Layers -------------------------------------------------------------------------------------------


def test_layers_are_chosen_by_validation_with_ties_broken():
    frame = pd.DataFrame(
        [
            (0, 0, "validation_accuracy", 0.99),  # state 0 is never chosen
            (0, 1, "validation_accuracy", 0.8),
            (0, 2, "validation_accuracy", 0.8),
            (0, 3, "validation_accuracy", 0.8),
            (1, 1, "validation_accuracy", 0.7),
            (1, 2, "validation_accuracy", 0.9),
            (0, 0, "validation_loss", 0.1),
            (0, 1, "validation_loss", 0.6),
            (0, 2, "validation_loss", 0.5),
            (0, 3, "validation_loss", 0.5),
            (1, 1, "validation_loss", 0.5),
            (1, 2, "validation_loss", 0.5),
            (1, 1, "accuracy", 1.0),  # the test accuracy has no say
        ],
        columns=["seed", "layer", "metric", "value"],
    ).assign(model="m", domain="speech", scheme="random")
    whose = {"model": "m", "domain": "speech", "scheme": "random"}
    assert stored.chosen_layers(frame, **whose) == {0: 2, 1: 2}
    assert stored.chosen_layers(frame, **whose, candidates=[1, 3]) == {0: 3, 1: 1}
    with pytest.raises(InputError, match="no validation accuracy"):
        stored.chosen_layers(frame, **(whose | {"model": "n"}))
