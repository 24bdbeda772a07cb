import numpy as np
import pandas as pd
import pytest
import worlds
import yaml
from scipy import special, stats

from consonance import claims, evidence, intervals, resampling
from consonance import predictions as stored
from consonance.errors import InputError

PATH = "workflow/resources/published/claims-2409.17899.yaml"
SIX = ["neutral", "calm", "happy", "sad", "angry", "fearful"]
DOMAINS = {"speech": "speech", "song": "song"}
ROLES = {"w2v2": "w", "hubert": "h", "mert": "m"}
PAPERS = {"w": "wav2vec2-base-960h", "h": "hubert-base-ls960", "m": "mert-v1-95m"}
LAYERS = 12
SETTINGS = {
    "emotions": SIX,
    "domains": DOMAINS,
    "models": ["w", "h", "m"],
    "roles": ROLES,
    "trained_on": {},
    "paper_models": PAPERS,
    "predictions": None,
    "scores": None,
    "schemes": ["random"],
    "distances": None,
    "distance_replicates": None,
    "adaptation": None,
    "test_to_train": 1 / 3,
    "level": 0.95,
    "draws": 200,
    "seed": 1,
    "min_clusters": 5,
}


@pytest.fixture(scope="module")
def book(project):
    return claims.read(project / PATH)


@pytest.fixture(scope="module")
def manifest():
    return worlds.manifest_of(12, emotions=SIX, takes=8, domains=("speech", "song"))


def as_the_paper_says():
    """Logits (model, domain) -> (layers, emotions) that make every claim about probes true."""
    depth = np.arange(1, LAYERS + 1)
    late = np.clip(depth - 8, 0, None)
    flat = np.full(LAYERS, 1.5)
    # speech: angry, fearful, then calm; song: fearful and calm hard, angry easy.
    speech = np.array([-0.6, 0.6, -0.7, -0.8, 1.6, 1.5])
    song = np.array([0.0, -1.8, 0.3, 0.2, 2.4, -2.8])
    shape = {
        ("w", "speech"): flat - 0.7 * late,
        ("w", "song"): flat - 0.2 - 0.45 * late,
        ("h", "speech"): 0.25 * depth,
        ("h", "song"): 1.1 + 0.0 * depth,
        ("m", "speech"): 1.0 - 0.2 * late,
        ("m", "song"): 2.4 + 0.0 * depth,
    }
    found = {}
    for (model, domain), curve in shape.items():
        effect = speech if domain == "speech" else song
        found[model, domain] = curve[:, None] + effect
    angry = SIX.index("angry")
    # Angry song does not drop with W2V2; neutral song is best with MERT; fearful is worst there.
    found["w", "song"][:, angry] = 3.0
    found["m", "song"][:, SIX.index("neutral")] += 1.5
    return found


def predictions_of(logits, manifest, *, scheme="random", seeds=5, seed=0):
    rng = np.random.default_rng(seed)
    emotion = np.array([SIX.index(name) for name in manifest["emotion"]])
    hard = rng.normal(0, 0.3, len(manifest))
    tested = worlds.parts_of(manifest, scheme, seeds, rng, share=0.3)
    frames, scores = [], []
    for (model, domain), table in logits.items():
        of_domain = (manifest["domain"] == domain).to_numpy()
        rate = special.expit(table[:, emotion] + hard)
        correct = rng.random((seeds, *rate.shape)) < rate
        frame = worlds.table(
            correct, tested & of_domain, manifest, model=model, scheme=scheme, emotions=SIX
        )
        frames.append(frame)
        # Validation prefers the layer with the highest true rate, up to noise.
        mean = special.expit(table).mean(axis=1)
        validation = {
            (s, k + 1): mean[k] + rng.normal(0, 0.01) for s in range(seeds) for k in range(LAYERS)
        }
        scores.append(worlds.scores_of(frame, domain=domain, validation=validation))
    return pd.concat(frames), pd.concat(scores)


