"""Previews of designs that reward forced answers: the answers are those that probing the rollouts gives."""

import numpy as np
import pandas as pd
import pytest

from effwb import Point, Study, profiles
from effwb.designs import Group
from effwb.evaluation import per_problem
from effwb.probes import Probing, probe
from effwb.rollouts import read_rollouts

TINY = profiles.profile("pocket", n_problems=7, n_samples=2, max_tokens=64)
TRAINING = dict(steps=2, problems_per_round=2, group_size=4, save_every=2, n_problems=4)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    root = tmp_path_factory.mktemp("preview")
    return Study.open(TINY, run_root=root, figures_dir=root, training=TRAINING)


def test_the_rewards_are_those_of_the_forced_answers(study, pocket):
    point = Point("reo_rl", {"budgets": [8, 16, 32]})
    table = study.preview(point)
    assert study.preview_dir(point).name == "preview-64x4"  # shared with every design of these prompts
    rollouts = read_rollouts(study.preview_dir(point))
    budgets = [8, 16, 32, 64]
    options = dict(run_dir=study.preview_dir(point), probing=Probing(TINY.answer_tokens), progress=False)
    probes = probe(rollouts, pocket, budgets, **options)
    verdicts = rollouts[["problem_id", "sample", "length", "finish_reason", "verdict"]].copy()
    for budget in budgets:
        forced = probes[probes["budget"] == budget].set_index(["problem_id", "sample"])["verdict"]
        index = pd.MultiIndex.from_frame(rollouts[["problem_id", "sample"]])
        answers = pd.Series(forced.reindex(index).to_numpy())  # none where it ended by itself before
        verdicts[budget] = (answers.fillna(verdicts["verdict"]) == "correct").to_numpy()
    correct, *probed = (per_problem(rollouts, verdicts[b]) for b in (64, 8, 16, 32))
    finished = per_problem(rollouts, rollouts["finish_reason"] == "stop")
    group = Group(
        correct.astype(bool),
        per_problem(rollouts, rollouts["length"]),
        finished.astype(bool),
        64,
        list(rollouts["problem_id"].drop_duplicates()),
        probe_budgets_K=[8, 16, 32],
        probe_correct_PGK=np.stack(probed, axis=-1).astype(bool),
    )
    design = study.run_settings(point).design
    assert np.allclose(table["total"], design.reward(group)["total"].ravel())
    assert np.allclose(table["advantage"], design.advantage(group)[..., -1].ravel())
    assert table["total"].nunique() > 1


@pytest.mark.parametrize("design", ["mrt", "brpo"])
def test_every_design_that_probes_has_a_preview(study, design):
    table = study.preview(Point(design))
    assert len(table) == 16
    assert np.isfinite(table[["total", "advantage"]]).all().all()


def test_a_second_stage_is_previewed_from_the_first(study, tmp_path):
    point = Point.with_stages("lapo_internalization")
    table = study.preview(point, seed=3)
    first = study.run_root / "lapo_discovery-seed3"
    assert (first / "train/DONE").exists()
    folder = study.preview_dir(point, 3)
    assert folder.name == "preview-lapo_internalization-after_lapo_discovery-seed3-64x4"
    from effwb.training.record import done_marker

    lengths = done_marker(first / "train")["design"]["lengths"]
    asked = table.groupby("problem_id")["hint_tokens"].first().to_dict()
    assert asked == {problem: max(1, int(n)) if n else 64 for problem, n in lengths.items()}
