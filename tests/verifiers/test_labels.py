"""Which left sides only name the value on the right."""

import pytest

from effwb.verifiers.labels import is_label, is_named_quantity


@pytest.mark.parametrize(
    "side",
    ["x", "x_{1}", "x'", "f(2)", "f^{-1}(2)", "f(g(2))", "AB", r"\alpha", r"\overline{AB}", r"m\angle ABC",
     r"\cos A", r"P(A|B)", "|AB|", r"\text{area}", "total cost", "Area", "(x, y)", r"\frac{NO}{BO}", "AB/CD",
     "A:B", r"\frac{dy}{dx}", "S_{ABC}:S"],
)  # fmt: skip
def test_one_name_is_a_label(side):
    assert is_label(side, "5")


@pytest.mark.parametrize(
    "side",
    ["2x+z", "x+y", "xy", "xyz", "3x", "-x", "x^{2}", "x^{2}+y^{2}", r"\frac{x^{2}}{16}-\frac{y^{2}}{9}",
     r"y'+r y-r x(t)", "|z|", "ab", "x/y", r"\frac{x}{y}", "e", r"\pi", "5", "", "f(x)+1", "n!", r"\sqrt{x}"],
)  # fmt: skip
def test_everything_else_is_no_label(side):
    assert not is_label(side, "5")


def test_a_line_is_no_label():
    assert not is_label("x", "y")
    assert is_label("f(x)", "x")
    assert is_label("x", "y+1")


def test_an_answer_may_name_the_quantity_whose_value_it_gives():
    assert is_named_quantity("x^{2}+y^{2}", "25")
    assert is_named_quantity("x+y", "5")
    assert is_named_quantity("x", "y")
    assert not is_named_quantity("x+y", "0")
    assert not is_named_quantity("4x-5y", "-50")
    assert not is_named_quantity("x^{2}", "25")
    assert not is_named_quantity("-x", "5")
