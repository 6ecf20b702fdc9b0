"""The papers' files: each is read, each value has its source, and the values are those of the papers."""

import dataclasses
import re
from pathlib import Path

import pytest

from effwb import recipes
from effwb.designs import DESIGNS, toy_group
from effwb.errors import ConfigError
from effwb.profiles import PROFILES, REAL_TRAINING, Training
from effwb.recipes import RECIPES, recipe
from effwb.recipes.files import read_paper, read_papers
from effwb.recipes.values import COLUMNS, METHOD_FIELDS, RUN_FIELDS
from effwb.training.settings import run_settings

FOLDER = Path(recipes.__file__).parent / "papers"
FILES = sorted(FOLDER.glob("*.toml"))
# Fields of Training that say where and how fast a run computes; a new field must be put into one of the lists
PLACEMENT = {
    *("micro_batch", "tokens_per_forward", "weights", "precision", "gradient_checkpointing", "lora_rank"),
    *("lora_alpha", "save_every", "keep_checkpoints", "engine", "processes", "accelerate_config"),
}

# Typed from the papers (Table 4 of 2506.07104 and the settings of the others), apart from the files.
PAPERS = {
    "reo_rl": dict(
        clip_low=0.2,
        clip_high=0.2,
        learning_rate=5e-6,
        weight_decay=0.05,
        problems_per_round=128,
        group_size=16,
        updates_per_round=4,
        adam_beta1=0.9,
        adam_beta2=0.95,
        adam_eps=1e-5,
        max_grad_norm=1.0,
        schedule="constant",
        temperature=1.0,
        top_p=1.0,
        kl=0.0,
    ),
    "length_group_norm": dict(
        learning_rate=5e-6,
        group_size=8,
        problems_per_round=32,
        updates_per_round=2,  # 32 x 8 rollouts in batches of 128
        kl=1e-3,
        kl_estimator="k1",
        kl_place="reward",
        loss="grpo",
        n_problems=3200,
        steps=200,  # 100 rounds of 2 updates
    ),
    "lapo_discovery": dict(
        learning_rate=1e-6,
        group_size=8,
        problems_per_round=128,
        updates_per_round=8,  # 128 x 8 rollouts in batches of 128
        iterations=1,
        temperature=1.0,
        kl=1e-4,
        kl_estimator="k3",
        kl_place="loss",
        kl_bias_correction=False,  # OpenRLHF adds the estimate as it is
        n_problems=10000,
        steps=1920,  # 240 rounds of 8 updates
    ),
    "lead": dict(
        learning_rate=2e-6,
        group_size=8,
        problems_per_round=128,
        updates_per_round=8,  # mini-batches of 16 problems
        iterations=1,
        temperature=1.0,
        top_p=1.0,
        kl=5e-4,
        kl_estimator="mse",
        kl_place="loss",
        clip_low=0.2,
        clip_high=0.2,
        weight_decay=0.01,
        adam_beta1=0.9,
        adam_beta2=0.999,
        max_grad_norm=1.0,
        schedule="constant",
        warmup_steps=0,
        refill_rounds=0,
        n_problems=8521,
        steps=3696,  # 462 rounds of 8 updates
    ),
    "dler": dict(
        learning_rate=1e-6,
        group_size=16,
        problems_per_round=512,
        updates_per_round=8,  # mini-batches of 64 problems
        clip_low=0.2,
        clip_high=0.28,
        loss="dapo",
        kl=5e-4,
        kl_estimator="mse",
        kl_place="loss",
        temperature=1.0,
        top_p=1.0,
        weight_decay=0.01,
        max_grad_norm=1.0,
        refill_rounds=0,
    ),
    "truncation": dict(learning_rate=1e-6, group_size=8, problems_per_round=128, clip_high=0.28, kl=0.0),
}
CAPS = {"reo_rl": 24376, "length_group_norm": 32000, "lapo_discovery": 4096, "lead": 8000, "dler": 4000}


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_every_file_is_read(file):
    assert read_paper(file)


@pytest.mark.parametrize("design", DESIGNS)
def test_every_design_has_a_recipe_in_which_every_field_is_sourced_or_open(design):
    own = RECIPES[design]
    assert own.design == design
    assert re.fullmatch(r"\d{4}\.\d{5}", own.paper)
    for name in (*METHOD_FIELDS, *RUN_FIELDS):
        plain = own.values.get("kl_estimator", "k3") == "k3" and own.values.get("kl_place") != "reward"
        unused = name.startswith("kl_") and own.values.get("kl") == 0
        unused |= name == "kl_bias_correction" and not plain
        assert (name in own.sources) + (name in own.open) == (0 if unused else 1), name
    assert all(text.strip() for text in (*own.sources.values(), *own.open.values()))
    assert not any("{" in text for text in own.sources.values()), "a short name that was not written out"
    assert own.values.items() <= own.training.as_dict().items()


