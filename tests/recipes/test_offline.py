"""The offline methods' recipes: each value has its source, and the values are those of the papers."""

import re
from pathlib import Path

import pytest

from effwb import recipes
from effwb.errors import ConfigError
from effwb.recipes import OFFLINE_RECIPES, OfflineTraining, offline_recipe
from effwb.recipes.offline import POOL_FIELDS, offline_fields, offline_sizes, read_offline_paper
from effwb.recipes.offline_training import LOSS_FIELDS
from effwb.recipes.values import COLUMNS
from effwb.training.offline_methods import OFFLINE_METHODS

FILES = sorted((Path(recipes.__file__).parent / "offline_papers").glob("*.toml"))
SFT = dict(
    epochs=10,
    learning_rate=1e-5,
    batch_size=512,
    schedule="constant",
    warmup_ratio=0.03,
    weight_decay=0.05,
    max_length=32768,
)
SIMPO = dict(
    epochs=2,
    learning_rate=1e-5,
    batch_size=128,
    schedule="constant",
    warmup_ratio=0.03,
    max_length=32768,
    beta=1.0,
    gamma=1.2,
)
# Typed from the papers and their code, apart from the files
PAPERS = {
    "sft_shortest": SFT,
    "sft_tops": SFT,
    "sft_rejection": dict(learning_rate=5e-6),
    "sft_random": dict(epochs=2, learning_rate=1e-5, batch_size=96),
    "simpo_shortest": SIMPO,
    "simpo_tops": SIMPO,
    "simpo_dast": SIMPO,
    "dast": dict(epochs=1, learning_rate=5e-6, beta=2.0, gamma=1.0),
    "dpo_shortest": dict(learning_rate=1e-5, beta=0.1),
    "dpo_tops": dict(epochs=3, learning_rate=5e-7, batch_size=32, beta=0.1),
    "o1_pruner": dict(
        epochs=1,
        learning_rate=2e-7,
        batch_size=32,
        schedule="cosine",
        warmup_ratio=0.1,
        max_grad_norm=10.0,
        clip=0.2,
    ),
}


def test_every_method_has_a_recipe_with_its_own_loss():
    assert set(OFFLINE_RECIPES) == set(OFFLINE_METHODS) == set(PAPERS)
    for name, method in OFFLINE_METHODS.items():
        assert OFFLINE_RECIPES[name].objective == method.objective


@pytest.mark.parametrize("method", OFFLINE_RECIPES)
class TestEveryRecipe:
    def test_the_values_are_those_of_the_paper(self, method):
        assert dict(OFFLINE_RECIPES[method].values) == PAPERS[method]

    def test_every_field_is_sourced_or_open(self, method):
        for own in (OFFLINE_RECIPES[method], *offline_sizes(method).values()):
            assert re.fullmatch(r"\d{4}\.\d{5}", own.paper)
            for name in (*offline_fields(own.objective), *POOL_FIELDS, *own.params):
                assert (name in own.sources) + (name in own.open) == 1, name
            assert not any("{" in text for text in own.sources.values()), (
                "a short name that was not written out"
            )

    def test_its_rule_has_its_parameters_and_is_the_papers_without_them(self, method):
        """The defaults of a method are its paper's: at the smallest size a recipe changes none."""
        parameters = OFFLINE_METHODS[method].parameters()
        assert OFFLINE_RECIPES[method].params.items() <= parameters.items()
        for own in offline_sizes(method).values():
            assert own.params.keys() <= parameters.keys()

    def test_the_method_takes_as_many_rollouts_as_its_paper(self, method):
        assert OFFLINE_METHODS[method].n_samples == OFFLINE_RECIPES[method].pool["n_samples"]

    def test_its_table_names_each_field_once(self, method):
        table = OFFLINE_RECIPES[method].table()
        assert tuple(table.columns) == COLUMNS
        assert not table["field"].duplicated().any()

    def test_pocket_trains_all_methods_of_a_loss_alike(self, method):
        own = offline_recipe(method, "pocket")
        same = [
            offline_recipe(name, "pocket").training
            for name, other in OFFLINE_RECIPES.items()
            if other.objective == own.objective
        ]
        assert all(training == own.training for training in same)
        assert own.values.keys() == own.sources.keys()
        assert own.params == OFFLINE_RECIPES[method].params


