"""Holm's adjustment, against values computed by hand and against its promise."""

import numpy as np
import pytest

from effwb.errors import DataError
from effwb.metrics import holm

NAN = float("nan")


@pytest.mark.parametrize(
    ("p_values", "adjusted"),
    [
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),  # 3 x 0.01, then 1 x 0.04 < 2 x 0.03, ...
        ([0.2, 0.2], [0.4, 0.4]),  # the second of two equal values is 1 x 0.2, below the first
        ([0.6, 0.5, 0.9], [1.0, 1.0, 1.0]),  # never above 1
        ([0.03], [0.03]),
        ([0.02, NAN, 0.03], [0.04, NAN, 0.04]),  # m is 2
        ([NAN], [NAN]),
        ([], []),
    ],
)
def test_worked_examples(p_values, adjusted):
    assert holm(p_values) == pytest.approx(np.array(adjusted), nan_ok=True)


def test_a_family_without_any_effect_rarely_shows_one():
    families = np.random.default_rng(0).uniform(size=(2000, 31))
    plain = np.mean((families < 0.05).any(axis=1))
    adjusted = np.mean([(holm(p) < 0.05).any() for p in families])
    assert plain > 0.7  # 1 - 0.95^31 = 0.80
    assert adjusted < 0.065  # 0.05, and three standard errors


@pytest.mark.parametrize(
    ("p_values", "message"), [([[0.1]], "a value per test"), ([-0.1], "lie in"), ([0.5, 1.1], "lie in")]
)
def test_what_is_no_p_value_is_refused(p_values, message):
    with pytest.raises(DataError, match=message):
        holm(p_values)
