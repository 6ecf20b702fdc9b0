"""Offline methods as points: every one trains from a shared pool, and is treated as a design is."""

import json
from pathlib import Path

import pandas as pd
import pytest

from effwb import Point, Study, cli, problems, profiles
from effwb.errors import ConfigError, DataError, IdentityError
from effwb.recipes import OFFLINE_RECIPES
from effwb.rollouts import solved
from effwb.sweep.estimate import counts
from effwb.sweep.parameters import declared_parameters
from effwb.training.offline import offline_settings, train_offline
from effwb.training.offline_methods import OFFLINE_METHODS
from effwb.training.offline_pool import pool_samples, read_pool, sample_pool
from effwb.training.settings import takes_state

POCKET = profiles.profile("pocket", max_tokens=48)
ONE = {"epochs": 1, "batch_size": 64}  # one update
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def easy():
    return problems.load("pocket", 12, split="train")


@pytest.fixture(scope="module")
def root(easy, tmp_path_factory):
    """A directory with the pools of all methods: 12 problems, cap 48."""
    folder = tmp_path_factory.mktemp("runs")
    for method in ("sft_shortest", "sft_tops"):
        sample_pool(method, easy, POCKET, run_root=folder)
    return folder


def test_methods_share_their_pools(root):
    assert {path.name for path in root.glob("pool-*")} == {
        *("pool-48x20", "pool-low-48x16", "pool-medium-48x16", "pool-high-48x16")
    }
    for method in OFFLINE_METHODS.values():
        assert all(method.n_samples <= pool_samples(effort) for effort in method.efforts)


@pytest.mark.parametrize("name", OFFLINE_METHODS)
def test_every_method_trains_from_the_stored_pool(name, easy, root, monkeypatch, capsys):
    monkeypatch.setattr("effwb.rollouts.RolloutTable.sample_shard", lambda *_: pytest.fail("sampled again"))
    options = dict(run_dir=root / f"{name}-seed0", profile=POCKET)
    result = train_offline(Point(name, training=ONE), easy, watch="lines", **options)
    stored, printed = result.examples, capsys.readouterr().out
    assert len(result.metrics) == 1
    assert 0 < stored["problems"] <= stored["of_problems"] == 12
    assert stored["problems"] <= stored["rows"]
    assert stored["summary"] in printed
    assert "recipe 'pocket'; not as in " in printed
    assert f"{name}, seed 0: step 1 of 1, loss " in printed
    dropped = {pid for row in stored["dropped"] for pid in row["problem_ids"]}
    if name not in ("dast", "simpo_dast"):  # a problem that loses one pair there may keep the other
        assert len(dropped) == 12 - stored["problems"]
    identity = json.loads((root / f"{name}-seed0/config.json").read_text())["train"]["identity"]
    assert identity["design"]["name"] == name
    assert identity["seed"] == 0
    assert Path(result.model, "model.safetensors").exists()
    again = train_offline(Point(name, training=ONE), easy, **options)
    assert again.metrics.equals(result.metrics)


def test_another_parameter_seed_or_setting_is_another_run(easy, root):
    def again(*params, seed=0, training=ONE):
        point = Point("simpo_dast", *params, training=training)
        train_offline(point, easy, run_dir=root / "again", profile=POCKET, seed=seed, watch="none")

    again()
    for change, message in (
        ({"seed": 1}, "seed"),
        ({"training": {**ONE, "gamma": 0.5}}, "settings.gamma"),
    ):
        with pytest.raises(IdentityError, match=message):
            again(**change)
    with pytest.raises(IdentityError, match="reading"):
        again({"reading": "paper"})