@pytest.mark.parametrize("design", DESIGNS)
def test_fields_that_a_paper_leaves_open_are_those_of_the_profile(design):
    own = RECIPES[design]
    chosen = {*own.values, "steps", "save_every", "warmup_steps"}
    rest = {name: v for name, v in REAL_TRAINING.as_dict().items() if name not in chosen}
    assert rest.items() <= own.training.as_dict().items()


def test_every_field_of_training_belongs_to_the_method_or_to_its_place():
    assert {*METHOD_FIELDS} | PLACEMENT == set(Training.model_fields)
    assert not {*METHOD_FIELDS} & PLACEMENT


@pytest.mark.parametrize("design", PAPERS)
def test_the_values_are_those_of_the_paper(design):
    assert dict(RECIPES[design].values) == PAPERS[design]
    assert RECIPES[design].max_tokens == CAPS.get(design, 16384)


def test_reo_rl_is_table_4():
    own = RECIPES["reo_rl"]
    assert own.warmup_share == 0.001
    assert own.apply(REAL_TRAINING, {"steps": 4000}).warmup_steps == 4
    in_table_4 = {name for name, source in own.sources.items() if source.startswith("2506.07104, Table 4")}
    stated = {*PAPERS["reo_rl"], "warmup_steps", "max_tokens", "whiten"} - {"kl"}
    assert in_table_4 == stated
    assert own.open.keys() >= {"steps", "loss", "n_problems"}
    for model, cap in [
        ("DeepSeek-R1-Distill-Qwen-7B", 32768),
        ("Qwen/Qwen3-4B", 32768),
        ("Qwen3-1.7B", 24376),
    ]:
        assert recipe("reo_rl", model=model).max_tokens == cap


def test_the_baselines_of_the_paper_train_as_it_does():
    for design in ("vanilla", "token_budget", "length_harmonizing"):
        assert RECIPES[design].values == RECIPES["reo_rl"].values
        assert RECIPES[design].paper == "2506.07104"
    others = {"length_group_norm": "2502.04463", "mrt": "2503.07572", "hgpo": "2505.14631"}
    assert {design: RECIPES[design].paper for design in others} == others


def test_a_larger_model_has_its_own_learning_rate():
    assert (
        recipe("length_group_norm", model="deepseek-ai/DeepSeek-R1-Distill-Qwen-7B").training.learning_rate
        == 2e-6
    )
    assert recipe("length_group_norm", model="x/Qwen-17b").training.learning_rate == 5e-6


@pytest.mark.parametrize("design", ["kimi", "alp", "hapo", "gr3", "gdpo"])
def test_a_paper_without_usable_settings_says_so(design):
    assert RECIPES[design].values == {}
    assert set(RECIPES[design].open) == {*METHOD_FIELDS, *RUN_FIELDS}


def test_the_cap_of_a_recipe_is_the_one_that_the_token_parameters_belong_to():
    for design, own in RECIPES.items():
        if design in DESIGNS and own.max_tokens and DESIGNS[design]().token_parameters():
            assert own.max_tokens == DESIGNS[design].PAPER_CAP, design


class TestPocket:
    @pytest.mark.parametrize("design", DESIGNS)
    def test_all_designs_train_alike_but_for_what_they_need(self, design):
        needed = {"dler": {"clip_high": 0.28}, "adapt_think": {"loss": "grpo"}}.get(design, {})
        own = recipe(design, "pocket")
        assert own.values == needed
        assert own.training == PROFILES["pocket"].training.override(**needed)
        assert own.params == ({"k": 4} if design == "gfpo" else {})

    def test_every_design_can_train_with_it(self):
        for design in DESIGNS:
            run = run_settings(design, PROFILES["pocket"])
            length, correct = list(range(1, run.training.group_size + 1)), [1, 0] * 4
            assert run.design.mask(toy_group(length, correct, cap=512)).any(), design
        assert "half of the 8" in recipe("gfpo", "pocket").table().set_index("field").loc["k"].to_string()

    def test_its_table_has_the_papers_values_beside_it(self):
        table = recipe("reo_rl", "pocket").table().set_index("field")
        assert (table.loc["learning_rate", "paper"], table.loc["learning_rate", "recipe"]) == (
            "5e-06",
            "0.0006",
        )
        assert "pocket" in table.loc["learning_rate", "what differs and why"]


