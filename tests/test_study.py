"""A study from its settings to its files, and points trained in order."""

import json
from contextlib import nullcontext

import pandas as pd
import pytest

from effwb import Point, RunSet, Study, profiles, study
from effwb._internal.progress import with_label
from effwb.errors import ConfigError
from effwb.frontier import Frontier
from effwb.training import TrainResult, WarmStart

TINY = profiles.profile("pocket", n_problems=7, n_samples=2, max_tokens=48)
SHORT = dict(steps=1, problems_per_round=2, group_size=4, save_every=1, n_problems=8)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A study with its base and two points trained for a step, and the directory it is in."""
    root = tmp_path_factory.mktemp("study")
    return open_study(root), root


def open_study(root):
    opened = Study.open(
        TINY,
        run_root=root / "runs",
        figures_dir=root / "figures",
        prefix="99",
        training={**SHORT, "kl": None},
    )
    opened.train([Point("vanilla"), Point("kimi", {"weight": 0.5})], watch="none")
    return opened


class TestTrain:
    def test_runs_come_back_in_order_with_what_they_are(self, trained):
        opened, _ = trained
        assert opened.runs.names == ["base-seed0", "vanilla-seed0", "kimi_weight=0.5-seed0"]
        kimi = opened.runs["kimi weight=0.5"]
        assert (kimi.info.design, kimi.info.params, kimi.seed) == ("kimi", {"weight": 0.5}, 0)
        assert len(kimi.metrics) == 1
        assert opened.runs["base"].metrics is None
        assert list(opened.runs.metrics()) == ["vanilla-seed0", "kimi_weight=0.5-seed0"]

    def test_finished_runs_are_read_back(self, trained):
        opened, root = trained
        stamps = {p: p.stat().st_mtime_ns for p in root.rglob("*.parquet")}
        again = open_study(root)
        assert {p: p.stat().st_mtime_ns for p in root.rglob("*.parquet")} == stamps
        assert again.runs.table().equals(opened.runs.table())
        found = RunSet.find(opened.run_root)
        assert set(found.names) == set(opened.runs.names)
        assert set(found.methods) == {"base", "vanilla", "kimi weight=0.5"}

    def test_problems_are_disjoint(self, trained):
        opened, _ = trained
        assert (len(opened.train_problems), len(opened.eval_problems)) == (8, 7)
        assert not set(opened.train_problems["problem_id"]) & set(opened.eval_problems["problem_id"])

    def test_another_evaluation_joins_the_set(self, trained):
        opened, _ = trained
        run = opened.evaluate("low effort", effort="low", progress=False)
        assert (run.method, run.name) == ("low effort", "low_effort-seed0")
        assert opened.runs.names[-1] == "low_effort-seed0"
        assert run.config["rollouts"]["identity"]["effort"] == "low"


class TestSample:
    def test_rollouts_below_the_study_with_its_settings(self, trained):
        opened, _ = trained
        with opened.sampler() as sampler:
            table = opened.sample(opened.eval_problems, sampler, "no-thinking", n=1, opening="empty")
        assert len(table) == len(opened.eval_problems)
        identity = json.loads((opened.run_root / "no-thinking" / "config.json").read_text())["rollouts"][
            "identity"
        ]
        assert (identity["max_tokens"], identity["template"]["name"], identity["opening"]) == (
            48,
            "pocket",
            "empty",
        )

    def test_previews_are_kept_where_preview_dir_says(self, trained):
        opened, _ = trained
        point = Point("vanilla", max_tokens=32)
        opened.preview(point)
        assert opened.preview_dir(point) == opened.run_root / "preview-32x4"
        assert (opened.preview_dir(point) / "rollouts" / "DONE").exists()
        assert opened.preview_dir(Point("hgpo")) == opened.run_root / "preview-hgpo-48x4"


class TestSave:
    def test_each_result_becomes_its_files(self, trained):
        from effwb import plots

        opened, root = trained
        table = opened.runs.table()
        files = opened.save(
            curves=(plots.curve_figure(opened.runs.curves()), table),
            effects=table,
            best=opened.runs.frontier(),
        )
        names = {path.name for path in (root / "figures").iterdir()}
        assert names == {"99_curves.html", "99_curves.csv", "99_effects.csv", "99_best.json", "plotly.min.js"}
        assert Frontier.load(root / "figures" / "99_best.json").budgets[-1] == 48
        assert len(pd.read_csv(root / "figures" / "99_effects.csv")) == len(table)
        assert files["path"].str.contains("kimi_weight=0.5-seed0").any()

    def test_what_is_no_result_is_named(self, trained):
        with pytest.raises(ConfigError, match="99_x is neither a figure, a table nor a frontier: int"):
            trained[0].save(x=3)


class TestOpen:
    def test_settings_are_checked_before_anything_is_loaded(self, tmp_path):
        with pytest.raises(ConfigError, match="stepz"):
            Study.open(TINY, run_root=tmp_path, figures_dir=tmp_path, training={"stepz": 3})
        with pytest.raises(ConfigError, match="unknown profile 'pokcet'"):
            Study.open("pokcet", run_root=tmp_path, figures_dir=tmp_path)

    def test_overrides(self, tmp_path):
        opened = Study.open(
            "pocket",
            run_root=tmp_path,
            figures_dir=tmp_path,
            max_tokens=64,
            training={"steps": 7, "kl": None},
        )
        assert (opened.max_tokens, opened.training.steps, opened.training.kl) == (64, 7, 0.0)
        assert opened.run_root == tmp_path / "pocket"
        assert opened.settings().loc["steps", "value"] == 7

    def test_the_runs_may_lie_in_another_folder(self, tmp_path):
        opened = Study.open("pocket", run_root=tmp_path, figures_dir=tmp_path, folder="two-modes")
        assert opened.run_root == tmp_path / "two-modes"


class TestPointsInOrder:
    @pytest.fixture
    def calls(self, monkeypatch):
        """What `train` is called with; nothing is trained or evaluated."""
        calls = []

        def record(design, train_problems, *, run_dir, seed, **options):
            calls.append((design, run_dir.name, options.get("model"), options.get("state")))
            return TrainResult(run_dir, design)

        monkeypatch.setattr(study.run, "train", record)
        # it needs the problems
        monkeypatch.setattr(study.run, "check_training", lambda *args, **options: None)
        monkeypatch.setattr(TrainResult, "state", {"design": "lapo_discovery"})
        monkeypatch.setattr(study.run, "open_sampler", lambda *args, **options: nullcontext())
        monkeypatch.setattr(study.run, "evaluate", lambda *args, **options: None)
        return calls

    def test_a_point_after_another_begins_with_its_model_and_state(self, tmp_path, calls):
        first = Point("lapo_discovery")
        points = {"D": first, "I": Point("lapo_internalization", after=first)}
        runs = study.run_points(points, None, None, TINY, run_root=tmp_path, base=False, model="pocket")
        model = str(tmp_path / "D-seed0" / "model")
        start = ("lapo_discovery", "D-seed0", "pocket", None)
        second = ("lapo_internalization", "I-seed0", model, {"design": "lapo_discovery"})
        assert calls == [start, start, second]
        assert runs.names == ["D-seed0", "I-seed0"]
        assert runs.info("I-seed0").after == "lapo_discovery"

    def test_a_point_is_trained_before_one_that_names_it_only_as_its_predecessor(self, tmp_path, calls):
        points = [Point("vanilla", after=Point("kimi"))]
        runs = study.run_points(points, None, None, TINY, run_root=tmp_path, base=False)
        assert [(name, state) for _, name, _, state in calls] == [
            ("kimi-seed0", None),
            ("vanilla_after_kimi-seed0", None),
        ]
        assert list(runs.methods) == ["vanilla after kimi"]

    def test_every_line_says_which_run_design_and_seed(self, tmp_path, calls, monkeypatch):
        labels = []
        monkeypatch.setattr(study.run, "evaluate", lambda *args, **options: labels.append(with_label("e")))
        train = study.run.train
        monkeypatch.setattr(
            study.run,
            "train",
            lambda *args, **options: (labels.append(with_label("t")), train(*args, **options))[1],
        )
        points = [Point("vanilla"), Point("l1_max", after=Point("l1_exact"))]
        study.run_points(points, None, None, TINY, run_root=tmp_path, seeds=[0, 3])
        assert labels == [
            "run 1 of 6: base, seed 0: e",
            "run 2 of 6: base, seed 3: e",
            *(f"run {n} of 6: vanilla, seed {s}: {what}" for n, s in ((3, 0), (4, 3)) for what in "te"),
            *(
                f"run {n} of 6: l1_max after l1_exact, seed {s}: {what}"
                for n, s in ((5, 0), (6, 3))
                for what in ("first l1_exact: t", "t", "e")
            ),
        ]

    def test_a_warm_start_comes_first_and_is_made_once_per_seed(self, tmp_path, calls, monkeypatch):
        made = []

        def fine_tune(self, profile, problems, *, run_dir, model, seed, engine, watch):
            made.append((run_dir.name, model, seed))
            assert (engine, watch) == ("vllm", "lines")
            return str(run_dir / "model")

        monkeypatch.setattr(WarmStart, "train", fine_tune)
        points = [Point.with_stages("hgpo")]
        runs = study.run_points(
            points,
            None,
            None,
            TINY,
            run_root=tmp_path,
            base=False,
            model="m",
            seeds=[0, 1],
            eval_engine="vllm",
            watch="lines",
        )
        assert made == [("warm_start-seed0", "m", 0), ("warm_start-seed1", "m", 1)]
        assert [model for _, _, model, _ in calls] == [
            str(tmp_path / f"warm_start-seed{seed}/model") for seed in (0, 1)
        ]
        assert runs.info("hgpo_after_warm_start-seed0").after == "warm_start"

    def test_bad_points_are_refused_before_the_first_trains(self, tmp_path, calls):
        def run(points):
            study.run_points(points, None, None, TINY, run_root=tmp_path, base=False)

        with pytest.raises(ConfigError, match="unknown design 'lapo_internalisation'"):
            run([Point("lapo_discovery"), Point("lapo_internalisation")])
        with pytest.raises(ConfigError, match="unknown design 'kmi'"):
            run([Point("vanilla", after=Point("kmi"))])
        with pytest.raises(ConfigError, match=r"'wieght'.*Did you mean 'weight'"):
            run([Point("vanilla"), Point("kimi", {"wieght": 0.5})])
        with pytest.raises(ConfigError, match="stepz"):
            run([Point("vanilla"), Point("kimi", training={"stepz": 5})])
        with pytest.raises(ConfigError, match="cannot be called 'base'"):
            run({"base": Point("kimi")})
        with pytest.raises(ConfigError, match="two points have the same name"):
            run([Point("kimi"), Point("kimi")])
        assert calls == []
        assert not list(tmp_path.iterdir())

    def test_parameters_that_are_objects_become_short_text(self, tmp_path, calls):
        frontier = Frontier(list(range(0, 56, 8)), [k / 6 for k in range(7)])
        point = Point("reo_rl", {"budgets": "oracle", "frontier": frontier})
        study.run_points([point], None, None, TINY, run_root=tmp_path, base=False)
        (config,) = tmp_path.rglob("config.json")
        described = json.loads(config.read_text())["run"]
        assert described["params"]["budgets"] == "oracle"
        assert len(described["params"]["frontier"]) == 12