@pytest.fixture(scope="module")
def probes(manifest):
    return predictions_of(as_the_paper_says(), manifest)


@pytest.fixture(scope="module")
def checked(book, manifest, probes):
    predictions, scores = probes
    return claims.check(
        book, manifest=manifest, **(SETTINGS | {"predictions": predictions, "scores": scores})
    )


def run(book, manifest, **changes):
    return claims.check(book, manifest=manifest, **(SETTINGS | changes))


def rows_of(checked, name, models=None):
    found = checked.claims[checked.claims["id"] == name]
    return found if models is None else found[found["models"] == models]


# The file -----------------------------------------------------------------------------------------


def test_the_file_of_claims(book):
    assert set(book.roles) == {"w2v2", "hubert", "mert"}
    findings = {claim.finding for claim in book.claims}
    assert findings >= {"V-A (I)", "V-A (II)", "V-A (III)", "V-B"}
    assert findings >= {"V-C (I)", "V-C (II)", "V-C (III)"}
    assert all(claim.source.startswith("Section") for claim in book.claims)
    by_id = {claim.id: claim for claim in book.claims}
    # Two best emotions against four others.
    assert len(by_id["A-E-1"].parts) == 8
    assert by_id["A-E-1"].parts[0].text.endswith("angry less neutral")
    assert by_id["A-I-2"].parts[0].threshold == -0.05
    assert by_id["B-3"].any_part


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("source"), "lacks source"),
        (lambda c: c.update(colour="red"), "unknown key colour"),
        (lambda c: c.update(evidence="dreams"), "rests on 'dreams'"),
        (lambda c: c.update(roles=["w2v2", "wavlm"]), "roles wavlm"),
        (lambda c: c.update(combine="most"), "combines its parts by 'most'"),
        (lambda c: c["parts"][0].update(relation="="), "relation '='"),
        (lambda c: c["parts"][0].update(threshold="high"), "threshold 'high'"),
        (lambda c: c["parts"][0].pop("minus"), "part 1 lacks minus"),
        (lambda c: c["parts"][0]["plus"][0].update(layers="top"), "layers 'top'"),
        (lambda c: c["parts"][0]["plus"][0].update(steps="all"), "unknown key steps"),
        (lambda c: c["parts"][0]["plus"][0].update(role="mert"), "must name roles"),
    ],
)
def test_a_wrong_entry_is_named(project, tmp_path, change, message):
    content = yaml.safe_load((project / PATH).read_text(encoding="utf-8"))
    change(content["claims"][0])
    path = tmp_path / "claims.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    with pytest.raises(InputError, match=message):
        claims.read(path)


def test_two_claims_of_one_name(project, tmp_path):
    content = yaml.safe_load((project / PATH).read_text(encoding="utf-8"))
    content["claims"].append(content["claims"][0])
    path = tmp_path / "claims.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    with pytest.raises(InputError, match="A-I-1 occurs more than once"):
        claims.read(path)


# Rules --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "relation", "threshold", "expected"),
    [
        (0.1, 0.2, ">", 0, "holds"),
        (-0.2, -0.1, ">", 0, "fails"),
        (-0.1, 0.1, ">", 0, "cannot tell"),
        (0.0, 0.1, ">", 0, "cannot tell"),
        (-0.04, 0.1, ">", -0.05, "holds"),
        (-0.2, -0.1, "<", 0, "holds"),
        (0.1, 0.2, "<", 0, "fails"),
        (-0.1, 0.1, "<", 0, "cannot tell"),
        (-0.04, 0.04, "within", 0.05, "holds"),
        (0.06, 0.09, "within", 0.05, "fails"),
        (-0.09, -0.06, "within", 0.05, "fails"),
        (0.02, 0.09, "within", 0.05, "cannot tell"),
        (np.nan, np.nan, ">", 0, "cannot tell"),
    ],
)
def test_an_interval_that_spans_the_threshold_tells_nothing(
    low, high, relation, threshold, expected
):
    assert claims.outcome(low, high, relation, threshold) == expected


