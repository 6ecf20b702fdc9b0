"""What a training is done with: the recipe between the profile and the caller, and what it says of itself."""

import json
from dataclasses import replace

import pytest

from effwb import Point, Study, problems, profiles
from effwb.cli import main
from effwb.designs import DESIGNS, make_design
from effwb.errors import ConfigError, IdentityError
from effwb.recipes import RECIPES, Recipe, recipe
from effwb.training import TrainResult, starting_point, train
from effwb.training.job import run_job
from effwb.training.settings import recipe_lines, run_settings
from effwb.training.trl_config import accumulation

REAL = profiles.profile("r1-qwen-1.5b")
POCKET = profiles.profile("pocket")
TINY = dict(steps=4, problems_per_round=4, group_size=4, save_every=4, micro_batch=4)


@pytest.fixture(scope="module")
def easy():
    return problems.load("pocket", 16, split="train")


class TestPrecedence:
    def test_the_recipe_goes_over_the_profile_and_the_caller_over_the_recipe(self):
        assert REAL.training.learning_rate == 1e-6
        assert run_settings("reo_rl", REAL).training.learning_rate == 5e-6
        run = run_settings("reo_rl", REAL, training={"learning_rate": 3e-6, "kl": None})
        assert (run.training.learning_rate, run.training.weight_decay) == (3e-6, 0.05)

    def test_the_profile_names_the_kind(self):
        kinds = {name: profile.recipe for name, profile in profiles.PROFILES.items()}
        assert kinds == {n: "pocket" if n in ("pocket", "smollm2") else "paper" for n in kinds}
        assert run_settings("reo_rl", POCKET).training == POCKET.training
        assert run_settings("reo_rl", REAL, "pocket").training == REAL.training
        assert run_settings("reo_rl", POCKET, "paper").training.learning_rate == 5e-6

    def test_the_cap_is_the_callers_the_recipes_or_the_profiles(self):
        assert run_settings("reo_rl", REAL).max_tokens == 24376
        assert run_settings("reo_rl", REAL, max_tokens=9000).max_tokens == 9000
        assert run_settings("kimi", REAL).max_tokens == 32768
        assert run_settings("reo_rl", profiles.profile("r1-qwen-7b")).max_tokens == 32768

    def test_parameters_are_scaled_to_the_cap_and_the_callers_win(self):
        assert run_settings("laser", REAL).design.target == 8192
        assert run_settings("laser", REAL, max_tokens=8192).design.target == 4096
        assert run_settings("laser", REAL, design_params={"target": 100}).design.target == 100
        cosine = run_settings("cosine", REAL).design
        assert (cosine.min_value_wrong, cosine.max_value_correct, cosine.exceed) == (-10, 2, -10)
        assert run_settings("cosine", REAL, design_params={"exceed": -5.0}).design.exceed == -5

    def test_a_design_object_is_taken_as_it_is(self):
        run = run_settings(make_design("laser", target=5000, cap=32768), REAL)
        assert (run.design.target, run.max_tokens, run.training.kl) == (5000, 32768, 1e-3)
        with pytest.raises(ConfigError, match="design_params need a design given by name"):
            run_settings(make_design("laser"), REAL, design_params={"target": 1})

    def test_fields_by_name_and_a_recipe_object(self):
        assert run_settings("kimi", POCKET, {"kl": 0.5}).training == POCKET.training.override(kl=0.5)
        mine = replace(recipe("reo_rl"), values={"group_size": 32})
        assert run_settings("reo_rl", REAL, mine).training.group_size == 32
        assert run_settings("kimi", REAL, recipe("reo_rl")).training.group_size == 16

    def test_the_name_of_a_design_is_its_papers_recipe_for_all(self):
        run = run_settings("vanilla", REAL, "lapo_discovery")
        assert (run.training.kl, run.max_tokens, run.recipe.paper) == (1e-4, 4096, "2507.15758")
        assert {row.field for row in run.differences()} >= {"kl", "max_tokens"}, (
            "its own paper is another one"
        )

    def test_the_study_and_its_points(self):
        study = Study.open(REAL, recipe="paper", training={"kl": 0.1, "steps": 8})
        run = study.run_settings(Point("reo_rl", training={"kl": 0.2}))
        assert (run.training.kl, run.training.steps, run.training.weight_decay) == (0.2, 8, 0.05)
        assert study.max_tokens == 32768
        assert run.max_tokens == 24376
        assert study.run_settings(Point("reo_rl", max_tokens=1000)).max_tokens == 1000
        capped = Study.open(REAL, max_tokens=2000)
        assert capped.run_settings(Point("reo_rl")).max_tokens == 2000
        table = study.settings(Point("reo_rl"), Point("dler"))
        assert table.loc["learning_rate"].tolist() == [5e-6, 1e-6]

    def test_steps_that_nobody_gave_are_whole_rounds(self):
        run = run_settings("cosine", REAL)  # 16 updates x 2 passes
        assert (run.training.steps, run.training.save_every) == (224, 32)
        assert run_settings("cosine", REAL, training={"steps": 33}).training.steps == 33

    def test_a_warm_up_that_is_a_share_follows_the_steps(self):
        assert run_settings("mrt", REAL).training.warmup_steps == 20
        assert run_settings("mrt", REAL, training={"steps": 50}).training.warmup_steps == 5
        assert run_settings("mrt", REAL, training={"warmup_steps": 7}).training.warmup_steps == 7


