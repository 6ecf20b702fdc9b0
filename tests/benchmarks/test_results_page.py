"""The results in the documents: made from files, with every comparison's test; notebooks give such files."""

import json
import math

import numpy as np
import pandas as pd
import pytest

from benchmarks import notebook_results, pocket_effects, report, results_page
from effwb.analysis import effects
from effwb.errors import DataError

STORED = json.loads((report.RESULTS / "pocket_effects.json").read_text(encoding="utf-8"))


def test_the_page_agrees_with_the_files_of_results():
    text = results_page.PAGE.read_text(encoding="utf-8")
    assert text == results_page.page(text), "run python -m benchmarks.results_page"


def test_a_section_without_results_says_so(tmp_path):
    text = results_page.page(results_page.PAGE.read_text(encoding="utf-8"), tmp_path)
    assert text.count(results_page.MISSING) == len(results_page.SECTIONS)


class TestStoredEffects:
    def test_they_follow_from_the_stored_runs(self):
        stored = pd.DataFrame(STORED["effects"]).set_index("name")
        again = pocket_effects.effect_rows(pd.DataFrame(STORED["runs"])).set_index("name").loc[stored.index]
        pd.testing.assert_frame_equal(stored[list(again)], again, rtol=1e-9, atol=1e-9)
        questions = pocket_effects.question_rows(pd.DataFrame(STORED["runs"]))
        assert list(questions) == list(STORED["questions"]) == list(pocket_effects.QUESTIONS)
        for question, rows in questions.items():
            pd.testing.assert_frame_equal(pd.DataFrame(rows), pd.DataFrame(STORED["questions"][question]))

    def test_one_comparison_computed_from_the_test_itself(self):
        runs = pd.DataFrame(STORED["runs"]).set_index(["name", "seed"])["area"]
        gain = np.array([runs["reo_rl", seed] - runs["vanilla", seed] for seed in range(3)])
        t = gain.mean() / (gain.std(ddof=1) / math.sqrt(3))
        row = next(row for row in STORED["effects"] if row["name"] == "reo_rl")
        assert row["Δ area p"] == pytest.approx(1 - t / math.sqrt(t * t + 2))  # closed form for 2 df
        assert row["Δ REG"] == pytest.approx(-row["Δ area"])  # the frontier cancels

    def test_every_design_is_compared_with_vanilla_of_as_many_steps(self):
        steps = {row["name"]: row["steps"] for row in STORED["effects"]}
        for row in STORED["effects"]:
            assert steps[row["baseline"]] == max(row["steps"], 60), row["name"]
        assert steps["lapo_internalization after lapo_discovery"] == 120

    def test_designs_whose_runs_made_the_frontier_are_marked(self):
        marked = {row["name"] for row in STORED["effects"] if row["in frontier"]}
        assert {"base", "vanilla", "kimi weight=0.5", "truncation target=64 variant=-I"} <= marked
        assert not {"reo_rl", "lead", "mrt", "brpo", "lapo_discovery", "vanilla after vanilla"} & marked
        assert 3 * len(marked) == 48  # three seeds each: all runs of the frontier

    def test_all_rows_of_the_table_are_one_family(self):
        p = sorted(row["Δ area p"] for row in STORED["effects"] if not math.isnan(row["Δ area p"]))
        adjusted = sorted(row["Δ area p Holm"] for row in STORED["effects"])
        assert len(p) == 31
        assert min(adjusted) == pytest.approx(31 * p[0])


def test_small_p_values_are_bold_and_no_test_is_empty():
    values = [math.nan, 0.05, 0.0499, 1.3e-5, 1.0]
    assert [results_page.p_text(p) for p in values] == ["", "0.050", "**0.050**", "**1e-05**", "1.000"]


