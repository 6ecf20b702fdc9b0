"""The page to send: everything in one file, and the figures of papers."""

import re

import pytest

from effwb import cli
from effwb.analysis import papers
from effwb.analysis.finished import RunInfo, describe_run
from effwb.analysis.html_report import write_report
from effwb.analysis.run_set import RunSet
from effwb.errors import ConfigError, DataError
from effwb.frontier import Frontier
from effwb.runs import RunDir
from tests.made_up import write_evaluation


@pytest.fixture(scope="module")
def page(finished, tmp_path_factory):
    path = write_report(
        RunSet.find(finished), tmp_path_factory.mktemp("report") / "new" / "page.html", title="A <title>"
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
        runs = RunSet.find(finished)
        runs.names *= 7
        with pytest.raises(ConfigError, match="1 to 12 runs, got 14"):
            write_report(runs, tmp_path / "x.html")

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
    def runs(self, tmp_path):
        for method, design, seeds in (
            ("base", None, 1),
            ("vanilla", "vanilla", 2),
            ("lead", "lead", 2),
            ("lead static=0.5", "lead", 1),
            ("mrt", "mrt", 1),
        ):
            for seed in range(seeds):
                folder = write_evaluation(tmp_path / f"{method}-{seed}" / "eval", int("lead" in method))
                describe_run(folder, {"method": method, "seed": seed, "design": design})
        return RunSet.find(tmp_path)

    def test_base_and_vanilla_come_first(self, runs):
        assert list(papers.runs_of("lead", runs).methods) == ["base", "vanilla", "lead static=0.5", "lead"]
        assert len(papers.runs_of("lapo", runs)) == 0
        with pytest.raises(ConfigError, match="unknown paper"):
            papers.runs_of("laep", runs)

    def test_the_figures_and_tables(self, runs):
        figures = papers.figures_of(papers.runs_of("lead", runs), runs.frontier())
        assert set(figures) == {"curves", "accuracy-tokens", "reg"}  # these problems have no level
        table = figures["reg"][1].set_index("name")
        assert table.loc["lead", "seeds"] == 2
        assert table.loc["lead", "REG %"] == -100
        assert len(figures["accuracy-tokens"][1]) == 6
        with pytest.raises(DataError, match="no runs"):
            papers.figures_of(runs.filter(names=[]), Frontier([0, 10], [0, 1]))

    def test_training_lengths_are_not_mixed(self, runs, tmp_path):
        """Runs of 20 and 60 steps of one method lie below one root; untrained ones always stay."""
        for name, steps in (("lead-0", 60), ("lead-1", 60), ("lead-2", 20)):
            training = RunDir(tmp_path / "mixed" / name)
            write_evaluation(training.path / "eval")
            design = {"name": "lead"}
            identity = {"design": design, "settings": {"steps": steps}, "model": "pocket", "seed": 0}
            training.write_config({"train": {"identity": identity}})
            info = {"method": "lead", "seed": int(name[-1]), "design": "lead", "params": {}}
            describe_run(training.path / "eval", info)
        write_evaluation(tmp_path / "mixed/base")
        mixed = RunSet.find(tmp_path / "mixed")
        assert papers.training_lengths(mixed) == {20: 1, 60: 2}
        assert papers.trained_alike(mixed).names == ["base", "lead-0", "lead-1"]
        assert papers.trained_alike(mixed, 20).names == ["base", "lead-2"]
        with pytest.raises(
            ConfigError, match="steps=30: no run was trained so long; the runs' steps: 20, 60"
        ):
            papers.trained_alike(mixed, 30)
        for draw in (papers.figures_of, papers.reo_rl_figures):
            with pytest.raises(
                DataError, match=r"different numbers of steps \(1 of 20 steps, 2 of 60 steps\)"
            ):
                draw(mixed, mixed.frontier())
            assert draw(papers.trained_alike(mixed), mixed.frontier())

    def test_every_paper_has_designs_that_exist(self):
        from effwb.designs import DESIGNS

        for paper in papers.PAPERS.values():
            assert set(paper.designs) <= set(DESIGNS)

    def test_longer_training_belongs_to_lapo(self):
        longer = RunInfo("vanilla after vanilla", 0, "vanilla", {}, "vanilla", None)
        assert papers.PAPERS["lapo"].has(longer)
        assert not papers.PAPERS["lapo"].has(longer._replace(after=None))