# Probes -------------------------------------------------------------------------------------------

PROBE_CLAIMS = {
    "A-I-1": "w", "A-I-2": "h", "A-I-3": "h", "A-I-4": "m, h, w", "A-I-5": "w", "A-I-6": "h",
    "A-I-7": "h", "A-I-8": "m", "A-II-1": "h, w", "A-III-1": "m", "A-III-3": "m", "A-E-1": "h",
    "A-E-3": "m", "A-E-4": "m", "A-E-5": "w", "A-E-6": "m, h, w",
}  # fmt: skip


@pytest.mark.parametrize(("name", "models"), PROBE_CLAIMS.items())
def test_true_claims_hold(checked, name, models):
    (row,) = rows_of(checked, name, models).itertuples()
    assert row.outcome == "holds", row.why
    assert row.own_model
    assert row.note == ""
    assert "interval" in row.why


@pytest.mark.parametrize(("name", "models"), [("A-I-2", "w"), ("A-I-8", "m"), ("A-I-1", "h")])
def test_the_opposite_of_true_claims_fails(book, manifest, probes, name, models):
    # Song and speech exchanged, or the claim asked of the other model.
    predictions, scores = probes
    changes = {"predictions": predictions, "scores": scores}
    if name == "A-I-8":
        changes["domains"] = {"speech": "song", "song": "speech"}
    found = run(book, manifest, **changes)
    (row,) = rows_of(found, name, models).itertuples()
    assert row.outcome == "fails", row.why
    assert row.own_model == (name == "A-I-8")


def test_a_linear_contrast_has_the_value_and_interval_of_a_comparison(
    book, manifest, probes, checked
):
    # A-I-7 is speech less song in the mean over layers: the value from the predictions directly.
    predictions, _ = probes
    part = predictions[predictions["model"] == "h"]
    right = (part["emotion"] == part["predicted"]).rename("right").to_frame()
    right = right.assign(
        domain=part["clip"].str.split("-").str[0], seed=part["seed"], layer=part["layer"]
    )
    mean = right.groupby(["domain", "seed", "layer"])["right"].mean().groupby("domain").mean()
    (row,) = rows_of(checked, "A-I-7", "h").itertuples()
    assert row.value == pytest.approx(mean["speech"] - mean["song"])
    assert row.low < row.value < row.high
    assert row.low > 0


def test_everything_is_random_when_nothing_differs(book, manifest):
    # All rates equal: what claims a difference may hold or fail in 5 % of cases only.
    logits = {key: np.full((LAYERS, 6), 1.5) for key in as_the_paper_says()}
    outcomes = []
    for seed in range(3):
        predictions, scores = predictions_of(logits, manifest, seed=seed)
        found = run(book, manifest, predictions=predictions, scores=scores).parts
        two_sided = (found["threshold"] == 0) & ~found["part"].str.contains("validation")
        outcomes.append(found.loc[two_sided, "outcome"])
    told = (pd.concat(outcomes) != "cannot tell").mean()
    assert told < 0.12


def test_every_model_is_checked_and_marked(checked):
    rows = rows_of(checked, "A-I-1").set_index("models")
    assert list(rows.index) == ["w", "h", "m"]
    assert rows["own_model"].tolist() == [True, False, False]
    assert rows["note"].tolist() == ["", claims.NOT_THE_PAPERS, claims.NOT_THE_PAPERS]
    # Only models trained on speech are asked whether speech models are better at speech.
    assert rows_of(checked, "A-I-7")["models"].tolist() == ["w", "h"]


