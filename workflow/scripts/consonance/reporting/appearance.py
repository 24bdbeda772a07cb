"""The look of HTML pages, as constants: a file beside them would escape the fingerprint."""

STYLE = r"""
:root { color-scheme: light; }
body {
  margin: 1.5rem 2rem; color: #1c1c1c; background: #fff;
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif;
}
h1 { font-size: 1.4rem; margin: 0 0 .75rem; }
h2 { font-size: 1.1rem; margin: 1.75rem 0 .5rem; }
p, ul { max-width: 46rem; margin: 0 0 .75rem; }
li { margin-bottom: .2rem; }
.notice {
  border-left: 4px solid #d55e00; background: #fdf1e8; padding: .4rem .75rem; font-weight: 600;
}
.table { margin: .5rem 0 1.25rem; overflow-x: auto; }
.table label { display: block; margin-bottom: .5rem; }
.table input { font: inherit; padding: .15rem .4rem; margin-left: .4rem; width: 16rem; }
.table output { margin-left: .75rem; color: #555; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th { border-bottom: 2px solid #444; text-align: left; vertical-align: bottom; }
th button {
  font: inherit; font-weight: 600; text-align: inherit; width: 100%;
  border: 0; background: none; padding: .3rem .7rem; cursor: pointer;
}
th button:hover, th button:focus-visible { background: #e6eef5; }
th[aria-sort="ascending"] button::after { content: " \25B2"; }
th[aria-sort="descending"] button::after { content: " \25BC"; }
td { padding: .25rem .7rem; border-bottom: 1px solid #ddd; vertical-align: top; max-width: 34rem; }
.n { text-align: right; white-space: nowrap; }
tbody tr:hover { background: #e6eef5; }
@media print { th button::after { content: none; } .table label { display: none; } }
"""

SCRIPT = r"""
"use strict";
for (const box of document.querySelectorAll(".table")) {
  const body = box.querySelector("tbody");
  const heads = [...box.querySelectorAll("th")];
  const number = (text) => parseFloat(
    text.replace(/[<,\s]/g, "").replace("\u2212", "-").replace("\u221e", "Infinity"));
  heads.forEach((head, index) => head.querySelector("button").addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "ascending";
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const numeric = head.classList.contains("n");
    const keyed = [...body.rows].map((row) => {
      const text = row.cells[index].textContent;
      return [numeric ? number(text) : text, row];
    });
    const missing = (key) => (numeric ? Number.isNaN(key) : key === "\u2013");
    keyed.sort(([a], [b]) => {
      if (missing(a) || missing(b)) return missing(a) - missing(b);
      const order = numeric ? a - b : a.localeCompare(b);
      return down ? -order : order;
    });
    body.append(...keyed.map(([, row]) => row));
  }));
  if (!box.dataset.filter) continue;
  const label = document.createElement("label");
  const input = document.createElement("input");
  const count = document.createElement("output");
  input.type = "search";
  label.append("Show rows with", input, count);
  box.prepend(label);
  const show = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let left = 0;
    for (const row of body.rows) {
      const text = [...row.cells].map((cell) => cell.textContent).join(" ").toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      left += !row.hidden;
    }
    count.textContent = `${left} of ${body.rows.length} rows`;
  };
  input.addEventListener("input", show);
  show();
}
"""
