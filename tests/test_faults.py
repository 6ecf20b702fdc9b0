"""Kills at random moments and a full disk: nothing is lost, repeated or averaged over missing rows."""

import multiprocessing
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from pandas.testing import assert_frame_equal

from effwb import problems, profiles
from effwb.evaluation import evaluate
from effwb.runs import RunDir
from effwb.training import train

POCKET = profiles.profile("pocket").override(n_samples=3, shard_problems=2)
SETTINGS = dict(steps=8, problems_per_round=3, group_size=4, micro_batch=12, save_every=2, learning_rate=3e-4)
# kills per scenario; with the twelve of a sweep (test_sweep), a Ray worker and a rank these are over fifty
KILLS = {"evaluate": 24, "train": 16}


def run_evaluate(folder):
    from effwb.samplers import open_sampler

    with open_sampler("pocket", batch_rows=64) as sampler:
        few = problems.load("pocket", n=14, seed=7)
        evaluate(few, sampler, POCKET, run_dir=folder, budgets=[0, 4, 16, 64, 256], progress=False)


def run_train(folder):
    """Train a design with state and one with forced answers: all that a checkpoint has to hold."""
    easy = problems.load("pocket", 16, split="train")
    for design in ("lead", "reo_rl"):
        run_dir = Path(folder) / design
        train(design, easy, run_dir=run_dir, profile=POCKET, max_tokens=96, watch="none", **SETTINGS)


def same_evaluation(folder, whole):
    for table in ("rollouts", "probes"):
        rows, expected = (
            RunDir(where).read(table).drop(columns="verify_ms", errors="ignore") for where in (folder, whole)
        )
        assert not rows.duplicated(["problem_id", "sample", *(["budget"] if table == "probes" else [])]).any()
        assert_frame_equal(rows, expected)
    assert RunDir(folder).identity("probes") == RunDir(whole).identity("probes")


def same_training(folder, whole):
    from safetensors.numpy import load_file

    from effwb.training import read_metrics

    for design in ("lead", "reo_rl"):
        run, expected = (Path(where) / design for where in (folder, whole))
        rows, expected_rows = (read_metrics(p / "train/metrics.jsonl") for p in (run, expected))
        times = [column for column in expected_rows if column.startswith("time/")]
        assert_frame_equal(rows.drop(columns=times), expected_rows.drop(columns=times))
        weights, expected_weights = (load_file(p / "model/model.safetensors") for p in (run, expected))
        assert all(np.array_equal(weights[name], expected_weights[name]) for name in expected_weights)
        assert (run / "train/DONE").read_bytes() == (expected / "train/DONE").read_bytes()


SCENARIOS = {"evaluate": (run_evaluate, same_evaluation), "train": (run_train, same_training)}


@pytest.fixture(scope="module")
def children():
    """A context whose processes have everything imported and end with one signal."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        [
            "effwb.evaluation",
            "effwb.samplers.transformers.engine",
            "effwb.training.trainer",
            "effwb.training.progress",
        ]
    )
    return context


@pytest.mark.slow
@pytest.mark.parametrize("name", SCENARIOS)
def test_kills_at_random_moments(name, children, tmp_path, capsys):
    work, same = SCENARIOS[name]
    start = time.monotonic()
    work(tmp_path / "whole")
    longest = time.monotonic() - start
    rng, kills, runs = random.Random(name), 0, 0
    while kills < KILLS[name]:
        folder, ended = tmp_path / f"run{runs}", False
        while not ended:
            child = children.Process(target=work, args=(folder,))
            child.start()
            child.join(rng.uniform(0.1, 0.6) * longest)
            child.kill()
            child.join()
            ended = child.exitcode == 0
            assert child.exitcode in (0, -9), "the work itself failed"
            kills += not ended
        same(folder, tmp_path / "whole")
        runs += 1
    with capsys.disabled():
        print(f"\n{name}: {kills} kills survived in {runs} runs")  # noqa: T201


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 256 kB, and a function that enlarges it."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if not sys.platform.startswith("linux") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small file system needs Linux and root")
    yield folder, lambda: subprocess.run(["mount", "-o", "remount,size=200m", str(folder)], check=True)
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.long
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_full_disk(name, small_disk, tmp_path):
    work, same = SCENARIOS[name]
    folder, enlarge = small_disk
    (folder / "filler").write_bytes(b"0" * (170_000 if name == "evaluate" else 100_000))
    with pytest.raises(Exception, match=r"(?i)no space left|not enough|i/o error") as caught:
        work(folder / "run")
    assert not isinstance(caught.value, AssertionError)
    assert not [file for file in (folder / "run").rglob("DONE") if "lead" not in file.parts], "marked as done"
    enlarge()
    work(folder / "run")
    work(tmp_path / "whole")
    same(folder / "run", tmp_path / "whole")