def test_models_that_are_not_the_papers(book, manifest, probes):
    predictions, scores = probes
    part = predictions[predictions["model"] == "h"].assign(model="whisper")
    found = run(
        book, manifest, predictions=part,
        scores=scores[scores["model"] == "h"].assign(model="whisper"),
        models=["whisper"], roles={}, paper_models={}, trained_on={"whisper": "speech"},
    )  # fmt: skip
    assert set(found.claims["note"]) == {claims.NOT_THE_PAPERS}
    assert not found.claims["own_model"].any()
    (row,) = rows_of(found, "A-I-3", "whisper").itertuples()
    assert row.outcome == "holds"
    (row,) = rows_of(found, "A-II-1").itertuples()
    assert row.outcome == "not computed"
    assert row.why == "It compares HuBERT and W2V2; this run has no HuBERT or W2V2."
    (row,) = rows_of(found, "A-I-8").itertuples()
    assert row.why == "No model of this run is known to be trained on music."
    (row,) = rows_of(found, "A-I-7").itertuples()
    assert row.models == "whisper"


def test_both_schemes_have_rows(book, manifest, probes):
    by_speaker = predictions_of(as_the_paper_says(), manifest, scheme="speaker")
    both = [pd.concat(pair) for pair in zip(probes, by_speaker, strict=True)]
    found = run(book, manifest, predictions=both[0], scores=both[1], schemes=["random", "speaker"])
    assert rows_of(found, "A-I-1", "w")["scheme"].tolist() == ["random", "speaker"]


def test_few_layers_have_no_middle(book, manifest, probes):
    predictions, scores = probes
    few = predictions[predictions["layer"] <= 2]
    found = run(book, manifest, predictions=few, scores=scores[scores["layer"] <= 2])
    (row,) = rows_of(found, "A-I-3", "h").itertuples()
    assert row.outcome == "not computed"
    assert row.why == "With layers up to 2, the part 'shallow' of the encoder is empty."
    assert rows_of(found, "A-I-8", "m")["outcome"].tolist() == ["holds"]


def test_a_domain_without_predictions(book, manifest, probes):
    predictions, scores = probes
    speech = predictions[predictions["clip"].str.startswith("speech")]
    found = run(book, manifest, predictions=speech, scores=scores)
    (row,) = rows_of(found, "A-I-5", "w").itertuples()
    assert (row.outcome, row.why) == (
        "not computed", "There are no predictions of w on song in this run.",
    )  # fmt: skip
    assert rows_of(found, "A-I-1", "w")["outcome"].tolist() == ["holds"]


def test_other_emotions(book, manifest, probes):
    predictions, scores = probes
    names = {"fearful": "afraid"}
    found = run(
        book,
        manifest.replace({"emotion": names}),
        predictions=predictions.replace({"emotion": names, "predicted": names}),
        scores=scores,
        emotions=[names.get(name, name) for name in SIX],
    )
    (row,) = rows_of(found, "A-E-4", "m").itertuples()
    assert (row.outcome, row.why) == (
        "not computed", "fearful is not among the emotions of this run.",
    )  # fmt: skip


def test_too_few_units(book, manifest, probes):
    predictions, scores = probes
    found = run(book, manifest, predictions=predictions, scores=scores, min_clusters=10_000)
    told = found.claims[found.claims["evidence"] == "probes"]
    assert set(told["outcome"]) == {"cannot tell"}
    assert told["why"].str.contains("an interval needs 10000").all()


def test_wrong_settings(book, manifest):
    with pytest.raises(InputError) as error:
        run(book, manifest, level=2, draws=0, roles={"wavlm": "x"})
    assert len(error.value.problems) == 3
    with pytest.raises(InputError, match="different clips"):
        logits = as_the_paper_says()
        first = predictions_of(logits, manifest, seed=1)
        second = predictions_of(logits, manifest, seed=2)
        predictions = pd.concat(
            [first[0][first[0]["model"] == "w"], second[0][second[0]["model"] == "h"]]
        )
        run(book, manifest, predictions=predictions, scores=first[1])


# Distances ----------------------------------------------------------------------------------------


