"""The Python of the README, the tutorial and the guides runs as it is printed, at smaller sizes."""

import os
import re
import shlex
import subprocess
import sys
import types
from pathlib import Path

import pytest

from effwb import cli
from effwb.designs import DESIGNS
from effwb.designs.decorator import OWN
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
    monkeypatch.chdir(tmp_path)  # runs and figures go there
    registries = (DESIGNS, OWN, PRESETS, PROFILES, SAMPLERS, TEMPLATES)
    before = [dict(registry) for registry in registries]
    module = types.ModuleType("page_of_the_docs")  # a module, as the class of a design or an engine has one
    monkeypatch.setitem(sys.modules, module.__name__, module)
    try:
        exec(compile(code, page, "exec"), module.__dict__)
    finally:
        for registry, entries in zip(registries, before, strict=True):
            registry.clear()
            registry.update(entries)


COMMANDS = {  # command of the guide of designs -> arguments that make it small, in place of its own
    "papermill": ({}, ["-y", f"{{{TINY}, steps: 2, group_size: 2}}".replace("=", ": ")]),
    "effwb sweep": (
        {"vanilla,": "", "seed=0,1": "seed=0"},
        [w for v in (*TINY.split(", "), "steps=2", "group_size=2") for w in ("-p", v)],
    ),
    "effwb train": ({}, []),
}


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_of_the_guide_of_designs_run(command, tmp_path):
    """The files that the guide shows are written as they are printed, at smaller sizes."""
    text = (ROOT / "docs/guides/add-a-design.md").read_text(encoding="utf-8")
    assert cli.main(["init", str(tmp_path)]) == 0
    for name, content in re.findall(r'^```\w+ title="(.+?)"\n(.*?)^```', text, re.M | re.S):
        small = content.replace('{"steps": 60}', '{"steps": 2, "problems_per_round": 2, "group_size": 2}')
        (tmp_path / name).write_text(
            small.replace('"problems": ', '"n_problems": 4, "max_tokens": 48, "problems": ')
        )
    (block,) = re.findall(r"^```bash\n(.*?)^```", text, re.M | re.S)
    assert len(block.splitlines()) == len(COMMANDS)
    (line,) = (line for line in block.splitlines() if line.startswith(command))
    smaller, arguments = COMMANDS[command]
    for words, fewer in smaller.items():
        assert words in line
        line = line.replace(words, fewer)
    module, *rest = shlex.split(line)
    run = [sys.executable, "-m", {"effwb": "effwb.cli"}.get(module, module), *rest, *arguments]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1"}  # as the command: without the cwd
    done = subprocess.run(run, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert '"name": "length_price"' in next(tmp_path.glob("data/runs/**/train/../config.json")).read_text()


def test_every_guide_is_run():
    guides = {f"docs/guides/{path.name}" for path in (ROOT / "docs/guides").glob("*.md")}
    assert guides <= set(PAGES)
