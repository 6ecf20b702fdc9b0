"""Pools that an offline training refuses."""

import pytest

from effwb.errors import DataError
from effwb.prompts import TEMPLATES
from effwb.training.pool import check_origin, check_rollouts
from tests.training.test_pairs import POOL, pool

TRAINED = {"weights": "abc", "tokenizer": "tok", "template": TEMPLATES["boxed"]}


def identity(effort=None, **changes):
    """The identity of rollouts as `rollouts.sample` stores it."""
    own = {
        "model": "pocket",
        "weights": "abc",
        "tokenizer": "tok",
        "template": TEMPLATES["boxed"].identity(effort),
        "effort": effort,
        "hint": None,
        "opening": None,
        "thinking": True,
        "problems": "p",
        "max_tokens": 512,
        "verifier": {"name": "effwb"},
    }
    return {**own, **changes}


def test_a_pool_without_a_correct_answer_is_refused_with_its_counts():
    unsolved = {"a": ([400, 500], "wt"), "b": ([100, 200, 300], "www")}
    message = r"no correct rollout among 5 rollouts of 2 problems \(4 wrong, 1 cut off at the cap\)"
    with pytest.raises(DataError, match=message):
        check_rollouts(pool(unsolved))


def test_one_sample_a_problem_is_refused_with_its_counts():
    single = pool()
    with pytest.raises(
        DataError, match=r"one rollout of each problem \(4 rollouts of 4 problems\).*at least 2"
    ):
        check_rollouts(single[single["sample"] == 0])


def test_other_pools_pass():
    check_rollouts(pool(POOL))
    check_origin({"": identity()}, **TRAINED)
    check_origin({effort: identity(effort) for effort in ("low", "medium", "high")}, **TRAINED)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": "xyz", "model": "other"}, r"a model \(other\).*weights is 'xyz' in the pool, 'abc'"),
        ({"tokenizer": "xyz"}, "tokenizer is 'xyz'"),
        ({"template": TEMPLATES["instruct"].identity()}, "a template.*in the pool.*in the training"),
        ({"template": {**TEMPLATES["boxed"].identity(), "version": 9}}, "version is 9 in the pool, 1 in"),
        ({"effort": "low"}, "effort is 'low' in the pool, None in the training"),
        ({"hint": 200}, "hint is 200"),
        ({"opening": "empty"}, "opening is 'empty'"),
        ({"thinking": False}, "thinking is False"),
    ],
)
def test_a_pool_from_another_model_or_prompt(change, message):
    with pytest.raises(DataError, match=message):
        check_origin({"": identity(**change)}, **TRAINED)


@pytest.mark.parametrize("change", [{"problems": "q"}, {"max_tokens": 64}, {"verifier": {"name": "other"}}])
def test_parts_of_one_pool_have_the_same_settings(change):
    with pytest.raises(DataError, match=f"effort='high'.*settings.*{next(iter(change))}"):
        check_origin({"low": identity("low"), "high": identity("high", **change)}, **TRAINED)


def test_an_effort_prompt_under_another_name():
    with pytest.raises(DataError, match="effort is 'high' in the pool, 'low' in the training"):
        check_origin({"low": identity("high")}, **TRAINED)
