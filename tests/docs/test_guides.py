"""The Python of the README, the tutorial and the guides runs as it is printed, at smaller sizes."""

import re
import sys
import types
from pathlib import Path

import pytest

from effwb import notebook
from effwb.designs import DESIGNS
from effwb.problems import PRESETS
from effwb.profiles import PROFILES
from effwb.prompts import TEMPLATES
from effwb.samplers import SAMPLERS

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]
TINY = "n_problems=14, n_samples=2, max_tokens=48"
TRAINING = "steps=2, n_problems=16, problems_per_round=2, group_size=2, micro_batch=4"
PAGES = {  # page -> (text on the page, smaller one for the test); each text must be there
    "README.md": [
        ('prefix="readme", training={"steps": 60}', f'prefix="readme", {TINY}, training=dict({TRAINING})'),
        ("seeds=[0, 1, 2]", "seeds=[0]"),
        (".at(128)", ".at(48)"),
        (".show()", ""),
    ],
    "docs/tutorial.md": [
        ("training=dict(steps=60)", f"{TINY}, training=dict({TRAINING})"),
        ("seeds=[0, 1, 2])", "seeds=[0])"),
    ],
    "docs/guides/add-a-design.md": [
        ("training=dict(steps=60)", f"{TINY}, training=dict({TRAINING})"),
        ("seeds=[0, 1, 2]", "seeds=[0]"),
        ('    Point("kimi", {"weight": 0.5}),\n', ""),
    ],
    "docs/guides/add-a-problem-source.md": [
        ("n_problems=20)", "n_problems=14, n_samples=2, max_tokens=48)"),
        ("training=dict(steps=60, n_problems=48)", f"training=dict({TRAINING})"),
    ],
    "docs/guides/offline-baselines.md": [
        ("training=dict(n_problems=512)", f"{TINY}, training=dict({TRAINING})"),
        ("seeds=[0, 1, 2]", "seeds=[0]"),
    ],
    "docs/guides/add-an-engine.md": [("max_tokens=64", "max_tokens=24")],
    "docs/guides/add-a-model.md": [
        ("n_problems=70,", "n_problems=14,"),
        ("n_samples=4,", "n_samples=2,"),
        ("max_tokens=512,", "max_tokens=48,"),
        ("[0, 64, 512]", "[0, 24, 48]"),
        ("steps=60", TRAINING),
    ],
}


def python_of(page: str) -> str:
    """The fenced Python blocks of a page, joined."""
    return "\n".join(
        re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(encoding="utf-8"), re.M | re.S)
    )


@pytest.mark.parametrize("page", PAGES)
def test_the_python_of_a_page_runs(page, tmp_path, monkeypatch):
    code = python_of(page)
    for text, smaller in PAGES[page]:
        assert text in code, f"{page} no longer has {text!r}"
        code = code.replace(text, smaller)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(notebook, "repo_root", lambda: tmp_path)  # runs and figures go there
    registries = (DESIGNS, PRESETS, PROFILES, SAMPLERS, TEMPLATES)
    before = [dict(registry) for registry in registries]
    module = types.ModuleType("page_of_the_docs")  # a module, as the class of a design or an engine has one
    monkeypatch.setitem(sys.modules, module.__name__, module)
    try:
        exec(compile(code, page, "exec"), module.__dict__)
    finally:
        for registry, entries in zip(registries, before, strict=True):
            registry.clear()
            registry.update(entries)


def test_every_guide_is_run():
    guides = {f"docs/guides/{path.name}" for path in (ROOT / "docs/guides").glob("*.md")}
    assert guides <= set(PAGES)
