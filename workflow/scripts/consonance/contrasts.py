"""The paired comparisons that a figure shows.

`comparisons` makes them; this module only chooses from its table, so that drawing needs no
statistics library.
"""

from collections.abc import Mapping

import pandas as pd

CHOSEN = "chosen"
"""What comparisons of the layers with the best validation accuracy are marked with."""


def forest_table(table: pd.DataFrame, *, labels: Mapping[str, str], level: float) -> pd.DataFrame:
    """Chooses the comparisons that a figure has room for.

    Accuracy of the layers chosen on validation clips, over all seeds: models, domains and schemes;
    single layers are in the table only.

    Args:
        table: what `comparisons.compare` returned.
        labels: display names.
        level: a comparison is significant if its corrected p value is below 1 - level.

    Returns:
        Columns group, label, estimate, low, high, p and significant.
    """
    shown = table[
        (table["metric"] == "accuracy")
        & (table["basis"] == "seeds")
        & (table["layers"] == CHOSEN)
        & (table["kind"] != "layers")
        & table["difference"].notna()
    ]

    def name(text: str) -> str:
        return labels.get(text, text)

    where = [
        ", ".join(name(row[key]) for key in ("model", "domain", "scheme") if row[key])
        for _, row in shown.iterrows()
    ]
    pairs = zip(shown["a"], shown["b"], where, strict=True)
    return pd.DataFrame(
        {
            "group": [f"Between {kind}" for kind in shown["kind"]],
            "label": [f"{name(a)} less {name(b)} ({place})" for a, b, place in pairs],
            "estimate": shown["difference"].to_numpy(),
            "low": shown["low"].to_numpy(),
            "high": shown["high"].to_numpy(),
            "p": shown["p_holm"].to_numpy(),
            "significant": (shown["p_holm"] < 1 - level).to_numpy(),
        }
    )
