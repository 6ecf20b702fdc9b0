"""The computer algebra of the verifier; runs in worker processes only, where it can be killed.

math-verify's grammar (latex2sympy2_extended) reads the LaTeX. The difference of two scalars is then evaluated
at fixed sample points, with enough digits to tell a small one from none; what cannot be evaluated (sets,
inequalities, matrix expressions) goes to `math_verify.verify`, gold first. Sampling replaces `verify` for
scalars because that one rounds to six decimals and drops small differences (1/2004! = 1/2006!, Math-Verify
#14), ignores capitals, misses equalities such as sqrt(1/n) = 1/sqrt(n) (#64), and calls `simplify`, which may
never return. Agreement at the points is not a proof of equality, but it takes a contrived pair to vanish at
all of them; a difference at one is a proof.
"""

import re
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
from .numeric import read_number

_DIGITS = {0: 1200, 1: 150}  # working precision: of constants, of expressions at the first sample point
_LATER_DIGITS = 60  # at the other points
# Real points of both signs, below and above 1, none of them special; each symbol starts elsewhere in the row.
_POINTS = [
    sympy.Rational(numerator, 10000)
    for numerator in (7316, 24182, -6179, 38427, -17263, 2893, 9471, -29318, 13659, 52741, -1583, 4137)
]
_ENOUGH = 5  # agreeing points for a smooth expression; one with corners or steps is compared at all of them
_STEPS = (sympy.floor, sympy.ceiling, sympy.Abs, sympy.sign, sympy.Mod, sympy.Max, sympy.Min, sympy.Piecewise)
_PARTLY_REAL = (sympy.log, sympy.asin, sympy.acos, sympy.acosh, sympy.atanh, sympy.asec, sympy.acsc)
_SORTS = (  # a condition on one unknown is the set of its solutions
    (sympy.Set, Boolean), (sympy.MatrixBase, sympy.MatrixExpr), sympy.Tuple, sympy.Expr
)  # fmt: skip
_NORMAL = NormalizationConfig(
    basic_latex=True, units=False, malformed_operators=True, nits=True, boxed="none"
)
_CONVERSION = ConversionConfig(lowercase_symbols=False)


def algebra(gold: Answer, answer: Answer) -> bool:
    """Whether two scalars, or two equations, are equal. `Unreadable` names the one that cannot be parsed."""
    if gold.kind == answer.kind == "equation":
        return _same_curve(gold, answer)
    if _same(gold, answer):
        return True
    natural = _natural(gold), _natural(answer)
    return natural != (gold, answer) and _same(*natural)


def _natural(answer: Answer) -> Answer:
    """`\\log` without a base is read as base 10 first and as the natural logarithm second; books use both."""
    return replace(answer, source=re.sub(r"\\log(?![A-Za-z]|\s*_)", r"\\ln", answer.source))


def _same(gold: Answer, answer: Answer) -> bool:
    pair = _parsed(gold, "gold"), _parsed(answer, "answer")
    if any(not isinstance(x, sympy.Expr) or isinstance(x, sympy.MatrixExpr) for x in pair):
        return _by_math_verify(*pair)
    decimals = read_number(gold.source), read_number(answer.source)
    return same_scalar(*pair) or _rounded(decimals[0], pair[1]) or _rounded(decimals[1], pair[0])


@lru_cache(maxsize=4096)
def parse(source: str) -> sympy.Basic | None:
    """The sympy object for cleaned LaTeX, decimals exact, `i` imaginary; `None` if the grammar rejects it."""
    try:
        latex = normalize_latex(_spelled(source), _NORMAL)
        try:
            return _tidy(_Reader(latex, PredictionMode.SLL).parse(latex))
        except _Rejected:
            return _tidy(_Reader(latex, PredictionMode.LL).parse(latex))
    except MemoryError:  # no matter of reading: the worker ends, and the pair counts as timed out
        raise
    except Exception:  # the grammar raises plain Exception, sympy anything, on what it does not understand
        return None


class _Rejected(Exception):
    """The grammar does not take the text."""