def distances_of(curves, *, noise=0.02, actors=8, seed=0, measure="fad-frames"):
    """Distances and their leave-one-out values from the mean of one value per actor."""
    rng = np.random.default_rng(seed)
    tables = {"all": [], "out": []}
    for model, table in curves.items():
        of_actor = table * (1 + noise * rng.normal(size=(actors, *table.shape)))
        grids = [(-1, of_actor.mean(axis=0))]
        grids += [(k, np.delete(of_actor, k, axis=0).mean(axis=0)) for k in range(actors)]
        for replicate, grid in grids:
            layer, emotion = np.indices(grid.shape)
            frame = pd.DataFrame(
                {
                    "model": model,
                    "measure": measure,
                    "layer": layer.ravel() + 1,
                    "emotion": np.array(SIX)[emotion.ravel()],
                    "value": grid.ravel(),
                }
            )
            if replicate < 0:
                tables["all"].append(frame)
            else:
                tables["out"].append(frame.assign(replicate=replicate))
    return pd.concat(tables["all"]), pd.concat(tables["out"])


def fig_3():
    """Distances (layers, emotions) as the paper describes them."""
    order = np.array([1.9, 2.2, 1.4, 1.6, 1.0, 1.05])  # neutral, calm, happy, sad, angry, fearful
    depth = np.arange(LAYERS)[:, None]
    h = (10 + 0.8 * depth + np.array([0] * 10 + [4, 12])[:, None]) * order
    m = 10 + 0.8 * np.r_[0:4, [4] * 4, 4:8][:, None] + np.array([0] * 10 + [4, 12])[:, None]
    w = np.where(depth < 6, 10.0, 6.0) * order
    w[10, [0, 1, 3]] *= 3
    return {"w": w, "h": h, "m": m * order}


@pytest.fixture(scope="module")
def of_distances(book, manifest):
    distances, out = distances_of(fig_3())
    return run(book, manifest, distances=distances, distance_replicates=out)


@pytest.mark.parametrize(
    ("name", "models"),
    [
        ("C-I-1", "w"), ("C-I-1", "h"), ("C-I-2", "h"), ("C-I-2", "m"), ("C-II-1", "h"),
        ("C-II-2", "m"), ("C-II-3", "h, m"), ("C-III-1", "w"), ("C-III-2", "w"),
    ],
)  # fmt: skip
def test_distances_as_in_the_paper(of_distances, name, models):
    (row,) = rows_of(of_distances, name, models).itertuples()
    assert row.outcome == "holds", row.why
    assert row.measure == "fad-frames"


def test_distances_unlike_the_papers(of_distances):
    assert rows_of(of_distances, "C-III-1", "h")["outcome"].tolist() == ["fails"]
    assert rows_of(of_distances, "C-II-1", "w")["outcome"].tolist() == ["fails"]
    # Where all emotions rise alike, nothing tells them apart.
    assert rows_of(of_distances, "C-III-2", "h")["outcome"].tolist() == ["cannot tell"]
    (row,) = rows_of(of_distances, "C-I-1", "h").itertuples()
    assert "Kendall's tau between the distances and the paper's order: median 0.9" in row.why


def test_the_interval_is_the_jackknifes(book, manifest):
    # With one value per actor and no denominator that varies, the delete-one jackknife of a mean
    # is the t-interval of the mean.
    x = np.random.default_rng(0).normal(1, 0.5, 9)
    out = np.array([np.delete(x, k).mean() for k in range(9)])
    low, high = evidence.jackknife(x.mean(), out)(0.9)
    expected = stats.ttest_1samp(x, 0).confidence_interval(0.9)
    assert (low, high) == pytest.approx((expected.low, expected.high))


def test_without_replicates_nothing_is_told(book, manifest):
    distances, out = distances_of(fig_3())
    found = run(book, manifest, distances=distances)
    rows = found.claims[found.claims["evidence"] == "distances"]
    assert set(rows["outcome"]) == {"cannot tell"}
    assert rows["why"].str.contains("so there is no interval").all()
    one_model = run(
        book, manifest, distances=distances, distance_replicates=out[out["model"] == "w"]
    )
    assert rows_of(one_model, "C-II-3")["outcome"].tolist() == ["cannot tell"]
    assert rows_of(one_model, "C-III-1", "w")["outcome"].tolist() == ["holds"]


