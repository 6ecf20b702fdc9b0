"""The verdict at the cap of designs that reward forced answers: worked numbers, and what is refused."""

import numpy as np
import pytest

from effwb.designs import DESIGNS, make_design, toy_group
from effwb.designs.forced import ForcedAnswers
from effwb.errors import ConfigError

CAP, BUDGETS = 1024, [256, 512]
FORCING = ("reo_rl", "brpo", "mrt")
each = pytest.mark.parametrize("name", FORCING)
pytestmark = pytest.mark.filterwarnings("error")

# Verdicts at 256, at 512 and at the cap: a finished rollout that is right, one that is wrong, a truncated one
# whose forced answer is right, a truncated one whose forced answer is wrong.
R = np.array([[0, 1, 1], [0, 0, 0], [0, 0, 1], [1, 0, 0]])
# The numbers below are worked from the equations in the docstrings by a script that does not use effwb.
REO_RL = {
    "forced": [
        [1.540308, 1.588203, 1.0],
        [-1.260252, -0.855186, -1.0],
        [-0.140028, 0.122169, 1.0],
        [-0.140028, -0.855186, -1.0],
    ],
    "own": [
        [1.588203, 1.732051, 1.732051],
        [-0.855186, -0.57735, -0.57735],
        [-0.855186, -0.57735, -0.57735],
        [0.122169, -0.57735, -0.57735],
    ],
}
BRPO = {
    "forced": [
        [0.333333, 0.5, 0.12963],
        [-0.333333, -0.166667, -0.055556],
        [0.0, 0.166667, 0.277778],
        [0.0, -0.388889, -0.12963],
    ],
    "own": [
        [0.416667, 0.555556, 0.157407],
        [-0.25, -0.111111, -0.027778],
        [-0.25, -0.111111, -0.027778],
        [0.083333, -0.333333, -0.101852],
    ],
}
MRT = {
    "forced": [[0.0, 1.019048, -0.679365], [0.0, -1.019048, 0.679365]],
    "own": [[0.0, 1.479657, -0.261116], [0.0, -0.609271, -0.609271]],
}


def probed():
    return toy_group(
        [900, 800, CAP, CAP],
        R[:, -1],
        finished=[1, 1, 0, 0],
        cap=CAP,
        probe_budgets_K=BUDGETS,
        probe_correct_PGK=R[None, :, :-1],
    )


@pytest.mark.parametrize("at_cap", ["forced", "own"])
def test_reo_rl_and_brpo(at_cap):
    for name, expected in (("reo_rl", REO_RL), ("brpo", BRPO)):
        design = make_design(name, cap=CAP, budgets=BUDGETS, at_cap=at_cap)
        np.testing.assert_allclose(design.advantage(probed())[0], expected[at_cap], atol=1e-6)


@pytest.mark.parametrize(("at_cap", "outcome", "progress"), [("forced", 0, 1), ("own", 0, 0)])
def test_mrt_forces_its_progress_but_not_its_outcome(at_cap, outcome, progress):
    group = toy_group(
        [30, 40], [1, 1], finished=[1, 0], cap=40, probe_budgets_K=[[[0, 10], [0, 10]]],
        probe_correct_PGK=[[[0, 1], [0, 0]]],
    )  # fmt: skip
    design = make_design("mrt", at_cap=at_cap)
    parts = design.reward(group)
    assert parts["outcome"][0].tolist() == [0.2, outcome]
    assert parts["progress"][0].tolist() == [1, progress]
    np.testing.assert_allclose(design.advantage(group)[0], MRT[at_cap], atol=1e-6)


@each
def test_where_all_rollouts_end_the_readings_agree(name):
    group = toy_group(
        [900] * 4, R[:, -1], cap=CAP, probe_correct_PGK=R[None, :, :-1],
        probe_budgets_K=BUDGETS if name != "mrt" else [[BUDGETS] * 4],
    )  # fmt: skip
    params = {"cap": CAP} if name == "mrt" else {"cap": CAP, "budgets": BUDGETS}
    forced, own = (make_design(name, at_cap=a, **params).advantage(group) for a in ("forced", "own"))
    np.testing.assert_array_equal(forced, own)


@each
def test_the_default_is_the_papers_and_older_runs_are_own(name):
    design = make_design(name)
    assert design.at_cap == "forced"
    assert design.forces_at_cap
    assert not make_design(name, at_cap="own").forces_at_cap
    assert design.ADDED_PARAMETERS == {"whiten": False, "at_cap": "own"}
    assert make_design(name, at_cap="own").at_scale(CAP).at_cap == "own"
    with pytest.raises(ConfigError, match=r"at_cap 'forcd'.*Did you mean 'forced'"):
        make_design(name, at_cap="forcd")


@each
def test_graded_is_refused_and_names_the_switch(name):
    with pytest.raises(ConfigError, match=rf"{name}: truncated='graded'.*'wrong' or 'masked'.*at_cap"):
        make_design(name, truncated="graded")


@each
def test_a_masked_rollout_has_no_advantage_in_either_reading(name):
    group = probed()
    if name == "mrt":
        group = toy_group(
            [900, 800, CAP, CAP], R[:, -1], finished=[1, 1, 0, 0], cap=CAP,
            probe_budgets_K=[[BUDGETS] * 4], probe_correct_PGK=R[None, :, :-1],
        )  # fmt: skip
    params = {"cap": CAP} if name == "mrt" else {"cap": CAP, "budgets": BUDGETS}
    for at_cap in ("forced", "own"):
        advantage = make_design(name, at_cap=at_cap, truncated="masked", **params).advantage(group)
        assert not advantage[0, 2:].any()
        assert advantage[0, :2].any()


def test_every_design_with_probes_has_the_switch_and_no_other_forces():
    probing = {name for name, cls in DESIGNS.items() if cls.probes}
    assert probing == set(FORCING) == {n for n, cls in DESIGNS.items() if issubclass(cls, ForcedAnswers)}
    for name in set(DESIGNS) - probing:
        assert not make_design(name).forces_at_cap, name