class TestPoints:
    def test_a_study_trains_designs_and_offline_methods_alike(self, tmp_path, easy):
        small = {"steps": 1, "save_every": 1, "problems_per_round": 2, "group_size": 4, "n_problems": 12}
        study = Study.open(
            "pocket", run_root=tmp_path, n_problems=7, n_samples=2, max_tokens=48, training=small
        )
        points = {
            "short": Point("sft_shortest", training=ONE),
            "gr3": Point("gr3"),
            "after": Point("gr3", after=Point("sft_shortest", training=ONE)),
        }
        runs = study.train(points, [0, 1], watch="none")
        assert set(runs.methods) == {"base", *points}
        assert len(runs) == 8
        info = runs.info("short-seed1")
        assert (info.design, info.seed, info.params) == ("sft_shortest", 1, {})
        assert runs.info("after-seed0").after == "sft_shortest"
        assert runs["short-seed0"].state == {}
        assert len(runs.metrics()["short-seed0"]) == 1
        examples = runs.examples()
        assert examples["run"].tolist() == ["short-seed0", "short-seed1"]
        assert (examples["dropped"] == examples["of problems"] - examples["problems"]).all()
        assert len(runs.filter(design="sft_shortest")) == 2
        assert len(runs.reg()) == 8
        assert len(runs.effects("base")) == 4
        assert (study.run_root / "pool-48x20").is_dir()  # sampled once for both seeds
        settings = study.settings(*points.values())
        assert settings.loc["epochs", "sft_shortest"] == 1
        assert settings.loc["steps", "gr3"] == 1

    @pytest.mark.parametrize(
        ("point", "message"),
        [
            (
                Point("sft_shortestt"),
                "unknown design 'sft_shortestt'; legal: .*vanilla.*Did you mean 'sft_shortest'",
            ),
            (Point("simpo_dast", {"readin": "paper"}), "unknown parameter of simpo_dast 'readin'.*'reading'"),
            (Point("simpo_dast", {"reading": "both"}), "reading"),
            (Point("simpo_dast", {"delta": 1.0}), "delta=1.0 must lie in"),
            (Point("simpo_shortest", training={"beta": -1.0}), "beta=-1.0 must lie in"),
            (Point("simpo_shortest", training={"gamma": 200.0}), "gamma=200.0 must lie in"),
            (Point("sft_shortest", training={"steps": 5}), "unknown setting.*'steps'"),
            (Point("o1_pruner", {"alpha": -2.0}), "alpha=-2.0 must be at least 0"),
            (Point("gr3", after=Point("sft_tops", {"n": 3})), "unknown parameter of sft_tops 'n'"),
        ],
    )
    def test_a_bad_point_is_refused_before_anything_is_sampled(self, point, message, tmp_path):
        study = Study.open("pocket", run_root=tmp_path)
        with pytest.raises(ConfigError, match=message):
            study.train([point])
        assert not list(tmp_path.rglob("config.json"))

    def test_settings_of_grpo_do_not_reach_an_offline_method(self):
        caller = {"learning_rate": 1.0, "steps": 7, "micro_batch": 3, "lora_rank": 2, "max_tokens": 40}
        run = offline_settings(Point("sft_shortest"), POCKET, caller_settings=caller)
        assert run.training.learning_rate == OFFLINE_RECIPES_POCKET["sft"]
        assert (run.machine.micro_batch, run.machine.lora_rank, run.max_tokens) == (3, 2, 40)
        own = Point("sft_shortest", max_tokens=32, training={"learning_rate": 0.5, "micro_batch": 1})
        run = offline_settings(own, POCKET, caller_settings=caller)
        assert (run.training.learning_rate, run.machine.micro_batch, run.max_tokens) == (0.5, 1, 32)

    def test_the_papers_recipe_is_used_where_it_is_named(self):
        for name, recipe in OFFLINE_RECIPES.items():
            run = offline_settings(Point(name), POCKET, recipe="paper")
            assert run.training == recipe.training
            assert {**run.params, **recipe.params} == run.params

    def test_an_unknown_recipe_is_refused(self):
        with pytest.raises(ConfigError, match=r"unknown recipe 'papr'.*'paper'"):
            offline_settings(Point("sft_shortest"), POCKET, recipe="papr")
        assert offline_settings(Point("sft_shortest"), POCKET, recipe="lapo_discovery").recipe == "pocket"

    def test_a_preview_needs_a_design(self, tmp_path):
        with pytest.raises(ConfigError, match="a preview needs a design; dpo_shortest is an offline method"):
            Study.open("pocket", run_root=tmp_path).preview(Point("dpo_shortest"))

    def test_no_state_is_taken_over(self):
        assert not takes_state(Point("sft_tops", after=Point("lead")))
        assert not takes_state(Point("lead", after=Point("sft_tops")))
        assert takes_state(Point("lapo_internalization", after=Point("lapo_discovery")))


OFFLINE_RECIPES_POCKET = {"sft": offline_settings(Point("sft_tops"), POCKET).training.learning_rate}


def first_right(pool):
    """A sample index under which some problem is solved."""
    return pool.loc[solved(pool), "sample"].iloc[0]


