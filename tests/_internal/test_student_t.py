"""P-values of Student's t, against its closed forms for one and two degrees of freedom."""

import math

import pytest

from effwb._internal.student_t import t_p_value, t_quantile
from effwb.errors import ConfigError


@pytest.mark.parametrize("t", [0.0, 0.1, 1.0, -2.0, 4.302652729911275, 23.2, 1e4])
def test_closed_forms(t):
    assert t_p_value(t, 1) == pytest.approx(1 - 2 / math.pi * math.atan(abs(t)), abs=1e-12)
    assert t_p_value(t, 2) == pytest.approx(1 - abs(t) / math.sqrt(t * t + 2), abs=1e-12)


def test_far_tails_keep_their_digits():
    # 30 degrees of freedom at t = 23: the incomplete beta function to 40 digits gives 1.30801955463...e-20
    assert t_p_value(23.0, 30) == pytest.approx(1.3080195546351826e-20, rel=1e-10, abs=0)


@pytest.mark.parametrize("df", [1, 2, 3, 9, 209])
def test_the_quantile_is_its_inverse(df):
    assert t_p_value(t_quantile(0.975, df), df) == pytest.approx(0.05)


def test_degrees_of_freedom_are_positive():
    with pytest.raises(ConfigError, match="df=0"):
        t_p_value(1.0, 0)