@pytest.mark.parametrize(
    ("method", "model", "values"),
    [
        ("simpo_dast", "DeepSeek-R1-Distill-Qwen-7B", dict(learning_rate=3e-6, beta=2.0, gamma=1.4)),
        ("simpo_dast", "Qwen3-1.7B", dict(learning_rate=1e-5)),
        ("o1_pruner", "Qwen/QwQ-32B-Preview", dict(learning_rate=2e-6)),
    ],
)
def test_other_sizes_of_model_have_their_own_values(method, model, values):
    training = offline_recipe(method, model=model).training
    assert {name: getattr(training, name) for name in values} == values


def test_other_sizes_of_model_have_their_own_parameters():
    assert offline_recipe("dast", model="x-32b").params["delta"] == 0.18
    assert offline_recipe("o1_pruner", model="x-32b").params["alpha"] == 5.0


def test_every_loss_has_fields_that_are_settings():
    assert set(OfflineTraining.model_fields) >= {name for fields in LOSS_FIELDS.values() for name in fields}
    assert "beta" not in offline_fields("sft")
    assert "gamma" not in offline_fields("dpo")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("beta", 0.0, r"beta=0.0 must lie in \(0, 100\]"),
        ("beta", 101.0, "beta=101.0"),
        ("beta", float("nan"), "beta=nan"),
        ("gamma", -0.1, "gamma=-0.1 must lie in"),
        ("gamma", 1e9, "gamma=1000000000.0"),
        ("clip", 0.0, "clip=0.0 must lie in"),
        ("epochs", 0, "epochs=0 must be at least 1"),
        ("batch_size", 0, "batch_size=0"),
        ("learning_rate", -1e-5, "learning_rate=-1e-05"),
        ("warmup_ratio", 1.5, "warmup_ratio=1.5"),
        ("schedule", "cosin", "schedule 'cosin'; legal: constant, cosine, linear.*'cosine'"),
        ("max_length", 0, "max_length=0"),
        ("betta", 1.0, "unknown offlinetraining field 'betta'.*Did you mean 'beta'"),
    ],
)
def test_settings_out_of_range(field, value, message):
    with pytest.raises(ConfigError, match=message):
        OfflineTraining(**{field: value})


@pytest.mark.parametrize(
    ("method", "kind", "message"),
    [
        ("simpo_dats", "paper", "unknown offline method 'simpo_dats'.*'simpo_dast'"),
        ("dast", "papr", "unknown recipe 'papr'.*'paper'"),
    ],
)
def test_unknown_names(method, kind, message):
    with pytest.raises(ConfigError, match=message):
        offline_recipe(method, kind)


class TestBadFiles:
    HEAD = 'paper = "2501.00001"\ntitle = "T"\nmethods = ["mine"]\nobjective = "sft"\n'

    @pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
    def test_every_file_is_read(self, file):
        assert read_offline_paper(file)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("[training]\nepochs = 3", "epochs = 3 has no source"),
            ('[training]\nbeta = { value = 1.0, source = "T1" }', "unknown field in .training. 'beta'"),
            ('[training]\nepochs = { value = 0, source = "T1" }', "epochs=0 must be at least 1"),
            ('[pool]\nn_sample = { value = 16, source = "T1" }', "Did you mean 'n_samples'"),
            ('[run]\nmodel = { value = ["a"], source = "T1" }', "unknown key 'run'"),
            (
                '[only.other.params]\nreading = { value = "a", source = "T1" }',
                "unknown design in .only. 'other'",
            ),
            ("epochs = ", "Invalid value"),
        ],
    )
    def test_an_error_names_the_file_and_the_field(self, tmp_path, text, message):
        file = tmp_path / "mine.toml"
        file.write_text(self.HEAD + text)
        with pytest.raises(ConfigError, match=f"recipe file mine.toml: .*{message}"):
            read_offline_paper(file)

    @pytest.mark.parametrize(
        ("old", "new", "message"), [("sft", "ppo", "objective 'ppo'"), ('"T"', '""', "title")]
    )
    def test_a_wrong_head(self, tmp_path, old, new, message):
        file = tmp_path / "mine.toml"
        file.write_text(self.HEAD.replace(old, new))
        with pytest.raises(ConfigError, match=f"recipe file mine.toml: .*{message}"):
            read_offline_paper(file)