class TestNotebookResults:
    @pytest.fixture
    def executed(self, tmp_path):
        """An executed notebook, as papermill writes its metadata, and two of its tables."""
        papermill = {
            "exception": False,
            "end_time": "2026-01-01T00:00:00",
            "input_path": "notebooks/32_when_to_think.ipynb",
            "parameters": {"seeds": [0, 1], "run_root": "/some/where", "figures_dir": "/some/where"},
        }
        notebook = {"metadata": {"papermill": papermill}, "cells": [], "nbformat": 4}
        (tmp_path / "out.ipynb").write_text(json.dumps(notebook))
        pd.DataFrame({"name": ["a", "b"], "share": [0.1, None]}).to_csv(tmp_path / "32_modes.csv")
        pd.DataFrame({"length": range(61)}).to_csv(tmp_path / "32_rollouts.csv")
        pd.DataFrame({"length": range(3)}).to_csv(tmp_path / "30_modes.csv")
        return tmp_path

    def run(self, folder):
        output = folder / "results.json"
        options = ["--figures", str(folder), "--commit", "abc", "--output", str(output)]
        notebook_results.main([str(folder / "out.ipynb"), *options])
        return output.read_text()

    def test_parameters_and_small_tables_are_stored_without_paths_and_dates(self, executed):
        text = self.run(executed)
        results = json.loads(text)
        assert (results["notebook"], results["commit"]) == ("32_when_to_think", "abc")
        assert results["parameters"] == {"seeds": [0, 1]}
        assert list(results["tables"]) == ["modes"]
        assert results["tables"]["modes"][0]["share"] == 0.1
        assert results["rows of tables that are left out"] == {"rollouts": 61}
        assert "2026" not in text
        assert len(text.splitlines()) < 20  # a line per row

    def test_a_notebook_that_did_not_end_and_missing_tables_are_refused(self, executed):
        path = executed / "out.ipynb"
        notebook = json.loads(path.read_text())
        (executed / "32_modes.csv").unlink()
        (executed / "32_rollouts.csv").unlink()
        with pytest.raises(DataError, match="no table 32_"):
            self.run(executed)
        notebook["metadata"]["papermill"]["end_time"] = None
        path.write_text(json.dumps(notebook))
        with pytest.raises(DataError, match="not run to its end"):
            self.run(executed)


def test_results_are_compact_and_read_back_as_they_were(tmp_path):
    results = {"rows": [{"a": 1, "b": None}, {"a": 2, "b": [1, 2]}], "empty": [], "text": "é\n"}
    report.save(tmp_path / "x.json", results)
    text = (tmp_path / "x.json").read_text()
    assert json.loads(text) == results
    assert '{"a": 1, "b": null},\n' in text


def runs_of(methods: dict[str, float]) -> list[dict]:
    """Three made-up runs of each method."""
    columns = ("accuracy", "mean length", "area")
    return [
        {
            "name": name,
            "seed": seed,
            **dict(zip(columns, (x + 0.01 * seed, 100 * x, 400 * x + seed), strict=True)),
        }
        for name, x in methods.items()
        for seed in range(3)
    ]


def test_lapo_is_compared_at_equal_steps_and_its_statistics_where_they_ran():
    obeys = [
        {"name": name, "stated": n, "length": n - 4, "deviation": 0.25, "correct": 0.5}
        for name in ("LAPO-D", "LAPO-I")
        for n in (64, 16)
    ]
    methods = {"base": 0.5, "vanilla": 0.6, "vanilla, twice": 0.7, "LAPO-D": 0.65, "LAPO-I": 0.8}
    text = results_page.lapo({"tables": {"tradeoff": runs_of(methods), "obeys": obeys}})
    assert "| LAPO-I, to vanilla, twice | 0.810 | 80 | +10.0 [" in text
    assert "3 comparisons per column" in text
    assert "| model, first seed | 16 stated | 64 stated |" in text
    assert "| LAPO-D | 12 (25 %, 0.500) | 60 (25 %, 0.500) |" in text
    more = {f"{name}, median" if "LAPO" in name else name: x for name, x in methods.items()}
    more |= {"LAPO-I, mean": 0.79, "LAPO-I, min": 0.78, "LAPO-D, mean": 0.65, "LAPO-D, min": 0.65}
    text = results_page.lapo({"tables": {"tradeoff": runs_of(more), "obeys": obeys}})
    assert "| LAPO-I, min, to LAPO-I | 0.790 |" in text
    assert "5 comparisons per column" in text


def test_two_modes_show_the_choice_beside_its_baseline():
    runs = runs_of({"base": 0.5, "vanilla": 0.6, "hgpo": 0.55})
    names = ["base", "vanilla", "hgpo"]
    tables = {
        "effects": effects(pd.DataFrame(runs)).to_dict("records"),
        "modes": [{"name": n, "mode": mode, "share": 0.25} for n in names for mode in ("empty", "think")],
        "hacc": [{"name": n, "chosen": 0.9, "always think": 0.97} for n in names],
    }
    text = results_page.modes({"tables": tables})
    assert "| `hgpo` | 0.560 | 55 | -5.0 [" in text
    assert "| `hgpo` | 0.560 | 55 | 25 % | 0.90 | 0.97 |" in text
    assert "2 comparisons per column" in text
