"""Lists of names, and the completion of every shell."""

import os
import shutil
import subprocess
import sys

import pytest

from effwb.cli import main
from effwb.cli.completion import SHELLS, parameters
from effwb.designs import DESIGNS
from effwb.frontier import MODELS
from effwb.profiles import PROFILES
from effwb.samplers import SAMPLERS
from effwb.training.offline_methods import OFFLINE_METHODS


def test_designs(capsys):
    assert main(["designs"]) == 0
    first, second = capsys.readouterr().out.split("\nThese learn from stored rollouts, without rewards:\n\n")
    assert [line.split()[0] for line in first.splitlines()] == ["design", *DESIGNS]
    assert [line.split()[0] for line in second.splitlines()] == ["offline", *OFFLINE_METHODS]
    assert main(["designs", "kimi"]) == 0
    out = capsys.readouterr().out
    assert "lambda_i = 0.5" in out
    assert "weight = 0.4" in out
    assert main(["designs", "kmi"]) == 2
    assert "Did you mean 'kimi'?" in capsys.readouterr().err


@pytest.mark.parametrize("name", [*DESIGNS, *OFFLINE_METHODS])
def test_every_design_can_be_printed(name, capsys):
    assert main(["designs", name]) == 0
    assert capsys.readouterr().out.startswith(f"{name}\n\n")


def test_profiles_and_engines(capsys):
    assert main(["profiles"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["profile", *PROFILES]
    assert main(["profiles", "pocket"]) == 0
    assert "training.steps = 60\n" in capsys.readouterr().out
    assert main(["engines"]) == 0
    out = capsys.readouterr().out
    assert all(f"evaluation  {engine}" in out for engine in SAMPLERS)


def test_columns(capsys):
    assert main(["columns"]) == 0
    out = capsys.readouterr().out
    assert all(f"\n{table}: " in f"\n{out}" for table in ("rollouts", "probes", "runs", "ls"))
    assert main(["columns", "probes"]) == 0
    assert "\n  budget         tokens of reasoning" in capsys.readouterr().out


def complete(line, tmp_path, shell="bash"):
    """What a shell is offered at the end of a line."""
    answer = tmp_path / "answer"
    point = {"COMP_LINE": line, "COMP_POINT": str(len(line)), "_ARGCOMPLETE_SHELL": shell}
    environment = {**os.environ, **point, "_ARGCOMPLETE": "1", "_ARGCOMPLETE_IFS": "\n"}
    environment |= {"_ARGCOMPLETE_STDOUT_FILENAME": str(answer), "_ARGCOMPLETE_COMP_WORDBREAKS": " "}
    command = [sys.executable, "-c", "from effwb.cli import main; main()"]
    subprocess.run(command, env=environment, check=False, timeout=60)
    return [word.strip() for word in answer.read_text().split("\n") if word]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("effwb comp", ["compare", "completion"]),
        ("effwb eval --profile qwen3", [name for name in PROFILES if name.startswith("qwen3")]),
        ("effwb sweep n.ipynb -a design=lapo", ["design=lapo_discovery", "design=lapo_internalization"]),
        ("effwb reg runs --frontier qwen3-", [name for name in MODELS if name.startswith("qwen3-")]),
        ("effwb ls --re", ["--reverse"]),
    ],
)
def test_what_is_offered(line, words, tmp_path):
    assert sorted(complete(line, tmp_path)) == sorted(words)


def test_parameters_before_the_equals_sign():
    assert "design=" in parameters("des")
    assert list(parameters("steps=2")) == []


def test_the_last_of_several_values_is_completed():
    assert "design=lead,kimi" in parameters("design=lead,ki")
    assert parameters("profile=poc") == [f"profile={name}" for name in PROFILES]
    assert parameters("eval_engine=v") == [f"eval_engine={name}" for name in SAMPLERS]
    assert "recipe=paper" in parameters("recipe=")


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_has_a_script(shell, capsys):
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "effwb" in script
    assert "_ARGCOMPLETE" in script


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes(tmp_path):
    """The script in a real shell: what the Tab key fills COMPREPLY with."""
    (tmp_path / "effwb").write_text(f'#!/bin/sh\nexec {sys.executable} -m effwb.cli "$@"\n')
    (tmp_path / "effwb").chmod(0o755)
    lines = (
        'eval "$(effwb completion bash)"',
        'COMP_LINE="effwb designs lapo_d" COMP_POINT=20 COMP_TYPE=9',
        "_python_argcomplete effwb lapo_d designs",
        'echo "${COMPREPLY[@]}"',
    )
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": os.getcwd()}
    done = subprocess.run(
        ["bash", "-c", "\n".join(lines)], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.split() == ["lapo_discovery"], done.stderr
