"""Every run below a directory, whatever its state, against one frontier."""

import json
import math
import shutil
import time

import pytest

from effwb.analysis.catalogue import COLUMNS
from effwb.analysis.listing import COLUMNS as LISTING
from effwb.analysis.listing import INTERVALS, STATES, list_runs
from effwb.errors import ConfigError
from effwb.frontier import Frontier
from effwb.runs import RunDir
from tests.made_up import write_evaluation

SETTINGS = {"steps": 4}
DESIGN = {"name": "kimi", "weight": 0.5}


def write_training(folder, steps=4, done=True, seed=0):
    """A training without a model: its config.json, a row of metrics per step, its done marker."""
    run = RunDir(folder)
    (run.path / "train").mkdir(parents=True)
    identity = {"model": "pocket", "design": DESIGN, "settings": SETTINGS, "max_tokens": 64, "seed": seed}
    run.write_config({"train": {"identity": identity, "environment": {}}})
    rows = "".join(json.dumps({"step": i + 1}) + "\n" for i in range(steps))
    (run.path / "train/metrics.jsonl").write_text(rows)
    if done:
        (run.path / "train/DONE").write_text(json.dumps({"steps": steps, "design": {}}))
    return run.path


@pytest.fixture
def root(tmp_path):
    """Two evaluations that can be compared, one that cannot, a preview, and trainings in every state."""
    root = tmp_path / "runs"
    write_evaluation(root / "early")
    write_evaluation(root / "late", correct_at_10=0)
    write_evaluation(root / "others", ids=("c", "d", "e"))
    write_evaluation(write_training(root / "trained") / "eval", correct_at_10=0)
    write_training(root / "halfway", steps=2, done=False, seed=3)
    preview = write_evaluation(root / "preview")
    shutil.rmtree(preview / "probes")
    config = json.loads((preview / "config.json").read_text())
    RunDir(preview).write_config({"rollouts": config["rollouts"]})
    return root


def rows(listing):
    return listing.table.set_index("run")


def test_every_run_is_listed_once_with_its_state(root):
    table = rows(list_runs(root))
    assert table["kind"].to_dict() == {
        "early": "evaluation",
        "halfway": "training",
        "late": "evaluation",
        "others": "evaluation",
        "preview": "rollouts",
        "trained": "training",
    }
    assert table["state"].to_dict() == {
        **dict.fromkeys(("early", "late", "others", "preview", "trained"), "finished"),
        "halfway": "stopped",
    }
    assert table.loc["halfway", ["design", "parameters", "seed", "steps", "planned steps"]].tolist() == [
        *("kimi", "weight=0.5", 3, 2, 4)
    ]
    assert table.loc["trained", ["model", "steps", "problems", "samples"]].tolist() == ["pocket", 4, 2, 2]
    assert table["age"].between(0, 60).all()


def test_an_offline_training_counts_epochs_and_its_rows(tmp_path):
    """5 rows in batches of 2 are 3 updates of an epoch, and 6 of two."""
    run = RunDir(write_training(tmp_path / "pairs", steps=2, done=False))
    identity = {"model": "pocket", "design": {"name": "dpo_tops"}, "seed": 0, "max_tokens": 64}
    run.write_config({"train": {"identity": {**identity, "settings": {"epochs": 2, "batch_size": 2}}}})
    (run.path / "train/examples.json").write_text(json.dumps({"rows": 5}))
    row = rows(list_runs(tmp_path)).loc["pairs"]
    assert row[["design", "steps", "planned steps", "state"]].tolist() == ["dpo_tops", 2, 6, "stopped"]


def test_one_frontier_for_all_that_can_be_compared(root):
    """J is (0, 1, 1) or (0, 0, 1) at 0, 10, 20 tokens: areas 15 and 5."""
    listing = list_runs(root)
    table = rows(listing)
    assert (listing.frontier.area(20), listing.l_max) == (15, 20)
    assert table["REG"].dropna().to_dict() == {"early": 0.0, "late": 10.0, "trained": 10.0}
    assert table.loc["early", ["accuracy", "tokens"]].tolist() == [1.0, 15.0]
    assert table.loc["others", "note"].startswith("no REG: ")
    assert "6 runs: 5 finished, 1 stopped. REG to 20 tokens against the frontier of 3" in listing.caption()


def test_a_frontier_of_ones_own(root):
    best = Frontier([0, 10, 20], [1.0, 1.0, 1.0], name="perfect")
    table = rows(list_runs(root, best))
    assert table["REG"].dropna().to_dict() == {"early": 5.0, "late": 15.0, "others": 5.0, "trained": 15.0}
    chosen = list_runs(root, lambda runs: best)
    assert "against the perfect" in chosen.caption()


def test_a_run_that_is_held_runs(root):
    with RunDir(root / "halfway").lock():
        assert rows(list_runs(root)).loc["halfway", "state"] == "running"
    assert rows(list_runs(root)).loc["halfway", "state"] == "stopped"


def test_nothing_is_written(root):
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    list_runs(root)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


@pytest.mark.parametrize("what", ["config", "shard", "missing shard", "metrics marker"])
def test_damage_costs_one_row(root, what):
    if what == "config":
        (root / "late/config.json").write_text("{")
    elif what == "shard":
        (root / "late/probes/00000.parquet").write_bytes(b"PAR1")
    elif what == "missing shard":
        (root / "late/rollouts/00000.parquet").unlink()
    else:
        (root / "late/probes/DONE").write_text("{}")
    listing = list_runs(root)
    table = rows(listing)
    assert table.loc["late", "state"] == "damaged"
    assert table.loc["late", "note"]
    assert (table["state"] == "damaged").sum() == 1
    assert "1 damaged" in listing.caption()


def test_a_training_without_its_evaluation(root):
    shutil.rmtree(root / "trained/eval/probes")
    row = rows(list_runs(root)).loc["trained"]
    assert (row["state"], row["note"]) == ("stopped", "the training is finished, its evaluation is not")
    assert math.isnan(row["REG"])


def test_a_place_without_runs(tmp_path):
    with pytest.raises(ConfigError, match="no directory"):
        list_runs(tmp_path / "none")
    with pytest.raises(ConfigError, match="holds no run"):
        list_runs(tmp_path)


def test_the_columns_are_described(root):
    ends = [name + end for name in INTERVALS for end in (" low", " high")]
    assert set(list_runs(root).table) == {*LISTING, *ends}
    assert COLUMNS["ls"] is LISTING
    assert set(list_runs(root).table["state"]) <= set(STATES)


def test_a_run_of_long_ago_is_old(root):
    import os

    old = time.time() - 7200
    for path in (root / "early").rglob("*"):
        os.utime(path, (old, old))
    assert rows(list_runs(root)).loc["early", "age"] == pytest.approx(7200, abs=60)
