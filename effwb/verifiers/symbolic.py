r"""Step 4 of 4, the computer algebra; it runs in worker processes only, where it can be killed.

    "1/\sqrt{n}" = "\sqrt{1/n}"       "(x+1)^2" = "x^2 + 2x + 1"       "1/2004!" is not "1/2006!"

math-verify's grammar (latex2sympy2_extended) reads the LaTeX. The difference of two scalars is then evaluated
at fixed sample points, with enough digits to tell a small difference from none. What cannot be evaluated
(sets, inequalities, matrix expressions) goes to `math_verify.verify`.

Sampling replaces `math_verify.verify` for scalars because that function rounds to six decimals and so drops
small differences (1/2004! = 1/2006!, Math-Verify #14), ignores capitals, misses equalities such as
sqrt(1/n) = 1/sqrt(n) (#64), and calls `simplify`, which may never return. Agreement at the points does not
prove equality, but only a contrived pair agrees at all of them; a difference at one point does prove
inequality.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache

import sympy
from antlr4.atn.PredictionMode import PredictionMode
from antlr4.error.ErrorListener import ErrorListener
from latex2sympy2_extended.latex2sympy2 import (
    ConversionConfig,
    NormalizationConfig,
    _Latex2Sympy,
    normalize_latex,
)
from math_verify.grader import should_treat_as_complex
from math_verify.grader import verify as math_verify
from sympy.core.function import AppliedUndef
from sympy.logic.boolalg import Boolean

from .answers import Answer
from .compare import Unreadable
from .numeric import Number, read_number

_CONSTANT_DIGITS = 1200  # working precision for expressions without symbols
_FIRST_POINT_DIGITS = 150  # and for others, until one point agreed
_LATER_DIGITS = 60  # and at the points after that
# Real points of both signs, below and above 1, none of them special; each symbol starts elsewhere in the row.
_POINTS = [
    sympy.Rational(numerator, 10000)
    for numerator in (7316, 24182, -6179, 38427, -17263, 2893, 9471, -29318, 13659, 52741, -1583, 4137)
]
_ENOUGH_POINTS = 5  # that agree, for a smooth expression; one with corners or steps is compared at all points
_STEPS = (sympy.floor, sympy.ceiling, sympy.Abs, sympy.sign, sympy.Mod, sympy.Max, sympy.Min, sympy.Piecewise)
_PARTLY_REAL = (sympy.log, sympy.asin, sympy.acos, sympy.acosh, sympy.atanh, sympy.asec, sympy.acsc)
_SORTS = (  # what math_verify compares; a condition on one unknown is the set of its solutions
    (sympy.Set, Boolean), (sympy.MatrixBase, sympy.MatrixExpr), sympy.Tuple, sympy.Expr
)  # fmt: skip
_NORMAL = NormalizationConfig(
    basic_latex=True, units=False, malformed_operators=True, nits=True, boxed="none"
)
_CONVERSION = ConversionConfig(lowercase_symbols=False)
_LOG_WITHOUT_BASE = re.compile(r"\\log(?![A-Za-z]|\s*_)")


def algebra(gold: Answer, answer: Answer) -> bool:
    r"""Whether two scalars, two sets, or two equations are equal.

    `\log` without a base is read as base 10 first and as the natural logarithm second; books use both.

    Args:
        gold: a reading of the reference answer.
        answer: a reading of the model's answer.

    Raises:
        Unreadable: if one of the two cannot be parsed; the exception says which.
    """
    if gold.kind == answer.kind == "equation":
        return _same_curve(gold, answer)
    if _same_value(gold, answer):
        return True
    natural_gold, natural_answer = (
        replace(x, source=_LOG_WITHOUT_BASE.sub(r"\\ln", x.source)) for x in (gold, answer)
    )
    return (natural_gold, natural_answer) != (gold, answer) and _same_value(natural_gold, natural_answer)


def _same_value(gold: Answer, answer: Answer) -> bool:
    trees = _parsed(gold, "gold"), _parsed(answer, "answer")
    if any(not isinstance(x, sympy.Expr) or isinstance(x, sympy.MatrixExpr) for x in trees):
        return _same_by_math_verify(*trees)
    if same_scalar(*trees):
        return True
    return _rounds(read_number(gold.source), trees[1]) or _rounds(read_number(answer.source), trees[0])


def _parsed(answer: Answer, side: str) -> sympy.Basic:
    """The sympy object of a reading; `side` is "gold" or "answer", for `Unreadable`."""
    number = read_number(answer.source)
    if number is not None:
        return sympy.Rational(number.value.numerator, number.value.denominator)
    tree = parse(answer.source)
    if tree is None or tree.has(sympy.nan, sympy.zoo):
        raise Unreadable(side)
    return tree


# --- reading LaTeX


@lru_cache(maxsize=4096)
def parse(source: str) -> sympy.Basic | None:
    """Read cleaned LaTeX as a sympy object.

    Args:
        source: LaTeX from `latex.clean`.

    Returns:
        The object with exact decimals, real symbols and an imaginary `i`; `None` if the grammar rejects the
        text.
    """
    try:
        latex = normalize_latex(_respelled(source), _NORMAL)
        try:
            return _tidied(_Reader(latex, PredictionMode.SLL).parse(latex))
        except _Rejected:
            return _tidied(_Reader(latex, PredictionMode.LL).parse(latex))
    except MemoryError:  # says nothing about the text: the worker ends, and the pair counts as timed out
        raise
    except Exception:  # the grammar raises plain Exception, sympy anything, on what it does not understand
        return None


class _Rejected(Exception):
    """The grammar rejects the text."""


class _Reader(_Latex2Sympy):
    """math-verify's reader, in one of ANTLR's two prediction modes.

    SLL gives the same tree as LL or rejects the text, and is several times faster.
    """

    class MathErrorListener(ErrorListener):
        def __init__(self, _):
            super().__init__()

        def syntaxError(self, *_):
            raise _Rejected

    def __init__(self, latex: str, mode: PredictionMode):
        real, degrees = not should_treat_as_complex(latex), r"\circ" in latex
        super().__init__(None, real, degrees, config=_CONVERSION)
        self.mode = mode

    def create_parser(self, latex_str):
        parser = super().create_parser(latex_str)
        parser._interp.predictionMode = self.mode
        return parser


# Spellings that the grammar rejects, misreads or drops, and what it is given instead. The new names only have
# to be the same for gold and answer.
_RESPELLINGS: list[tuple[re.Pattern, str | Callable[[re.Match], str]]] = [
    (re.compile(r"(?<=\d)\.(?!\d)"), ""),  # "1./3"
    (re.compile(r"(\d)[eE]([+-]?\d+)"), r"\1\\cdot 10^{\2}"),  # "3e5" would be 3 times e times 5
    (re.compile(r"\\hbar(?![A-Za-z])"), "h_{bar}"),
    (  # \gamma as a letter: the grammar reads "\gamma^2-5" as the gamma function of -5
        re.compile(r"\\(gamma|Gamma(?!\s*\())(?![A-Za-z])(?:_\{([^{}]*)\})?"),
        lambda m: f"{m[1][0]}_{{amma{m[2] or ''}}}",
    ),
    (re.compile(r"\\bmod(?![A-Za-z])"), r"\\mod "),
    (re.compile(r"\\odot(?![A-Za-z])"), "sun"),  # "M_\odot"
    (re.compile(r"(?<=_\{)\\(max|min)\s*(?=\})"), r"\1"),  # "x_{\max}"
    (re.compile(r"(?<![A-Za-z\\])E(?=_)"), r"\\Xi "),  # "E_1" is rejected
    (re.compile(r"(?<!\})\^\{T\}"), "^{T_{t}}"),  # "e^T" would lose its exponent
    # "y'" and "y_1''" would lose their primes
    (re.compile(r"([A-Za-z])(?:_\{([^{}]*)\})?('+)"), lambda m: f"{m[1]}_{{{m[2] or ''}{len(m[3]) * 'p'}}}"),
]


def _respelled(source: str) -> str:
    for pattern, replacement in _RESPELLINGS:
        source = pattern.sub(replacement, source)
    return source


def _tidied(tree: sympy.Basic) -> sympy.Basic:
    """Exact decimals, real symbols, `i` as the imaginary unit, and simple operations worked out."""
    exact = {number: sympy.Rational(str(number)) for number in tree.atoms(sympy.Float)}
    names = {symbol: sympy.Symbol(symbol.name, real=True) for symbol in tree.atoms(sympy.Symbol)}
    names |= {symbol: sympy.I for symbol in tree.free_symbols if symbol.name == "i"}
    tree = tree.xreplace({**exact, **names})
    return _worked_out(tree) if isinstance(tree, sympy.Expr) else tree


def _worked_out(tree: sympy.Basic) -> sympy.Basic:
    """Sums, products and small powers worked out; evalf takes exponential time on nested unevaluated ones."""
    if not tree.args:
        return tree
    args = [_worked_out(arg) for arg in tree.args]
    if (isinstance(tree, sympy.Pow) and _is_small_power(*args)) or isinstance(
        tree, (sympy.Add, sympy.Mul, sympy.Mod)
    ):
        return tree.func(*args)
    changed = any(new is not old for new, old in zip(args, tree.args, strict=True))
    if isinstance(tree, sympy.Pow) and changed:
        return sympy.Pow(*args, evaluate=False)
    return tree.func(*args) if changed else tree


def _is_small_power(base: sympy.Basic, exponent: sympy.Basic) -> bool:
    """Whether the power can be worked out exactly: at most some thousand digits of a number."""
    bits = max(abs(base.p), base.q).bit_length() if base.is_Rational else 200
    return exponent.is_Integer and abs(exponent) * bits <= 20_000


# --- comparing


def same_scalar(gold: sympy.Expr, answer: sympy.Expr) -> bool:
    """Whether two scalars agree at the sample points where roots and logarithms in both are real.

    If there is no such point, they are compared as complex numbers; if that has no value either, by
    math-verify.
    """
    if gold == answer:
        return True
    trees = [_expanded(gold), _expanded(answer)]
    for real_only in (True, False):
        if (verdict := _agree_at_points(trees, real_only)) is not None:
            return verdict
    return _same_by_math_verify(*trees)


def _expanded(tree: sympy.Expr) -> sympy.Expr:
    """Sums and integrals worked out; unknown functions replaced by symbols, so that they can be sampled."""
    if tree.has(sympy.Sum, sympy.Product, sympy.Integral, sympy.Derivative, sympy.Limit):
        tree = tree.doit()
    return tree.xreplace({call: sympy.Symbol(str(call), real=True) for call in tree.atoms(AppliedUndef)})


def _agree_at_points(trees: list[sympy.Expr], real_only: bool) -> bool | None:
    """Whether the two agree at every point where both have a value; `None` if there is no such point."""
    symbols = sorted(trees[0].free_symbols | trees[1].free_symbols, key=str)
    enough = len(_POINTS) if any(tree.has(*_STEPS) for tree in trees) else _ENOUGH_POINTS
    agreed = 0
    for start in range(len(_POINTS) if symbols else 1):
        point = {s: _POINTS[(start + 5 * at) % len(_POINTS)] + at for at, s in enumerate(symbols)}
        if real_only and not all(_real_in_all_parts(tree, point) for tree in trees):
            continue
        digits = _LATER_DIGITS if agreed else _FIRST_POINT_DIGITS if symbols else _CONSTANT_DIGITS
        # The difference, not two rounded values: 2^{99} + 1 and 2^{99} agree in 29 digits.
        difference = (trees[0] - trees[1]).evalf(15, subs=point, maxn=digits)
        if not (difference.is_number and difference.is_finite):
            continue
        if not _is_zero(difference):
            return False
        agreed += 1
        if agreed == enough:
            break
    return True if agreed else None


def _real_in_all_parts(tree: sympy.Expr, point: dict) -> bool:
    """Whether all roots and logarithms in `tree` are real at `point`: no branch cut was crossed."""
    if tree.has(sympy.I):
        return True
    powers = [part for part in tree.atoms(sympy.Pow) if not part.exp.is_integer]
    return all(
        part.evalf(15, subs=point).is_real is not False for part in [*powers, *tree.atoms(*_PARTLY_REAL)]
    )


def _is_zero(value: sympy.Expr) -> bool:
    """Zero, or what sympy marks as a value without a single certain bit."""
    return all(part == 0 or getattr(part, "_prec", 53) <= 1 for part in value.as_real_imag())


def _rounds(decimal: Number | None, exact: sympy.Expr) -> bool:
    """Whether a decimal of six digits or more is an irrational number, rounded or cut."""
    if decimal is None or decimal.ulp is None or not exact.is_number or exact.is_rational:
        return False
    value = exact.evalf(30 + decimal.digits)
    return value.is_real is True and value.is_finite is True and decimal.approximates(Fraction(str(value)))


def _same_curve(gold: Answer, answer: Answer) -> bool:
    """Whether two equations are one curve: their left minus right are constant multiples of each other."""
    if _same_function(gold, answer):
        return True
    gold_difference, answer_difference = _left_minus_right(gold, "gold"), _left_minus_right(answer, "answer")
    symbols = gold_difference.free_symbols
    if symbols != answer_difference.free_symbols or not symbols:
        return False
    point = {symbol: _POINTS[at % len(_POINTS)] + at for at, symbol in enumerate(sorted(symbols, key=str))}
    values = _value(gold_difference, point), _value(answer_difference, point)
    if None in values or any(_is_zero(value) for value in values):
        return False
    return same_scalar(gold_difference * values[1], answer_difference * values[0])


def _left_minus_right(equation: Answer, side: str) -> sympy.Expr:
    left, right = (_parsed(equation.parts[at], side) for at in (0, -1))
    if not isinstance(left, sympy.Expr) or not isinstance(right, sympy.Expr):
        raise Unreadable(side)
    return _expanded(left - right)


def _value(tree: sympy.Expr, point: dict) -> sympy.Expr | None:
    value = tree.evalf(30, subs=point, maxn=400)
    return value if value.is_number and value.is_finite and not value.has(sympy.nan, sympy.zoo) else None


_DEFINITION = re.compile(r"\s*(\\?[A-Za-z]+)\s*\(\s*([A-Za-z])\s*\)\s*")


def _same_function(gold: Answer, answer: Answer) -> bool:
    """`f(x) = x + 1` and `f(n) = n + 1` define the same function."""
    gold_head, answer_head = (_DEFINITION.fullmatch(x.parts[0].source) for x in (gold, answer))
    if gold_head is None or answer_head is None or gold_head[1] != answer_head[1]:
        return False
    gold_body, answer_body = _parsed(gold.parts[-1], "gold"), _parsed(answer.parts[-1], "answer")
    if not (isinstance(gold_body, sympy.Expr) and isinstance(answer_body, sympy.Expr)):
        return False
    gold_symbol, answer_symbol = (sympy.Symbol(head[2], real=True) for head in (gold_head, answer_head))
    return same_scalar(gold_body, answer_body.xreplace({answer_symbol: gold_symbol}))


def _same_by_math_verify(gold: sympy.Basic, answer: sympy.Basic) -> bool:
    """`math_verify.verify` in both orders, for two objects of one sort; the worker's time limit holds."""
    same_sort = any(isinstance(gold, sort) and isinstance(answer, sort) for sort in _SORTS)
    orders = ((gold, answer), (answer, gold))
    return same_sort and any(math_verify(*order, timeout_seconds=None) for order in orders)