class TestPool:
    def test_another_model_has_a_pool_of_its_own(self, easy, root):
        model = str(root / "sft_shortest-seed0" / "model")
        if not Path(model).exists():
            train_offline(
                Point("sft_shortest", training=ONE), easy, run_dir=root / "sft_shortest-seed0", profile=POCKET
            )
        few = easy.select(range(3))
        point = Point("sft_shortest", training=ONE)
        train_offline(point, few, model, run_dir=root / "second", profile=POCKET, watch="none")
        assert (root / "pool-48x20-of-sft_shortest-seed0" / "rollouts" / "DONE").exists()
        with pytest.raises(DataError, match=r"weights is .* in the pool, .* in the training"):
            read_pool({"": root / "pool-48x20"}, POCKET, model)

    def test_a_pool_of_another_template_or_sampling_is_refused(self, easy, root):
        with pytest.raises(DataError, match="template"):
            read_pool({"": root / "pool-48x20"}, POCKET.override(template="boxed"))
        with pytest.raises(DataError, match="effort"):
            read_pool({"low": root / "pool-48x20"}, POCKET)
        hot = POCKET.override(training=POCKET.training.override(temperature=2.0))
        with pytest.raises(IdentityError, match="temperature"):
            train_offline(Point("sft_shortest"), easy, run_dir=root / "hot", profile=hot, watch="none")

    @pytest.mark.parametrize("name", ["sft_shortest", "simpo_shortest", "o1_pruner"])
    def test_a_pool_with_nothing_to_learn_is_refused_with_its_counts(self, name, easy, root):
        pool = read_pool({"": root / "pool-48x20"}, POCKET)
        options = dict(run_dir=root / "nothing", profile=POCKET, watch="none")
        wrong = pool.assign(verdict="wrong", length=9)
        with pytest.raises(
            DataError, match=r"no correct rollout among 240 rollouts of 12 problems \(240 wrong, 0 cut off"
        ):
            train_offline(Point(name), easy, pool=wrong.assign(finish_reason="stop"), **options)
        with pytest.raises(DataError, match=r"one rollout of each problem \(12 rollouts of 12 problems\)"):
            train_offline(Point(name), easy, pool=pool[pool["sample"] == first_right(pool)], **options)
        assert not (root / "nothing").exists()

    def test_an_empty_preference_set_is_refused_with_its_counts(self, easy, root):
        pool = read_pool({"": root / "pool-48x20"}, POCKET)
        options = dict(run_dir=root / "nothing", profile=POCKET, watch="none", pool=pool)
        point = Point("simpo_dast", {"much_shorter": 0.001})
        with pytest.raises(
            DataError, match="0 pairs, from 0 of 12 problems; dropped: 12 without two rollouts"
        ):
            train_offline(point, easy, **options)

    def test_longer_completions_are_left_out_and_counted(self, easy, root):
        point = Point("sft_shortest", training={**ONE, "max_length": 50})
        result = train_offline(point, easy, run_dir=root / "short", profile=POCKET, watch="none")
        reasons = [row["reason"] for row in result.examples["dropped"]]
        assert reasons == ["without a correct rollout", "longer than max_length=50 tokens"]


class TestJob:
    def job(self, folder, **changes):
        path = folder / "config.json"
        written = {"design": "sft_shortest", "problems": "pocket", "n_problems": 12, "max_tokens": 48}
        written |= {"run_dir": str(folder / "runs" / "run"), "training": ONE}
        path.write_text(json.dumps({**written, **changes}))
        return path

    def test_effwb_train_takes_an_offline_method(self, easy, root, tmp_path, capsys):
        path = self.job(tmp_path, run_dir=str(root / "job"))
        assert cli.main(["train", str(path)]) == 0
        assert capsys.readouterr().out.endswith(f"the model: {root / 'job/model'}\n")
        same = train_offline(Point("sft_shortest", training=ONE), easy, run_dir=root / "job", profile=POCKET)
        assert len(same.metrics) == 1  # read back: the identity is the same
        assert cli.main(["check", str(root / "job")]) == 0

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"state": {}}, "state is a setting of designs; sft_shortest is an offline method"),
            ({"training": {"kl": 0.1}}, "unknown setting.*'kl'"),
            ({"design_params": {"x": 1}}, "unknown parameter of sft_shortest"),
        ],
    )
    def test_bad_keys(self, changes, message, tmp_path, capsys):
        assert cli.main(["train", str(self.job(tmp_path, **changes))]) != 0
        import re

        assert re.search(message, capsys.readouterr().err)


def test_the_notebook_counts_all_methods():
    notebook = ROOT / "notebooks/40_offline_baselines.ipynb"
    parameters = declared_parameters(notebook)
    told = counts(notebook, parameters)
    assert told["trainings"] == len(OFFLINE_METHODS) + 2
    assert told["evaluations"] == len(OFFLINE_METHODS) + 3
    assert counts(notebook, {**parameters, "methods": ["dast"], "seeds": [0, 1]})["trainings"] == 6


def test_the_pool_is_a_rollout_table_with_its_effort_prompts(root):
    pool = read_pool({effort: root / f"pool-{effort}-48x16" for effort in ("low", "medium", "high")}, POCKET)
    assert isinstance(pool, pd.DataFrame)
    assert pool["effort"].value_counts().to_dict() == dict.fromkeys(("low", "medium", "high"), 12 * 16)