@pytest.mark.parametrize("design", DESIGNS)
def test_the_papers_recipe_of_every_design_passes_the_checks_of_train(design, easy):
    """Everything that `train` checks before it loads a model, on the real profile."""
    from effwb.training.checks import check

    many = easy.select([k % len(easy) for k in range(600)])
    reference = {pid: {"length": 40.0, "accuracy": 0.5} for pid in easy["problem_id"]}
    forced = DESIGNS[design].openings is not DESIGNS["vanilla"].openings
    engine = {"engine": "transformers"} if forced else {}
    run = run_settings(design, REAL, "paper", training=engine)
    if design == "lapo_internalization":  # begins with the lengths of the first stage
        run.design.load_state(
            {"design": "lapo_discovery", "lengths": dict.fromkeys(easy["problem_id"], 40.0)}
        )
    check(run.training, run.design, run.max_tokens, many, reference, None)
    assert accumulation(run.training)[0] == 4
    assert run.recipe.values == RECIPES[design].values
    assert run.recipe.kind == "paper"


class TestDifferences:
    def fields(self, *arguments, **options):
        run = run_settings(*arguments, **options)
        return {row.field: row for row in run.differences(template=REAL.template)}

    def test_what_effwb_cannot_do_and_where_it_starts(self):
        rows = self.fields("lead", REAL)
        assert (rows["entropy"].paper, rows["entropy"].here) == (0.001, None)
        assert set(rows) == {"entropy", "train_source"}
        rows = self.fields("reo_rl", REAL)
        assert set(rows) == {"train_source", "whiten", "segment", "l_min", "model"}
        assert rows["model"].here == REAL.model
        own = self.fields("reo_rl", REAL, model="data/AReaL-boba-RL-1.5B/")
        assert "model" not in own

    def test_what_the_caller_sets(self):
        rows = self.fields(
            "reo_rl", REAL, max_tokens=8192, training={"kl": 0.1, "steps": 8}, design_params={"n": 10}
        )
        assert (rows["kl"].paper, rows["kl"].here) == (0.0, 0.1)
        assert (rows["max_tokens"].paper, rows["max_tokens"].here) == (24376, 8192)
        assert (rows["n"].paper, rows["n"].here) == (5, 10)
        assert "steps" not in rows, "the paper leaves them open"

    def test_a_long_table_is_told_by_its_digest(self):
        table = {f"problem-{k}": k + 1 for k in range(500)}
        row = self.fields("reo_rl", REAL, design_params={"budgets": "q_spec", "table": table})["table"]
        assert len(str(row)) < 100

    def test_the_papers_own_reading_is_no_difference(self):
        fields = self.fields("reo_rl", REAL, design_params={"segment": "paper", "whiten": True})
        assert not {"segment", "whiten"} & fields.keys()

    def test_the_problems(self, easy):
        rows = {row.field: row for row in run_settings("brpo", REAL).differences(easy)}
        assert (rows["train_source"].paper, rows["train_source"].here) == ("deepscaler", "pocket")
        assert (rows["n_problems"].paper, rows["n_problems"].here) == (40315, 16)
        rows = {row.field: row for row in run_settings("reo_rl", REAL).differences(easy)}
        assert (rows["train_source"].paper[:4], rows["train_source"].here) == ("135k", "pocket")

    def test_a_second_stage_starts_from_the_first(self):
        first, other = "runs/lapo_discovery-seed0/model", "runs/vanilla-seed0/model"
        assert "model" not in self.fields("lapo_internalization", REAL, model=first)
        assert self.fields("lapo_internalization", REAL, model=other)["model"].paper == ("lapo_discovery",)

    def test_the_template(self):
        run = run_settings("length_group_norm", REAL)
        fields = [row.field for row in run.differences(template="instruct")]
        assert "template" in fields
        assert "template" not in [row.field for row in run.differences(template="boxed_dynasor")]

    def test_the_pocket_recipe_is_compared_with_the_paper_too(self):
        rows = self.fields("reo_rl", POCKET)
        assert (rows["learning_rate"].paper, rows["learning_rate"].here) == (5e-6, 6e-4)

    def test_a_design_of_its_own_has_no_paper(self):
        class Mine(type(make_design("vanilla"))):
            NAME = "mine"

        run = run_settings(Mine(), REAL)
        assert (run.training, run.differences()) == (REAL.training, [])
        with pytest.raises(ConfigError, match="unknown design 'mine'"):
            run_settings(Mine(), REAL, "paper")

    def test_the_lines_that_a_training_begins_with(self):
        run = run_settings("lead", REAL)
        lines = recipe_lines(run, run.differences())
        assert lines[0].startswith("recipe 'paper' of lead (2605.09806); left open by the paper: adam_eps,")
        entropy = "entropy: nothing like it here, 0.001 in the paper (TRL's loss has no entropy term)"
        assert f"  not as in 2605.09806: {entropy}" in lines
        pocket = run_settings("lead", POCKET)
        (line,) = recipe_lines(pocket, pocket.differences())
        assert line.startswith("recipe 'pocket' of lead: one setting for all designs; not as in 2605.09806: ")
        assert "learning_rate" in line

    def test_the_table_of_a_study(self):
        table = Study.open(REAL).differences(Point("reo_rl"), Point("lead"))
        assert set(table["point"]) == {"reo_rl", "lead"}
        assert tuple(table.columns) == ("point", "field", "paper", "here", "why")