def test_the_table_says_value_difference_and_source():
    table = recipe("reo_rl").table()
    assert tuple(table.columns) == COLUMNS
    rows = table.set_index("field")
    assert rows.loc["learning_rate"].tolist() == ["5e-06", "5e-06", "", "2506.07104, Table 4"]
    assert (rows.loc["segment", "paper"], rows.loc["segment", "recipe"]) == ("paper", "causal")
    assert rows.loc["steps", "paper"] == "-"
    assert "135k" in rows.loc["train_source", "paper"]
    assert not rows.index.duplicated().any()


class TestBadFiles:
    """What is wrong in a file is an error that names the file and the field."""

    HEAD = 'paper = "2501.00001"\ntitle = "T"\ndesigns = ["kimi"]\n'

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("[training]\nlearning_rate = 1e-6", "learning_rate = 1e-06 has no source"),
            ("[training]\nlearning_rate = { value = 1e-6 }", "must have a source, or open"),
            ('[training]\nlearning_rate = { value = 1e-6, source = " " }', "source must be a text"),
            (
                '[training]\nlearning_rat = { value = 1e-6, source = "T1" }',
                "unknown field.*Did you mean 'learning_rate'",
            ),
            ('[training]\nmicro_batch = { value = 4, source = "T1" }', "unknown field"),
            ('[training]\ngroup_size = { value = "8", source = "T1" }', "group_size must be"),
            ('[training]\ngroup_size = { value = 0, source = "T1" }', "group_size=0 must be at least 1"),
            ('[training]\nkl = { source = "T1" }', "has a source but no value"),
            ('[training]\nkl = { value = 0.0, open = "why", source = "T1" }', "must have a source, or open"),
            ('[training]\nkl = { value = 0.0, paper = 1.0, source = "T1" }', "come together"),
            ('[training]\nkl = { valeu = 0.0, source = "T1" }', "unknown key of kl.*'value'"),
            ('[training]\nkl = { share = 0.1, source = "T1" }', "share is for warmup_steps"),
            ('[training]\nkl = { value = 0.0, source = "{script}" }', "'script' is not in \\[sources\\]"),
            ('[run]\nmax_tokens = { value = 1.5, source = "T1" }', "max_tokens must be int"),
            ('[run]\ntemplate = { value = "boxd", source = "T1" }', "unknown template"),
            ('[params]\nwieght = { value = 1, source = "T1" }', "Did you mean 'weight'"),
            ('[differs]\nentropy = { value = 1, source = "T1" }', "needs the paper's value"),
            ('[only.gr3.training]\nkl = { value = 0.0, source = "T1" }', "unknown design in \\[only\\]"),
            ('[trainin]\nkl = { value = 0.0, source = "T1" }', "unknown key"),
            ("learning_rate = ", "Invalid value"),
        ],
    )
    def test_an_error_names_the_file_and_the_field(self, tmp_path, text, message):
        file = tmp_path / "mine.toml"
        file.write_text(self.HEAD + text)
        with pytest.raises(ConfigError, match=f"recipe file mine.toml: .*{message}"):
            read_paper(file)

    def test_a_file_without_its_paper(self, tmp_path):
        (tmp_path / "a.toml").write_text('designs = ["kimi"]')
        with pytest.raises(ConfigError, match="lacks paper, title"):
            read_paper(tmp_path / "a.toml")

    def test_parameters_in_tokens_stay_with_the_design(self, tmp_path):
        text = self.HEAD.replace("kimi", "laser") + '[params]\ntarget = { value = 100, source = "T1" }'
        (tmp_path / "a.toml").write_text(text)
        with pytest.raises(ConfigError, match="in tokens: the design holds the paper's"):
            read_paper(tmp_path / "a.toml")

    def test_two_files_for_one_design(self, tmp_path):
        for name in ("a", "b"):
            (tmp_path / f"{name}.toml").write_text(self.HEAD)
        with pytest.raises(ConfigError, match="another file has a recipe of 'kimi'"):
            read_papers(tmp_path)


@pytest.mark.parametrize(
    ("design", "kind", "message"),
    [
        ("reo_lr", "paper", "unknown design 'reo_lr'.*'reo_rl'"),
        ("reo_rl", "papr", "unknown recipe 'papr'.*'paper'"),
    ],
)
def test_unknown_names(design, kind, message):
    with pytest.raises(ConfigError, match=message):
        recipe(design, kind)


def test_the_page_of_the_documents_is_current():
    from effwb.recipes.page import page

    stored = (Path(__file__).parents[2] / "docs/recipes.md").read_text(encoding="utf-8")
    assert stored == page(), "run: python -m effwb.recipes.page > docs/recipes.md"
    sections = re.findall(r"^## (\w+)$", stored, re.M)
    assert set(sections) >= set(DESIGNS)


def test_a_recipe_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        recipe("reo_rl").kind = "mine"
