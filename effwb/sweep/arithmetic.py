"""Arithmetic in the metadata of notebooks, such as `2 * len(seeds)`, computed without running any code."""

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

from effwb.errors import ConfigError

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
FUNCTIONS: dict[str, Callable] = {"len": len, "bool": bool}


def compute(expression: str, values: Mapping[str, Any]) -> Any:
    """Return the value of an arithmetic expression.

    It may have numbers, strings, names, + - * / //, comparisons, `in`, `a if b else c`, `len` and `bool`.

    Args:
        expression: The text.
        values: Value by name.

    Raises:
        ConfigError: For anything else, or an unknown name.

    >>> compute("1 + len(seeds) * ('lead' in methods)", {"seeds": [0, 1], "methods": ["lead"]})
    3
    """
    try:
        return _value(ast.parse(expression, mode="eval").body, values)
    except (SyntaxError, TypeError, ZeroDivisionError) as error:
        raise ConfigError(str(error)) from None


def _value(node: ast.expr, values: Mapping[str, Any]) -> Any:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name) if name in values:
            return values[name]
        case ast.Name(id=name):
            raise ConfigError(f"unknown name {name!r}")
        case ast.BinOp(left=left, op=op, right=right) if type(op) in ARITHMETIC:
            return ARITHMETIC[type(op)](_number(left, values), _number(right, values))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_number(operand, values)
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in COMPARISONS:
            return COMPARISONS[type(op)](_value(left, values), _value(right, values))
        case ast.IfExp(test=test, body=body, orelse=orelse):
            return _value(body if _value(test, values) else orelse, values)
        case ast.Call(func=ast.Name(id=name), args=[argument], keywords=[]) if name in FUNCTIONS:
            return FUNCTIONS[name](_value(argument, values))
    raise ConfigError(f"{ast.unparse(node)!r} is not simple arithmetic (+ - * / //, comparisons, len, bool)")


def _number(node: ast.expr, values: Mapping[str, Any]) -> int | float:
    value = _value(node, values)
    if not isinstance(value, int | float):
        raise ConfigError(f"{ast.unparse(node)!r} is not a number but {value!r}")
    return value