class TestBadInput:
    """A recipe that does not fit says which value and why, before anything is loaded or sampled."""

    @pytest.fixture(autouse=True)
    def nothing_is_loaded(self, monkeypatch):
        def refuse(*args, **options):
            raise AssertionError("a model or a tokenizer was loaded")

        for name in ("load_model", "load_tokenizer"):
            monkeypatch.setattr(f"effwb.models.{name}", refuse)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"recipe": "papr"}, "unknown recipe 'papr'; legal: paper, pocket.*Did you mean 'paper'"),
            ({"recipe": 3}, "recipe must be .*got 3"),
            ({"recipe": {"lerning_rate": 1.0}}, "unknown training field 'lerning_rate'"),
            ({"recipe": {"kl": -1.0}}, "kl=-1.0 must be at least 0"),
            ({"recipe": "paper"}, "recipe 'paper' of reo_rl .*max_tokens=24376 .*context of pocket, 2048"),
            (
                {"recipe": "paper", "max_tokens": 96, "steps": 6},
                "steps=6 must be a multiple.*= 4.*recipe 'paper' of reo_rl .* has updates_per_round=4",
            ),
            (
                {"recipe": "paper", "max_tokens": 96, "micro_batch": 24},
                "512 rollouts per update do not divide into micro_batch=24",
            ),
        ],
    )
    def test_train(self, easy, tmp_path, options, message):
        with pytest.raises(ConfigError, match=message):
            train("reo_rl", easy, run_dir=tmp_path / "r", profile=POCKET, watch="none", **options)
        assert not (tmp_path / "r").exists()

    def test_an_engine_that_the_design_cannot_use(self, easy, tmp_path):
        with pytest.raises(ConfigError, match="adapt_think forces how rollouts begin, which engine"):
            train(
                "adapt_think",
                easy,
                run_dir=tmp_path / "r",
                profile=REAL,
                recipe="paper",
                reference={pid: {"length": 1.0, "accuracy": 0.5} for pid in easy["problem_id"]},
            )

    def test_a_study_refuses_before_the_reference_is_sampled(self, tmp_path):
        study = Study.open("pocket", recipe="paper", run_root=tmp_path)
        with pytest.raises(ConfigError, match=r"length_harmonizing.*max_tokens=24376"):
            study.train([Point("length_harmonizing")])
        assert not list(tmp_path.rglob("rollouts"))