def test_a_missing_distance_stops_only_what_needs_it(book, manifest):
    distances, out = distances_of(fig_3())
    distances.loc[
        (distances["model"] == "w") & (distances["layer"] == 11) & (distances["emotion"] == "calm"),
        "value",
    ] = np.nan
    found = run(book, manifest, distances=distances, distance_replicates=out)
    (row,) = rows_of(found, "C-III-2", "w").itertuples()
    assert row.outcome == "cannot tell"
    assert "A distance of the comparison is missing" in row.why
    assert rows_of(found, "C-I-2", "h")["outcome"].tolist() == ["holds"]
    with pytest.raises(InputError, match="occurs twice"):
        run(book, manifest, distances=pd.concat([distances, distances]))


def test_measures_have_rows_of_their_own(book, manifest):
    first, second = distances_of(fig_3()), distances_of(fig_3(), measure="kad", noise=3)
    both = [pd.concat(pair) for pair in zip(first, second, strict=True)]
    found = run(book, manifest, distances=both[0], distance_replicates=both[1])
    rows = rows_of(found, "C-I-2", "h").set_index("measure")["outcome"]
    assert rows.to_dict() == {"fad-frames": "holds", "kad": "cannot tell"}


# Adaptation ---------------------------------------------------------------------------------------

TABLE_III = {
    "w": {"baseline": (73.89, 69.95, 65.02, 74.88), "ws": (79.31, 77.83, 73.40, 80.30),
          "peft": (87.20, 87.68, 79.80, 87.20)},
    "h": {"baseline": (83.25, 76.35, 68.97, 84.24), "ws": (80.30, 81.28, 78.82, 82.76),
          "peft": (88.18, 91.13, 91.62, 93.10)},
    "m": {"baseline": (62.56, 83.74, 85.22, 61.58), "ws": (61.85, 89.66, 84.23, 72.77),
          "peft": (85.22, 93.60, 91.63, 82.76)},
}  # fmt: skip


