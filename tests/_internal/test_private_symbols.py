"""Every private part of another library that effwb uses still exists, and only the seam modules use any.

A seam module is `effwb/_internal/private_<package>.py`. It lists what it uses in `BORROWED`, as dotted names
or as "module:Class.method".
"""

import ast
import importlib
from importlib.util import find_spec
from pathlib import Path

import pytest

import effwb

ROOT = Path(effwb.__file__).parent
SEAMS = sorted(path.stem for path in (ROOT / "_internal").glob("private_*.py"))
PACKAGES = {"torch", "transformers", "trl", "vllm", "accelerate"}


def package_of(seam: str) -> str:
    return seam.removeprefix("private_")


def resolve(symbol: str) -> object:
    """The object of a dotted name: the longest prefix that is a module, then attributes."""
    parts = symbol.replace(":", ".").split(".")
    for end in range(len(parts), 0, -1):
        try:
            value = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for name in parts[end:]:
            value = getattr(value, name)
        return value
    raise ModuleNotFoundError(symbol)


@pytest.mark.parametrize(
    "seam",
    [pytest.param(s, marks=pytest.mark.vllm if package_of(s) == "vllm" else ()) for s in SEAMS],
)
def test_every_borrowed_symbol_exists(seam):
    if find_spec(package_of(seam)) is None:
        pytest.skip(f"{package_of(seam)} is not installed")
    borrowed = importlib.import_module(f"effwb._internal.{seam}").BORROWED
    assert borrowed
    missing = []
    for symbol in borrowed:
        try:
            resolve(symbol)
        except (AttributeError, ModuleNotFoundError):
            missing.append(symbol)
    assert not missing, (
        f"{package_of(seam)} no longer has: {', '.join(missing)}; see effwb/_internal/{seam}.py"
    )


def test_a_missing_symbol_is_reported_by_its_name():
    assert resolve("pathlib:Path.exists") is Path.exists
    for symbol in ("pathlib.Path.no_such_method", "no_such_package.thing"):
        with pytest.raises((AttributeError, ModuleNotFoundError), match="no_such"):
            resolve(symbol)


def is_private(name: str) -> bool:
    return any(part.startswith("_") and not part.startswith("__") for part in name.split("."))


def private_uses(source: str) -> list[str]:
    """Private names of `PACKAGES` that a file imports, or reads from what it has imported."""
    tree, imported, uses = ast.parse(source), set(), []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names if alias.name.split(".")[0] in PACKAGES]
            imported |= {
                alias.asname or alias.name.split(".")[0] for alias in node.names if alias.name in names
            }
            uses += filter(is_private, names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in PACKAGES:
            imported |= {alias.asname or alias.name for alias in node.names}
            uses += filter(is_private, [f"{node.module}.{alias.name}" for alias in node.names])
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            dotted = ast.unparse(node)
            if dotted.split(".")[0] in imported:
                uses.append(dotted)
    return uses


@pytest.mark.parametrize(
    ("source", "uses"),
    [
        ("import torch\ntorch.ops.mkldnn._linear_pointwise(1)", ["torch.ops.mkldnn._linear_pointwise"]),
        ("from transformers import _x", ["transformers._x"]),
        ("from trl._y import z", ["trl._y.z"]),
        ("from vllm.platforms import current_platform as p\np._z", ["p._z"]),
        ("import torch\nself._x, torch.__version__", []),
    ],
)
def test_private_uses_are_seen(source, uses):
    assert private_uses(source) == uses


def test_only_seam_modules_use_private_names():
    files = [path for path in ROOT.rglob("*.py") if path.stem not in SEAMS]
    uses = {str(path.relative_to(ROOT)): private_uses(path.read_text()) for path in files}
    assert not {path: names for path, names in uses.items() if names}


def test_the_library_does_not_use_mock():
    assert not [path for path in ROOT.rglob("*.py") if "unittest.mock" in path.read_text()]
