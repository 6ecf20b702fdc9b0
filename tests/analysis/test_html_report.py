"""The page to send: everything in one file, and the figures of papers."""

import re

import pytest

from effwb import cli
from effwb.analysis import papers
from effwb.analysis.html_report import write_report
from effwb.analysis.run_set import RunSet
from effwb.errors import ConfigError, DataError
from effwb.frontier import Frontier
from tests.made_up import write_evaluation


@pytest.fixture(scope="module")
def page(finished, tmp_path_factory):
    path = write_report(
        RunSet(finished), tmp_path_factory.mktemp("report") / "new" / "page.html", title="A <title>"
    )
    return path.read_text(encoding="utf-8")


class TestReport:
    def test_nothing_is_fetched(self, page):
        outside = re.findall(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=", page)
        assert outside == []
        assert page.count("Plotly.newPlot(") == 4  # curves, the plane, lengths of two
        assert page.count("plotly.js v") == 1

    def test_what_is_in_it(self, page):
        for heading in (
            "Accuracy at each token budget",
            "Lengths of low",
            "Numbers",
            "Sample rollouts",
            "Settings",
        ):
            assert f"<h2>{heading}</h2>" in page
        assert "14 problems x 2 samples, pocket, T = 1.0" in page
        assert "A &lt;title&gt;" in page
        assert page.count("effwb-reasoning") >= 2

    def test_settings_that_differ_come_first(self, page):
        differs = page[page.index("What differs") : page.index("settings that all share")]
        assert "rollouts.effort" in differs
        assert "rollouts.max_tokens" not in differs

    def test_too_many_runs(self, finished, tmp_path):
        store = RunSet(finished)
        store.runs = {str(i): None for i in range(13)}
        with pytest.raises(ConfigError, match="1 to 12 runs, got 13"):
            write_report(store, tmp_path / "x.html")

    def test_from_the_command_line(self, finished, tmp_path, capsys):
        out = tmp_path / "r.html"
        assert cli.main(["report", str(finished / "low"), "-o", str(out), "--l-max", "32"]) == 0
        assert capsys.readouterr().out == f"{out}\n"
        assert "J(32)" in out.read_text(encoding="utf-8")

    def test_what_is_asked_wrongly_is_said(self, finished, tmp_path, capsys):
        assert cli.main(["report", str(tmp_path)]) == 2
        assert "no finished evaluation" in capsys.readouterr().err
        assert cli.main(["report", str(finished), "--base", "fre", "-o", str(tmp_path / "r.html")]) == 2
        assert "Did you mean 'free'" in capsys.readouterr().err
        assert cli.main(["report", str(finished), "--l-max", "9999", "-o", str(tmp_path / "r.html")]) == 2
        assert "9999" in capsys.readouterr().err


class TestPapers:
    @pytest.fixture
    def store(self, tmp_path):
        for name in (
            "base-seed0",
            "vanilla-seed0",
            "vanilla-seed1",
            "lead-seed0",
            "lead-seed1",
            "leader",
            "mrt-seed0",
        ):
            write_evaluation(tmp_path / name / "eval", int("lead" in name))
        return RunSet(tmp_path)

    def test_methods_and_seeds(self, store):
        assert papers.methods_of(store)["lead"] == {0: "lead-seed0", 1: "lead-seed1"}
        assert papers.methods_of(store)["leader"] == {0: "leader"}

    def test_base_and_vanilla_come_first(self, store):
        assert list(papers.runs_of("lead", store)) == ["base", "vanilla", "lead", "leader"]
        assert papers.runs_of("lapo", store) == {}
        with pytest.raises(ConfigError, match="unknown paper"):
            papers.runs_of("laep", store)

    def test_the_set(self, store):
        runs = papers.runs_of("lead", store)
        found = papers.figures_of(store, runs, store.frontier("best of all runs", ["base-seed0"]))
        assert set(found) == {"curves", "accuracy-tokens", "reg"}  # these problems have no level
        table = found["reg"][1].set_index("name")
        assert table.loc["lead", "seeds"] == 2
        assert table.loc["lead", "REG %"] == -100
        assert len(found["accuracy-tokens"][1]) == 6
        with pytest.raises(DataError, match="no runs"):
            papers.figures_of(store, {}, Frontier([0, 10], [0, 1]))

    def test_the_names_are_those_that_training_gives(self):
        from effwb.training.points import Point, run_name

        discovery = Point("lapo_discovery")
        names = {
            "reo-rl": Point("reo_rl", {"n": 10}),
            "train-to-reason-efficiently": Point("length_group_norm", {"alpha": 0.1}),
            "lapo": Point("lapo_internalization", after=discovery),
            "lead": Point("lead", {"static": 0.5}),
            "art": Point("truncation", {"target": 64, "variant": "-I"}),
        }
        assert set(names) == set(papers.PAPERS)
        for paper, point in names.items():
            method = papers.SEED.fullmatch(run_name(point.name, 0))[1]
            assert any(re.fullmatch(p, method) for p in papers.PAPERS[paper].methods), method
