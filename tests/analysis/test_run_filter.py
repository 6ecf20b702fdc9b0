"""The filter of runs: words of names, conditions on settings, and sentences for everything else."""

import pytest

from effwb.analysis.run_filter import matching_runs
from effwb.errors import ConfigError

RUNS = {
    "kimi_weight=0.5-seed0": {"design": "kimi", "weight": 0.5, "seed": 0, "learning_rate": 1e-3},
    "kimi_weight=0.5-seed1": {"design": "kimi", "weight": 0.5, "seed": 1, "learning_rate": 3e-3},
    "lead-seed0": {"design": "lead", "alpha": 2.0, "seed": 0, "forced": True, "effort": None},
    "free": {"design": None, "settings.kl": 0.1, "kl": 0.1},
}


def names_of(text):
    return matching_runs(text, RUNS, RUNS.__getitem__)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", list(RUNS)),
        ("seed0", ["kimi_weight=0.5-seed0", "lead-seed0"]),
        ("kimi 1", ["kimi_weight=0.5-seed1"]),
        ("nothing", []),
        ("seed = 0", ["kimi_weight=0.5-seed0", "lead-seed0"]),
        ("seed=0", ["kimi_weight=0.5-seed0", "lead-seed0"]),
        ("design=LEAD,kimi seed=0", ["kimi_weight=0.5-seed0", "lead-seed0"]),
        ("seed!=0", ["kimi_weight=0.5-seed1"]),  # a run without a seed meets no condition on it
        ("weight=.50", ["kimi_weight=0.5-seed0", "kimi_weight=0.5-seed1"]),
        ("learning_rate>1e-3", ["kimi_weight=0.5-seed1"]),
        ("learning_rate>=0.001 seed<1", ["kimi_weight=0.5-seed0"]),
        ("kimi_weight=0.5-seed1", ["kimi_weight=0.5-seed1"]),  # a name that looks like a condition
        ("settings.kl=0.1", ["free"]),
        ("forced=true", ["lead-seed0"]),
        ("effort=none", ["lead-seed0"]),
    ],
)
def test_what_it_finds(text, names):
    assert names_of(text) == names


@pytest.mark.parametrize(
    "text", ["RunSet - solved * x", "np.array([1])", "(", "=3", "seed=", "<b>", "a == b", "`x`"]
)
def test_an_expression_is_refused_in_a_sentence(text):
    with pytest.raises(
        ConfigError, match=r"is neither a word of a run's name nor a condition|unknown setting"
    ):
        names_of(text)


def test_an_unknown_setting_names_the_nearest():
    with pytest.raises(ConfigError, match=r"unknown setting 'alfa'.*Did you mean 'alpha'\?"):
        names_of("alfa=2")


def test_only_numbers_are_compared():
    with pytest.raises(ConfigError, match="< compares numbers, and 'many' is none"):
        names_of("seed<many")


def test_words_alone_read_no_settings():
    assert matching_runs("lead", RUNS, lambda _: pytest.fail("was read")) == ["lead-seed0"]
