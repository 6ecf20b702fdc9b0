"""Arithmetic in the metadata of notebooks, such as `2 * len(seeds)`, computed without running any code.

There is no power, and length, depth and size of numbers have limits, so every expression is computed at once.
"""

import ast
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

from effwb.errors import ConfigError
from effwb.training.points import Point

ARITHMETIC: dict[type, Callable] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
}
COMPARISONS: dict[type, Callable] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.In: lambda item, container: item in container,
    ast.NotIn: lambda item, container: item not in container,
}
FUNCTIONS: dict[str, Callable] = {
    "len": len,
    "bool": bool,
    "stages": lambda design: len(Point.with_stages(design).stages),  # trainings of a design, one by one
}
MAX_LENGTH, MAX_DEPTH = 1000, 50  # characters of an expression, levels of its tree
MAX_NUMBER = 1e15  # a larger number, on the way too, is a mistake


def compute(expression: str, values: Mapping[str, Any]) -> Any:
    """Return the value of an arithmetic expression.

    It may have numbers, strings, names, + - * / //, comparisons, `in`, `a if b else c`, `len`, `bool` and
    `stages` (of a design: the trainings that its paper does one after the other).

    Args:
        expression: The text.
        values: Value by name.

    Raises:
        ConfigError: For anything else, an unknown name, or an expression beyond the limits.

    >>> compute("1 + len(seeds) * ('lead' in methods)", {"seeds": [0, 1], "methods": ["lead"]})
    3
    """
    if len(expression) > MAX_LENGTH:
        raise ConfigError(
            f"{expression[:40]!r}... has {len(expression)} characters, at most {MAX_LENGTH} are legal"
        )
    try:
        tree = ast.parse(expression.strip(), mode="eval").body
        if _depth(tree) > MAX_DEPTH:
            raise ConfigError(f"{expression[:40]!r}... is nested more than {MAX_DEPTH} levels deep")
        return _value(tree, values)
    except (SyntaxError, TypeError, ZeroDivisionError, OverflowError, RecursionError, MemoryError) as error:
        raise ConfigError(str(error) or type(error).__name__) from None
    except ValueError as error:  # of numbers with thousands of digits, or zeros in the text
        raise error if isinstance(error, ConfigError) else ConfigError(str(error)) from None


def _depth(tree: ast.expr) -> int:
    """The levels of a tree, counted without recursion."""
    level: list[ast.AST] = [tree]
    depth = 0
    while level:
        level, depth = [child for node in level for child in ast.iter_child_nodes(node)], depth + 1
    return depth


def _value(node: ast.expr, values: Mapping[str, Any]) -> Any:
    match node:
        case ast.Constant(value=value) if isinstance(value, int | float | str | None):
            return value
        case ast.Name(id=name) if name in values:
            return values[name]
        case ast.Name(id=name):
            raise ConfigError(f"unknown name {name!r}")
        case ast.BinOp(left=left, op=op, right=right) if type(op) in ARITHMETIC:
            return _limited(ARITHMETIC[type(op)](_number(left, values), _number(right, values)))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_number(operand, values)
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in COMPARISONS:
            return COMPARISONS[type(op)](_value(left, values), _value(right, values))
        case ast.IfExp(test=test, body=body, orelse=orelse):
            return _value(body if _value(test, values) else orelse, values)
        case ast.Call(func=ast.Name(id=name), args=[argument], keywords=[]) if name in FUNCTIONS:
            return FUNCTIONS[name](_value(argument, values))
    legal = f"+ - * / //, comparisons, {', '.join(FUNCTIONS)}"
    raise ConfigError(f"{ast.unparse(node)!r} is not simple arithmetic ({legal})")


def _number(node: ast.expr, values: Mapping[str, Any]) -> int | float:
    value = _value(node, values)
    if not isinstance(value, int | float):
        raise ConfigError(f"{ast.unparse(node)!r} is not a number but {value!r}")
    return _limited(value)


def _limited(number: int | float) -> int | float:
    if not math.isfinite(number) or abs(number) > MAX_NUMBER:
        raise ConfigError(f"a number is larger than {MAX_NUMBER:g}")
    return number