class TestRuns:
    """Real trainings on the pocket model with the papers' recipes."""

    def small(self, design, easy, folder, **options):
        options = {"recipe": "paper", "max_tokens": 96, "watch": "none", **TINY, **options}
        return train(design, easy, run_dir=folder, profile=POCKET, **options)

    def test_two_designs_train_as_their_papers_say(self, easy, tmp_path, capsys):
        run = self.small("reo_rl", easy, tmp_path / "reo", watch="lines")
        settings = json.loads((tmp_path / "reo/config.json").read_text())["train"]
        identity = settings["identity"]["settings"]
        assert (identity["learning_rate"], identity["adam_beta2"], identity["adam_eps"]) == (5e-6, 0.95, 1e-5)
        assert (identity["updates_per_round"], identity["weight_decay"]) == (4, 0.05)
        recorded = settings["environment"]["recipe"]
        assert (recorded["kind"], recorded["paper"]) == ("paper", "2506.07104")
        assert (
            recorded["differences"]["group_size"] == "group_size: 4 here, 16 in the paper (set for this run)"
        )
        assert "recipe" not in settings["identity"]
        shown = capsys.readouterr()
        assert "not as in 2506.07104: group_size: 4 here, 16 in the paper" in shown.out
        assert "2506.07104" not in shown.err
        assert len(run.metrics) == 4
        lead = self.small(
            "shorter_better", easy, tmp_path / "sb", steps=8, save_every=8, micro_batch=2, kl=0.0
        )
        assert len(lead.metrics) == 8

    def test_another_recipe_is_another_run_and_the_message_names_the_values(self, easy, tmp_path):
        self.small("vanilla", easy, tmp_path / "r", recipe="pocket")
        with pytest.raises(IdentityError) as caught:
            self.small("vanilla", easy, tmp_path / "r")
        for text in (
            "settings.learning_rate: 0.0006 on disk, 5e-06 asked",
            "settings.adam_beta2",
            "weight_decay",
        ):
            assert text in str(caught.value)
        again = self.small("vanilla", easy, tmp_path / "r", recipe=None)  # the pocket profile's own
        assert again.run_dir == tmp_path / "r"

    @pytest.mark.parametrize("written", ["paper", None])
    def test_the_job_and_the_command(self, tmp_path, monkeypatch, written):
        calls = []

        def record(design, problems, **options):
            calls.append({**options, "problems": problems})
            return TrainResult(tmp_path, make_design("vanilla"))

        monkeypatch.setattr("effwb.training.job.train", record)
        config = {"design": "lead", "problems": "pocket", "run_dir": "r", "max_tokens": 96, "recipe": written}
        (tmp_path / "job.json").write_text(json.dumps({k: v for k, v in config.items() if v}))
        run_job(tmp_path / "job.json")
        assert calls[0].get("recipe") == written
        assert len(calls[0]["problems"]) == (8521 if written else 512), "as many as the recipe trains on"
        assert main(["train", str(tmp_path / "job.json"), "--recipe", "pocket"]) == 0
        assert calls[1]["recipe"] == "pocket"


def test_a_recipe_without_values_changes_nothing():
    assert Recipe("kimi").apply(POCKET.training) == POCKET.training


class TestStart:
    def test_the_profiles_model_by_default(self):
        start = starting_point(None, "pocket", "reo_rl")
        assert (str(start), start.folder, start.model, start.after) == (
            "started from pocket",
            None,
            None,
            None,
        )

    def test_rl_on_the_pocket_model_is_a_vanilla_run_first(self):
        start = starting_point("rl", "pocket", "reo_rl")
        assert (start.after, start.model) == (Point("vanilla"), None)
        assert start.folder == "pocket-from-vanilla"
        assert str(start) == "vanilla started from pocket, the others after vanilla"

    def test_rl_on_a_real_profile_is_the_papers_checkpoint(self):
        start = starting_point("rl", "r1-qwen-7b", "reo_rl")
        assert (start.model, start.after) == ("Skywork/Skywork-OR1-Math-7B", None)
        assert start.folder == "r1-qwen-7b-from-Skywork-OR1-Math-7B"

    def test_a_path(self):
        start = starting_point("data/mine", "r1-qwen-1.5b", "reo_rl")
        assert (start.model, start.folder) == ("data/mine", "r1-qwen-1.5b-from-mine")

    @pytest.mark.parametrize(
        ("profile", "message"),
        [
            ("r1-qwen-1.5b", "starts from AReaL-boba-RL-1.5B, for which no hub id is known"),
            ("qwen3-8b", "fine-tunes Qwen/Qwen3-8B itself; use start_from=None"),
        ],
    )
    def test_rl_is_refused_where_there_is_no_such_checkpoint(self, profile, message):
        with pytest.raises(ConfigError, match=message):
            starting_point("rl", profile, "reo_rl")
