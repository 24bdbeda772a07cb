import numpy as np
import pandas as pd
import pytest

from consonance import published, side_by_side
from consonance.errors import InputError

MODELS = {"ours-h": "hubert-base-ls960", "ours-m": "mert-v1-95m"}
LABELS = {"hubert-base-ls960": "HuBERT", "speech": "Speech"}


@pytest.fixture(scope="module")
def paper(project):
    return published.read(project / "workflow/resources/published/2409.17899.csv")


def performance(**changes):
    row = {
        "model": "ours-h",
        "domain": "speech",
        "scheme": "random",
        "basis": "seeds",
        "metric": "accuracy",
        "statistic": "best",
        "layers": "7",
        "value": 0.86,
        "low": 0.83,
        "high": 0.89,
        "split_low": 0.80,
        "split_high": 0.92,
        "level": 0.95,
        "reason": "",
    }
    return row | changes


def compare(paper, rows, *, models=MODELS, adaptation=None):
    table = None if rows is None else pd.DataFrame(rows)
    return side_by_side.side_by_side(
        paper, table, paper_models=models, paper_scheme="random", adaptation=adaptation
    ).set_index("id")


def test_every_published_number_has_a_row(paper):
    found = compare(paper, [performance()])
    assert list(found.index) == list(paper["id"])
    row = found.loc["I-best-hubert-base-ls960"]
    assert row["paper_value"] == pytest.approx(0.8522)
    assert (row["ours"], row["our_layers"], row["our_model"]) == (0.86, "7", "ours-h")
    assert row["difference"] == pytest.approx(0.86 - 0.8522)
    assert (row["inside"], row["inside_split"], row["note"]) == ("yes", "yes", "")


def test_a_split_may_hold_what_the_mean_does_not(paper):
    found = compare(paper, [performance(low=0.855, high=0.865)])
    row = found.loc["I-best-hubert-base-ls960"]
    assert (row["inside"], row["inside_split"]) == ("no", "yes")


def test_only_the_papers_scheme_metric_and_basis_count(paper):
    others = [
        performance(scheme="speaker"), performance(metric="uar"), performance(basis="first"),
    ]  # fmt: skip
    row = compare(paper, others).loc["I-best-hubert-base-ls960"]
    assert np.isnan(row["ours"])
    assert row["inside"] == ""
    assert row["note"] == "Not computed: no random split of ours-h gives this number."


def test_why_a_number_stands_alone(paper):
    found = compare(paper, [performance()])
    assert found.loc["I-best-wav2vec2-base-960h", "note"] == (
        "wav2vec2-base-960h on the paper's recordings is not part of this run."
    )
    assert found.loc["III-ws-hubert-base-ls960-speech-to-song-1", "note"].startswith(
        "Not computed: there are no results of this kind"
    )
    nothing = compare(paper, None, models={})
    assert nothing["ours"].isna().all()
    assert nothing["note"].str.endswith("is not part of this run.").all()


def test_the_likely_value_of_a_misprint_is_compared(paper):
    name = "III-ws-mert-v1-95m-speech-to-song-1"
    adaptation = pd.DataFrame(
        [
            {
                "model": "ours-m", "scheme": "random", "approach": "ws",
                "direction": "speech-to-song", "stage": 1, "value": 0.62, "low": 0.61,
                "high": 0.617, "level": 0.95,
            }
        ]
    )  # fmt: skip
    row = compare(paper, None, adaptation=adaptation).loc[name]
    assert (row["paper_value"], row["paper_likely"]) == pytest.approx((0.6185, 0.6158))
    # 61.85 lies outside, 61.58 inside.
    assert row["inside"] == "yes"
    assert row["inside_split"] == ""
    assert row["difference"] == pytest.approx(0.62 - 0.6158)


def test_a_value_without_interval_keeps_its_reason(paper):
    rows = [performance(low=np.nan, high=np.nan, reason="Only 3 speakers were tested.")]
    row = compare(paper, rows).loc["I-best-hubert-base-ls960"]
    assert (row["inside"], row["note"]) == ("", "Only 3 speakers were tested.")
    assert row["ours"] == 0.86


def test_a_table_without_its_columns(paper):
    with pytest.raises(InputError, match="lacks the column low"):
        compare(paper, pd.DataFrame([performance()]).drop(columns="low"))


def test_markdown(paper):
    table = compare(paper, [performance()]).reset_index()
    text = side_by_side.markdown(table, labels=LABELS, digits=2)
    assert (
        "| HuBERT, Speech, best | 85.22 (6) | 86.00 (7) | 83.00 to 89.00 | yes | 80.00 to 92.00 "
        "| yes | \N{EN DASH} |"
    ) in text
    assert text.count("### Table") == 3
    assert "61.85 *" in text
    assert "misprinted; the likely value is compared" in text
