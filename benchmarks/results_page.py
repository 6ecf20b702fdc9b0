"""Makes the tables of docs/results.md from benchmarks/results/*.json; this file contains no results.

    python -m benchmarks.results_page

Rewrites the text between the markers of the page. A section whose results are missing says so.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import pandas as pd

from benchmarks.report import RESULTS
from benchmarks.table import insert
from effwb.analysis import effects
from effwb.analysis.effect_tables import with_holm

PAGE = RESULTS.parents[1] / "docs" / "results.md"
SHOWN = 0.05  # a difference is called shown where its p-value is below this
LAPO = [  # comparisons of notebook 30, a family: method, baseline; those with other statistics where they ran
    ("LAPO-D", "vanilla"),
    ("LAPO-I", "vanilla, twice"),
    ("LAPO-I", "LAPO-D"),
    ("LAPO-I, mean", "LAPO-I"),
    ("LAPO-I, min", "LAPO-I"),
]


# ---------------------------------------------------------------------------------------------- numbers
def p_text(value: float) -> str:
    """A p-value, in bold where it shows a difference; empty where there was no test."""
    if pd.isna(value):
        return ""
    text = f"{value:.3f}" if value >= 0.0005 else f"{value:.0e}"
    return f"**{text}**" if value < SHOWN else text


def interval_text(row: pd.Series, name: str, form: str, factor: float = 1) -> str:
    """A difference with its interval, such as "+0.8 [-1.5, +3.0]"; without brackets where it has none."""
    mean, low, high = (factor * row[f"{name}{end}"] for end in ("", " low", " high"))
    if pd.isna(mean):
        return ""
    return format(mean, form) + ("" if pd.isna(low) else f" [{low:{form}}, {high:{form}}]")


def lines(columns: list[str], rows: Iterable[list[str]]) -> str:
    """A Markdown table."""
    table = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(cells)} |".replace("|  |", "| |") for cells in table)


def difference_cells(row: pd.Series, column: str, form: str, factor: float = 1) -> list[str]:
    """A difference with its interval, its p-value, and the p-value adjusted by Holm."""
    interval = interval_text(row, column, form, factor)
    return [interval, p_text(row[f"{column} p"]), p_text(row[f"{column} p Holm"])]


def differences(table: pd.DataFrame, first: str) -> str:
    """A Markdown table of the differences in accuracy, length and area, and the name of the test."""
    table = table[table["Δ accuracy p"].notna()]
    rows = []
    for _, row in table.iterrows():
        cells = [row["name"], f"{row['accuracy']:.3f}", f"{row['length']:.0f}"]
        cells += difference_cells(row, "Δ accuracy", "+.1f", 100)
        cells += difference_cells(row, "length ratio", ".2f")
        rows.append([*cells, *difference_cells(row, "Δ area", "+.1f")])
    columns = [first, "accuracy", "mean tokens", "Δ accuracy, points", "p", "Holm"]
    columns += ["tokens, ratio", "p", "Holm", "Δ area", "p", "Holm"]
    return f"{lines(columns, rows)}\n\n{name_of_test(table)}"


def name_of_test(table: pd.DataFrame) -> str:
    """Name the test of a table of effects, its degrees of freedom and the number of comparisons."""
    freedom = " or ".join(map(str, sorted(set(table["df"]))))
    count = int(table["Δ accuracy p"].notna().sum())
    comparisons = f"{count} comparison{'s' if count > 1 else ''} per column"
    return f"Paired Student's t test over seeds, {freedom} degrees of freedom, {comparisons}."


# --------------------------------------------------------------------------------------------- sections
def main_table(results: dict) -> str:
    """Every design beside vanilla after as many steps."""
    table = pd.DataFrame(results["effects"])
    rows = []
    for _, row in table.iterrows():
        is_baseline = row["name"] == row["baseline"]
        cells = [f"`{row['name']}`" + (" †" if row["in frontier"] else ""), str(row["steps"])]
        cells += [f"{row['accuracy']:.3f}", f"{row['length']:.0f}"]
        cells += ["", "", ""] if is_baseline else difference_cells(row, "Δ accuracy", "+.1f", 100)
        cells += [f"{row['REG']:.1f}", "" if is_baseline else interval_text(row, "REG %", "+.0f")]
        rows.append([*cells, p_text(row["Δ area p"]), p_text(row["Δ area p Holm"])])
    columns = ["design", "steps", "accuracy", "mean tokens", "Δ accuracy, points", "p", "Holm"]
    columns += ["REG", "Δ REG, %", "p", "Holm"]
    return f"{lines(columns, rows)}\n\n{name_of_test(table)} {verdicts(table[table['steps'] > 0])}"


def verdicts(table: pd.DataFrame) -> str:
    """Say how many differences are shown, without and with Holm."""
    table = table[table["Δ accuracy p"].notna()]
    parts = []
    for column, sign, words in (
        ("Δ accuracy", -1, "lower accuracy"),
        ("Δ accuracy", 1, "higher accuracy"),
        ("Δ area", 1, "lower REG"),
        ("Δ area", -1, "higher REG"),
    ):
        side = table[sign * table[column] > 0]
        plain, adjusted = (int(side[f"{column} {p}"].lt(SHOWN).sum()) for p in ("p", "p Holm"))
        parts.append(f"{words} for {plain}, with Holm for {adjusted}")
    return f"Shown, of {len(table)} trained designs: {'; '.join(parts)}."


def questions(results: dict) -> str:
    """Comparisons between designs, a table per question."""
    parts = []
    for question, rows in results["questions"].items():
        table = pd.DataFrame(rows)
        baseline = table.loc[table["Δ accuracy p"].isna(), "name"].iloc[0]
        table["name"] = "`" + table["name"] + "`"
        parts.append(f"**{question[0].upper()}{question[1:]}**, to `{baseline}`:\n\n")
        parts.append(differences(table, "design") + "\n\n")
    return "".join(parts).rstrip()


def lapo(results: dict) -> str:
    """LAPO's stages and statistics, and what the models do when the prompt states a length."""
    runs = pd.DataFrame(results["tables"]["tradeoff"])
    runs["name"] = runs["name"].str.removesuffix(", median")  # the default
    rows = []
    for method, baseline in LAPO:
        if method in set(runs["name"]):
            pair = effects(runs[runs["name"].isin([method, baseline])], baseline)
            rows.append(pair[pair["name"] == method].assign(name=f"{method}, to {baseline}"))
    table = pd.concat(rows, ignore_index=True)
    used: dict[str, list[str]] = {}  # a row per model, by the length that the prompt states
    obeys = pd.DataFrame(results["tables"]["obeys"]).sort_values("stated", kind="stable")
    for _, row in obeys.iterrows():
        text = f"{row['length']:.0f} ({100 * row['deviation']:.0f} %, {row['correct']:.3f})"
        used.setdefault(row["name"], []).append(text)
    columns = ["model, first seed", *(f"{length} stated" for length in obeys["stated"].unique())]
    answers = lines(columns, [[name, *cells] for name, cells in used.items()])
    words = "Tokens used where the prompt states a length (mean deviation from it, accuracy):"
    return f"{differences(with_holm(table), 'comparison')}\n\n{words}\n\n{answers}"


