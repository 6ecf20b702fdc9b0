"""LEAD in training: what it reports belongs to the step, and its weights survive a kill."""

import shutil

import numpy as np
import pytest

from effwb import problems
from effwb.errors import ConfigError, DataError
from effwb.runs import read_json, write_json
from tests.training.test_train import small, weights

LONG = dict(steps=4, save_every=2)
SNIPPET = """
from effwb import problems, profiles
from effwb.training import train
easy = problems.load("pocket", 16, split="train")
train("lead", easy, run_dir={run!r}, profile=profiles.profile("pocket"), steps=4, problems_per_round=2,
      group_size=4, micro_batch=8, max_tokens=96, save_every=2, watch="none")
"""
WEIGHT = "state/correctness_weight"


@pytest.fixture(scope="module")
def easy():
    return problems.load("pocket", 16, split="train")


@pytest.fixture(scope="module")
def whole(easy, tmp_path_factory):
    """A run that nobody killed."""
    return small("lead", easy, tmp_path_factory.mktemp("whole") / "r", **LONG)


def test_the_weights_reported_are_those_of_the_step(whole):
    table, weight = whole.metrics, 0.5
    for _, row in table.iterrows():
        weight = 0.95 * weight + 0.05 * row[f"{WEIGHT}/target"]
        assert row[f"{WEIGHT}/ema"] == pytest.approx(weight, abs=1e-12)
        assert row[f"{WEIGHT}/used"] == max(row[f"{WEIGHT}/ema"], 0.3)
        # the moments of the very step: correctness has the potential that its accuracy leaves
        assert row["state/potential/correctness"] == pytest.approx(1 - row["accuracy"])
        share = row["state/cv_share/correctness"] + row["state/cv_share/efficiency"]
        assert share == pytest.approx(1.0)
    assert whole.state["weights"][0] == table[f"{WEIGHT}/ema"].iloc[-1]
    assert whole.state["steps"] == 4
    spread = table[[f"state/target_length/{k}" for k in ("min", "mean", "max")]].dropna().to_numpy()
    assert (np.diff(spread, axis=1) >= 0).all()
    assert ((spread >= 12) & (spread <= 96)).all()  # 1000 and 8000 tokens at this cap


@pytest.mark.long
class TestKilled:
    @pytest.fixture
    def killed(self, tmp_path, run_until_killed):
        run = tmp_path / "r"
        reached = (run / "train/checkpoints/checkpoint-2/effwb.json").exists
        assert run_until_killed(SNIPPET.format(run=str(run)), reached), "it ended before the kill"
        return run

    def test_the_weights_go_on_where_they_were(self, easy, whole, killed):
        resumed = small("lead", easy, killed, **LONG)
        timeless = [c for c in whole.metrics if not c.startswith("time/")]
        assert resumed.metrics[timeless].equals(whole.metrics[timeless])
        assert resumed.state == whole.state
        for name, value in weights(whole).items():
            assert np.array_equal(value, weights(resumed)[name]), name

    def test_a_checkpoint_without_the_state_is_refused(self, easy, whole, killed):
        file = max(killed.glob("train/checkpoints/*/effwb.json"))
        saved = read_json(file, "")
        broken = {
            "design None": {k: v for k, v in saved.items() if k != "design"},
            "design 'gdpo'": {**saved, "design": {"design": "gdpo"}},
            r"keys \['steps'\]": {**saved, "design": {"design": "lead", "steps": 2}},
            "two numbers": {**saved, "design": {**saved["design"], "weights": [float("nan"), 0.5]}},
        }
        for said, content in broken.items():
            write_json(file, content)
            with pytest.raises(DataError, match=rf"effwb.json does not restore lead: .*{said}.*delete"):
                small("lead", easy, killed, **LONG)
        shutil.rmtree(file.parent)  # as the message says: the run goes on from what is left
        assert small("lead", easy, killed, **LONG).state == whole.state


def test_a_run_begins_with_a_given_state(easy, tmp_path):
    state = {"design": "lead", "weights": [0.1, 0.9], "steps": 40}
    result = small("lead", easy, tmp_path / "r", steps=1, save_every=1, state=state)
    assert result.state["steps"] == 41
    assert result.metrics[f"{WEIGHT}/used"].tolist() == [0.3]
    assert result.metrics[f"{WEIGHT}/ema"].iloc[0] < 0.3


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"design_params": {"mode": "max_sim"}}, ConfigError, "Did you mean 'max_sym'"),
        ({"design_params": {"b_min": 200}}, ConfigError, r"b_min=200 must be at most b_max=96"),
        ({"design_params": {"static": -0.5}}, ConfigError, r"static=-0.5 must be a number in \[0, 1\]"),
        ({"design_params": {"rule": "group", "weighting": "token"}}, ConfigError, "weighting='token'"),
        ({"state": {"design": "hapo", "minima": {}}}, DataError, "state of design 'hapo', not of 'lead'"),
        ({"state": {"design": "lead"}}, DataError, r"has keys \[\], expected"),
        ({"group_size": 1}, ConfigError, "group_size=1"),
    ],
)
def test_refused_before_the_first_step(easy, tmp_path, settings, error, message):
    with pytest.raises(error, match=message):
        small("lead", easy, tmp_path / "r", **settings)
    assert not (tmp_path / "r").exists()
