"""A digest of the source of a user's own design: a run must not be read back after its class has changed."""

from __future__ import annotations

import ast
import linecache
import sys
import textwrap
from weakref import WeakKeyDictionary

from effwb.runs import digest

_TEXTS: WeakKeyDictionary[type, str] = WeakKeyDictionary()


def remember_source(cls: type, file: str, line: int) -> None:
    """Keep the source of a class while it is sure to be that of the class.

    Args:
        cls: The class.
        file: Where it stands: a file, or a cell of a notebook.
        line: A line of its statement there, decorators included.
    """
    if text := _text_at(file, cls.__name__, line):
        _TEXTS[cls] = text


def source_digest(cls: type) -> str | None:
    """Return a digest of the source of a design and of its bases outside effwb.

    Comments, docstrings and empty lines do not count, nor does code outside the class.

    Args:
        cls: A class of designs.

    Returns:
        The digest. None for a design of effwb, and where the source cannot be read.
    """
    if cls.__module__.startswith("effwb."):
        return None
    foreign = {"effwb", *sys.stdlib_module_names}
    own = [c for c in cls.__mro__ if c.__module__.partition(".")[0] not in foreign]
    texts = [_text(c) for c in own]
    return digest(texts) if any(texts) else None


def _text(cls: type) -> str | None:
    if cls not in _TEXTS:  # without the decorator
        file = getattr(sys.modules.get(cls.__module__), "__file__", None)
        return _text_at(file, cls.__name__) if file else None
    return _TEXTS[cls]


def _text_at(file: str, name: str, line: int | None = None) -> str | None:
    """The statement of a class in a file, without comments and docstrings; None if it is not there."""
    linecache.checkcache(file)  # a module may have been edited and reloaded
    lines = linecache.getlines(file)
    try:
        tree = ast.parse("".join(lines))
    except (SyntaxError, ValueError):
        return None
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name == name:
            start = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            end = node.end_lineno or start
            if line is None or start <= line <= end:
                left_out = _docstring_lines(node)
                kept = [lines[i - 1].rstrip() for i in range(start, end + 1) if i not in left_out]
                return textwrap.dedent("\n".join(t for t in kept if t and not t.lstrip().startswith("#")))
    return None


def _docstring_lines(tree: ast.AST) -> set[int]:
    nodes = [n for n in ast.walk(tree) if isinstance(n, ast.ClassDef | ast.FunctionDef)]
    first = [n.body[0] for n in nodes if ast.get_docstring(n, clean=False) is not None]
    return {i for statement in first for i in range(statement.lineno, (statement.end_lineno or 0) + 1)}