def modes(results: dict) -> str:
    """The designs with two modes, from the same fine-tuned model."""
    tables = {name: pd.DataFrame(rows) for name, rows in results["tables"].items()}
    empty = tables["modes"][tables["modes"]["mode"] == "empty"].groupby("name")["share"].mean()
    hacc = tables["hacc"].groupby("name")[["chosen", "always think"]].mean()
    rows = []
    for name, row in tables["effects"].set_index("name").iterrows():
        cells = [f"`{name}`", f"{row['accuracy']:.3f}", f"{row['length']:.0f}", f"{100 * empty[name]:.0f} %"]
        rows.append([*cells, *(f"{hacc.loc[name, mode]:.2f}" for mode in ("chosen", "always think"))])
    columns = ["model", "accuracy", "mean tokens", "does not think", "HAcc", "HAcc of always thinking"]
    tables["effects"]["name"] = "`" + tables["effects"]["name"] + "`"
    return f"{differences(tables['effects'], 'model, to `vanilla`')}\n\n{lines(columns, rows)}"


def offline(results: dict) -> str:
    """The offline methods beside RL: what they learned from, what came of it, and their REG."""
    tables = {n: pd.DataFrame(rows) for n, rows in results.items() if n != "commit"}
    learned = tables["examples"].groupby("name")[["rows", "dropped", "of problems"]].first()
    reg, to_rl = tables["reg"].set_index("name"), tables["to reo_rl"].set_index("name")
    rows = []
    for _, row in tables["to base"].sort_values("name", key=lambda names: names.map(reg["REG"])).iterrows():
        name = row["name"]
        what = learned.loc[name] if name in learned.index else None
        cells = [f"`{name}`", "" if what is None else f"{what['rows']:.0f}"]
        cells.append("" if what is None else f"{what['dropped']:.0f} of {what['of problems']:.0f}")
        cells += [f"{row['accuracy']:.3f}", f"{row['length']:.0f}"]
        cells += difference_cells(row, "Δ accuracy", "+.1f", 100) if name != "base" else [""] * 3
        cells += difference_cells(row, "length ratio", ".2f") if name != "base" else [""] * 3
        cells += [f"{reg.loc[name, 'REG']:.1f}", interval_text(reg.loc[name], "REG %", "+.0f")]
        tested = name in to_rl.index
        cells += [p_text(to_rl.loc[name, f"Δ area {p}"]) if tested else "" for p in ("p", "p Holm")]
        rows.append(cells)
    columns = ["method", "rows", "problems left out", "accuracy", "mean tokens", "Δ accuracy, points"]
    columns += [
        "p",
        "Holm",
        "tokens, ratio",
        "p",
        "Holm",
        "REG",
        "Δ REG, % to vanilla",
        "p to reo_rl",
        "Holm",
    ]
    return f"{lines(columns, rows)}\n\n{name_of_test(tables['to base'])}"


SECTIONS: dict[str, tuple[str, Callable[[dict], str]]] = {  # marker of the page: file of results, text
    "effects": ("pocket_effects", main_table),
    "questions": ("pocket_effects", questions),
    "lapo": ("30_lapo", lapo),
    "modes": ("32_when_to_think", modes),
    "offline": ("offline_baselines", offline),
}
MISSING = "No file of results yet: the numbers in `LOG.md` come from runs whose tables were not stored."


def page(text: str, folder: Path = RESULTS) -> str:
    """Return a page with the tables of the results in a folder between its markers."""
    for section, (name, make) in SECTIONS.items():
        file = folder / f"{name}.json"
        new = make(json.loads(file.read_text(encoding="utf-8"))) if file.exists() else MISSING
        begin = f"<!-- {section}: made by python -m benchmarks.results_page -->"
        text = insert(text, new, begin, f"<!-- /{section} -->")
    return text


def main() -> None:
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
