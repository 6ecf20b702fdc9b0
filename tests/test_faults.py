"""Kills at random moments and a full disk: nothing is lost, done twice or averaged over what is missing."""

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
    """A design with state, and a forced answer at every budget: all that a checkpoint has to hold."""
    easy = problems.load("pocket", 16, split="train")
    for design in ("lead", "reo_rl"):
        more = dict(run_dir=Path(folder) / design, profile=POCKET, max_tokens=96, watch="none")
        train(design, easy, **more, **SETTINGS)


def same_evaluation(folder, whole):
    for table in ("rollouts", "probes"):
        mine, theirs = RunDir(folder).read(table), RunDir(whole).read(table)
        assert not mine.duplicated(["problem_id", "sample", *(["budget"] if table == "probes" else [])]).any()
        assert_frame_equal(
            mine.drop(columns="verify_ms", errors="ignore"), theirs.drop(columns="verify_ms", errors="ignore")
        )


def same_training(folder, whole):
    from safetensors.numpy import load_file

    from effwb.training import read_metrics

    for design in ("lead", "reo_rl"):
        both = [Path(where) / design for where in (folder, whole)]
        mine, theirs = (read_metrics(one / "train/metrics.jsonl") for one in both)
        timed = [column for column in theirs if column.startswith("time/")]
        assert_frame_equal(mine.drop(columns=timed), theirs.drop(columns=timed))
        first, second = (load_file(one / "model/model.safetensors") for one in both)
        assert all(np.array_equal(first[name], second[name]) for name in second)
        assert (both[0] / "train/DONE").read_bytes() == (both[1] / "train/DONE").read_bytes()


SCENARIOS = {"evaluate": (run_evaluate, same_evaluation), "train": (run_train, same_training)}


@pytest.fixture(scope="module")
def children():
    """Processes that have everything imported and are gone with one signal."""
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
    begun = time.monotonic()
    work(tmp_path / "whole")
    longest = time.monotonic() - begun
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
    """A file system of 256 kB, and how to give it more."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if not sys.platform.startswith("linux") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small file system needs Linux and root")
    yield folder, lambda: subprocess.run(["mount", "-o", "remount,size=200m", str(folder)], check=True)
    subprocess.run(["umount", "-l", str(folder)], check=True)


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