class _Reader(_Latex2Sympy):
    """math-verify's reader in one of ANTLR's prediction modes.

    SLL gives the tree that LL gives or rejects the text, and is several times faster: what LL finds beyond it
    is not kept for the next text.
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


_SPELLED = [
    (re.compile(r"(?<=\d)\.(?!\d)"), ""),
    (re.compile(r"(\d)[eE]([+-]?\d+)"), r"\1\\cdot 10^{\2}"),
    (re.compile(r"\\hbar(?![A-Za-z])"), "h_{bar}"),
    (
        re.compile(r"\\(gamma|Gamma(?!\s*\())(?![A-Za-z])(?:_\{([^{}]*)\})?"),
        lambda m: f"{m[1][0]}_{{amma{m[2] or ''}}}",
    ),
    (re.compile(r"\\odot(?![A-Za-z])"), "sun"),
    (re.compile(r"(?<=_\{)\\(max|min)\s*(?=\})"), r"\1"),
    (re.compile(r"(?<![A-Za-z\\])E(?=_)"), r"\\Xi "),
    (re.compile(r"(?<!\})\^\{T\}"), "^{T_{t}}"),
    (re.compile(r"([A-Za-z])(?:_\{([^{}]*)\})?('+)"), lambda m: f"{m[1]}_{{{m[2] or ''}{len(m[3]) * 'p'}}}"),
]


def _spelled(source: str) -> str:
    """Spellings the grammar reads for what it rejects (E_1, \\hbar), misreads (3e5, \\gamma as the gamma
    function) or drops (y', e^T).
    """
    for pattern, to in _SPELLED:
        source = pattern.sub(to, source)
    return source


def _tidy(tree: sympy.Basic) -> sympy.Basic:
    exact = {number: sympy.Rational(str(number)) for number in tree.atoms(sympy.Float)}
    names = {symbol: sympy.Symbol(symbol.name, real=True) for symbol in tree.atoms(sympy.Symbol)}
    names |= {symbol: sympy.I for symbol in tree.free_symbols if symbol.name == "i"}
    tree = tree.xreplace({**exact, **names})
    return _evaluated(tree) if isinstance(tree, sympy.Expr) else tree


def _evaluated(tree: sympy.Basic) -> sympy.Basic:
    """Sums, products and small powers worked out; evalf takes exponential time on nested unevaluated ones."""
    if not tree.args:
        return tree
    args = [_evaluated(arg) for arg in tree.args]
    if (isinstance(tree, sympy.Pow) and _is_small_power(*args)) or isinstance(tree, (sympy.Add, sympy.Mul)):
        return tree.func(*args)
    changed = any(new is not old for new, old in zip(args, tree.args, strict=True))
    if isinstance(tree, sympy.Pow) and changed:
        return sympy.Pow(*args, evaluate=False)
    return tree.func(*args) if changed else tree


def _is_small_power(base: sympy.Basic, exponent: sympy.Basic) -> bool:
    """Whether the power can be worked out exactly: at most some thousand digits of a number."""
    bits = max(abs(base.p), base.q).bit_length() if base.is_Rational else 200
    return exponent.is_Integer and abs(exponent) * bits <= 20_000


def _parsed(answer: Answer, side: str) -> sympy.Basic:
    number = read_number(answer.source)
    if number is not None:
        return sympy.Rational(number.value.numerator, number.value.denominator)
    tree = parse(answer.source)
    if tree is None or tree.has(sympy.nan, sympy.zoo):
        raise Unreadable(side)
    return tree


def same_scalar(one: sympy.Expr, other: sympy.Expr) -> bool:
    """Equal at the sample points where both are real in all parts; if there is none, as complex numbers."""
    if one == other:
        return True
    pair = [_opened(one), _opened(other)]
    for real_only in (True, False):
        verdict = _same_at_points(pair, real_only)
        if verdict is not None:
            return verdict
    return _by_math_verify(*pair)


def _opened(tree: sympy.Expr) -> sympy.Expr:
    """Sums and integrals worked out; unknown functions replaced by symbols, so that they can be sampled."""
    if tree.has(sympy.Sum, sympy.Product, sympy.Integral, sympy.Derivative, sympy.Limit):
        tree = tree.doit()
    return tree.xreplace({call: sympy.Symbol(str(call), real=True) for call in tree.atoms(AppliedUndef)})


def _same_at_points(pair: list[sympy.Expr], real_only: bool) -> bool | None:
    """Whether the two agree at every point where both have a value; `None` if there is no such point."""
    symbols = sorted(pair[0].free_symbols | pair[1].free_symbols, key=str)
    enough = len(_POINTS) if any(tree.has(*_STEPS) for tree in pair) else _ENOUGH
    agreed = 0
    for start in range(len(_POINTS) if symbols else 1):
        point = {s: _POINTS[(start + 5 * at) % len(_POINTS)] + at for at, s in enumerate(symbols)}
        if real_only and not all(_real_in_all_parts(tree, point) for tree in pair):
            continue
        same = _cancels(pair, point, _LATER_DIGITS if agreed else _DIGITS[bool(symbols)])
        if same is False:
            return False
        agreed += same is True
        if agreed == enough:
            break
    return True if agreed else None


def _value(tree: sympy.Expr, point: dict) -> sympy.Expr | None:
    value = tree.evalf(30, subs=point, maxn=400)
    return value if value.is_number and value.is_finite and not value.has(sympy.nan, sympy.zoo) else None


def _real_in_all_parts(tree: sympy.Expr, point: dict) -> bool:
    """Whether all roots and logarithms in `tree` are real at `point`: no branch cut was crossed."""
    if tree.has(sympy.I):
        return True
    powers = [part for part in tree.atoms(sympy.Pow) if not part.exp.is_integer]
    return all(
        part.evalf(15, subs=point).is_real is not False for part in [*powers, *tree.atoms(*_PARTLY_REAL)]
    )


def _cancels(pair: list[sympy.Expr], point: dict, digits: int) -> bool | None:
    """Whether the difference vanishes when computed with up to `digits` digits; `None` where it has no value.

    The difference, not two rounded values: 2^{99} + 1 and 2^{99} agree in 29 digits.
    """
    gap = (pair[0] - pair[1]).evalf(15, subs=point, maxn=digits)
    return _is_noise(gap) if gap.is_number and gap.is_finite else None


def _is_noise(value: sympy.Expr) -> bool:
    """Zero, or what sympy marks as a value without a single certain bit."""
    return all(part == 0 or getattr(part, "_prec", 53) <= 1 for part in value.as_real_imag())


def _rounded(decimal, exact: sympy.Expr) -> bool:
    """Whether a decimal of six digits or more is an irrational number, rounded or cut."""
    if decimal is None or decimal.ulp is None or not exact.is_number or exact.is_rational:
        return False
    value = exact.evalf(30 + decimal.digits)
    return value.is_real is True and value.is_finite is True and decimal.approximates(Fraction(str(value)))


def _same_curve(gold: Answer, answer: Answer) -> bool:
    """Two equations hold at the same points: left minus right are constant multiples of each other."""
    if _renamed(gold, answer):
        return True
    one, other = _difference(gold, "gold"), _difference(answer, "answer")
    symbols = one.free_symbols | other.free_symbols
    if one.free_symbols != other.free_symbols or not symbols:
        return False
    point = {symbol: _POINTS[at % len(_POINTS)] + at for at, symbol in enumerate(sorted(symbols, key=str))}
    values = _value(one, point), _value(other, point)
    if None in values or any(_is_noise(value) for value in values):
        return False
    return same_scalar(one * values[1], other * values[0])


def _difference(equation: Answer, side: str) -> sympy.Expr:
    left, right = (_parsed(equation.parts[at], side) for at in (0, -1))
    if not isinstance(left, sympy.Expr) or not isinstance(right, sympy.Expr):
        raise Unreadable(side)
    return _opened(left - right)


_DEFINITION = re.compile(r"\s*(\\?[A-Za-z]+)\s*\(\s*([A-Za-z])\s*\)\s*")


def _renamed(gold: Answer, answer: Answer) -> bool:
    """`f(x) = x + 1` and `f(n) = n + 1` define the same function."""
    heads = [_DEFINITION.fullmatch(equation.parts[0].source) for equation in (gold, answer)]
    if None in heads or heads[0][1] != heads[1][1]:
        return False
    bodies = _parsed(gold.parts[-1], "gold"), _parsed(answer.parts[-1], "answer")
    old, new = (sympy.Symbol(head[2], real=True) for head in heads[::-1])
    return all(isinstance(body, sympy.Expr) for body in bodies) and same_scalar(
        bodies[0], bodies[1].xreplace({old: new})
    )


def _by_math_verify(gold: sympy.Basic, answer: sympy.Basic) -> bool:
    """`math_verify.verify` in both orders, for two objects of one sort; the worker's time limit holds."""
    same_sort = any(isinstance(gold, sort) and isinstance(answer, sort) for sort in _SORTS)
    orders = ((gold, answer), (answer, gold))
    return same_sort and any(math_verify(one, other, timeout_seconds=None) for one, other in orders)