def adaptation(table=TABLE_III, *, seeds=5, noise=0.0):
    rng = np.random.default_rng(0)
    places = [
        ("speech-to-song", 1, "speech"), ("speech-to-song", 2, "song"),
        ("song-to-speech", 1, "song"), ("song-to-speech", 2, "speech"),
    ]  # fmt: skip
    rows = [
        {
            "model": model, "scheme": "random", "approach": approach, "direction": direction,
            "stage": stage, "domain": domain, "seed": seed, "metric": "accuracy",
            "value": value / 100 + noise * rng.normal(),
        }
        for model, approaches in table.items()
        for approach, values in approaches.items()
        for (direction, stage, domain), value in zip(places, values, strict=True)
        for seed in range(seeds)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_the_papers_own_table_by_its_claims(book, manifest):
    # The printed numbers as if they were without error: what they say about the claims.
    found = run(book, manifest, adaptation=adaptation(noise=1e-6))
    (row,) = rows_of(found, "B-1", "h").itertuples()
    assert row.outcome == "fails"  # PEFT in MER: 91.13 against 91.62
    assert row.value == pytest.approx(-0.0049, abs=1e-5)
    # W2V2 with PEFT has 87.20 in SER either way.
    assert rows_of(found, "B-1", "w")["outcome"].tolist() == ["cannot tell"]
    (row,) = rows_of(found, "B-3", "m").itertuples()
    assert row.outcome == "holds"
    assert row.why.startswith("3 of 6 inequalities hold.")
    (row,) = rows_of(found, "B-2").itertuples()
    assert row.outcome == "holds"
    (row,) = rows_of(found, "B-4").itertuples()
    assert row.outcome == "holds"
    assert row.value == pytest.approx(0.0295 - 0.0223, abs=1e-4)


def test_intervals_after_adaptation_are_the_corrected_t(book, manifest):
    table = adaptation(noise=0.01)
    found = run(book, manifest, adaptation=table)
    parts = found.parts
    row = parts[(parts["id"] == "B-1") & (parts["models"] == "w")].iloc[0]
    part = table[(table["model"] == "w") & (table["approach"] == "baseline")]
    two = part[(part["direction"] == "song-to-speech") & (part["stage"] == 2)]
    one = part[(part["direction"] == "speech-to-song") & (part["stage"] == 1)]
    gain = pd.DataFrame(
        {"what": "", "seed": range(5), "value": two["value"].values - one["value"].values}
    )
    expected = intervals.corrected_t(gain, keys=["what"], level=0.95, test_to_train=1 / 3).iloc[0]
    assert row["value"] == pytest.approx(expected["value"])
    assert (row["low"], row["high"]) == pytest.approx((expected["low"], expected["high"]))


def test_adaptation_with_gaps(book, manifest):
    one_seed = run(book, manifest, adaptation=adaptation(seeds=1))
    (row,) = rows_of(one_seed, "B-1", "w").itertuples()
    assert row.outcome == "cannot tell"
    assert row.why.endswith("It rests on one seed; an interval needs two.")
    table = adaptation()
    partly = run(book, manifest, adaptation=table[table["approach"] != "peft"])
    (row,) = rows_of(partly, "B-1", "w").itertuples()
    assert row.outcome == "not computed"
    assert row.why == "There is no result of w with peft on speech in two stages."
    with pytest.raises(InputError, match="repeat a seed"):
        run(book, manifest, adaptation=pd.concat([table, table]))


# Showing ------------------------------------------------------------------------------------------


def test_nothing_at_all(book, manifest):
    found = run(book, manifest)
    assert set(found.claims["outcome"]) == {"not computed"}
    assert len(found.claims) == len(book.claims)
    assert "There are no results of adaptation in this run." in set(found.claims["why"])
    assert found.parts.empty


def test_markdown_and_counts(checked):
    text = claims.markdown(checked, labels={"w": "W2V2", "random": "Random"})
    assert "### Probes, Random split\n" in text
    assert "### Distances\n" in text
    own, others = text.split("asked of models that the claims are not about")
    row = "| A-I-1 | In SER, the accuracy of W2V2 declines in its final layers. | W2V2 | holds |"
    assert row in own
    assert "the accuracy of W2V2 declines in its final layers. | h | " not in own
    assert "the accuracy of W2V2 declines in its final layers. | h | " in others
    assert "| Note |" not in own  # the paper's models throughout
    total = claims.counts(checked)
    assert total["claims"].sum() == len(checked.claims)


def test_tables_without_rows_are_none(book, manifest, probes):
    empty = pd.DataFrame(columns=["model", "measure", "layer", "emotion", "value", "replicate"])
    found = run(book, manifest, distances=empty, distance_replicates=empty, adaptation=empty)
    assert set(found.claims["outcome"]) == {"not computed"}
    distances, _ = distances_of(fig_3())
    found = run(book, manifest, distances=distances, distance_replicates=empty)
    assert set(rows_of(found, "C-I-1")["outcome"]) == {"cannot tell"}


def test_the_same_twice(book, manifest, probes, checked):
    predictions, scores = probes
    again = run(book, manifest, predictions=predictions, scores=scores)
    pd.testing.assert_frame_equal(again.claims, checked.claims)
    pd.testing.assert_frame_equal(again.parts, checked.parts)


def test_units_are_shared_by_all_models(manifest, probes):
    # The draws of claims pair models: the same clips in every draw.
    predictions, _ = probes
    found = stored.arrange(predictions, manifest, emotions=SIX)
    counts, _ = resampling.draw_counts(
        list(found.values()), manifest, scheme="random", draws=3, rng=np.random.default_rng(0)
    )
    by_key = dict(zip(found, counts, strict=True))
    np.testing.assert_array_equal(
        by_key["w", "speech", "random"].tested, by_key["m", "speech", "random"].tested
    )
