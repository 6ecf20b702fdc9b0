"""Rollouts of a model under a design before it is trained with it: a reward that is dead is seen here, before
an hour of training is spent on it.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from effwb.designs import Design, Group, reference_table
from effwb.errors import ConfigError
from effwb.evaluation import per_problem
from effwb.profiles import Profile
from effwb.prompts import Prompting, closing_id
from effwb.rollouts import sample


def preview(
    design: Design,
    problems,
    sampler,
    profile: Profile,
    *,
    run_dir: str | Path,
    n_problems: int = 32,
    seed: int = 0,
    reference: Mapping | None = None,
    progress: bool = True,
):
    """A DataFrame with a row per rollout of the first `n_problems`, sampled and rewarded as in training.

    Columns: `problem_id, sample, length, correct, finished, hint_tokens, empty, reward/<component>..., total,
    advantage, masked`; where advantages differ along a rollout, `advantage` is that of its end and
    `advantage, first` that of its beginning. `plots.reward_figure` draws it; `spread` sums it up. Groups are
    as large as in training.
    """
    design.check_cap(profile.max_tokens)
    profile = profile.as_in_training()
    asked, hints = problems.select(range(min(n_problems, len(problems)))), None
    prompting = profile.prompting()
    G = profile.training.group_size
    if design.hint:
        hints = design.draw_hints(np.random.default_rng(seed), asked["problem_id"][:])
        asked = asked.add_column("hint_tokens", hints.tolist())
        prompting = profile.prompting(hint="hint_tokens", hint_place=design.hint)
    how = {"seed": seed, "sampling": profile.sampling(), "progress": progress}
    if design.openings(G) is None:
        table = sample(asked, sampler, G, run_dir=run_dir, prompting=prompting, **how)
    else:
        table = _both_modes(design.openings(G), prompting, asked, sampler, Path(run_dir), how)
    return score(
        design,
        table,
        profile.max_tokens,
        reference=reference,
        hint_tokens_P=hints,
        closing=closing_id(sampler.tokenizer) if design.modes else None,
    )


def _both_modes(openings: list[str], prompting: Prompting, asked, sampler, run_dir: Path, how: dict):
    """Rollouts that begin as a design forces them to, those of one opening after those of the other."""
    import pandas as pd

    parts, before = [], 0
    for opening in dict.fromkeys(openings):
        n = openings.count(opening)
        forced = replace(prompting, opening=opening)
        table = sample(asked, sampler, n, run_dir=run_dir / opening, prompting=forced, **how)
        parts.append(table.assign(sample=table["sample"] + before))
        before += n
    order = {pid: k for k, pid in enumerate(asked["problem_id"])}
    both = pd.concat(parts, ignore_index=True)
    return both.iloc[np.lexsort((both["sample"], both["problem_id"].map(order)))].reset_index(drop=True)


def score(
    design: Design, rollouts, cap: int, *, reference: Mapping | None = None, hint_tokens_P=None, closing=None
):
    """What `design` makes of a rollout table: the columns of `preview`. `closing` is the id of the token that
    closes the thinking, for designs that ask whether a rollout thinks.
    """
    more = {"reference": reference, "hint_tokens_P": hint_tokens_P}
    if closing is not None:
        more["empty_PG"] = per_problem(rollouts, [ids[0] == closing for ids in rollouts["completion_ids"]])
    group = group_of(rollouts, cap, **more)
    parts = design.reward(group)
    total, advantage, mask = parts.pop("total"), design.advantage(group), design.mask(group)
    table = rollouts[["problem_id", "sample", "length"]].copy()
    table["correct"], table["finished"] = group.correct_PG.ravel(), group.finished_PG.ravel()
    if group.empty_PG is not None:
        table["empty"] = group.empty_PG.ravel()
    if hint_tokens_P is not None:
        table["hint_tokens"] = np.repeat(hint_tokens_P, group.G)
    for name, part in parts.items():
        table[f"reward/{name}"] = np.asarray(part).ravel()
    if advantage.ndim == 3:
        table["advantage, first"], advantage = advantage[..., 0].ravel(), advantage[..., -1]
    return table.assign(total=total.ravel(), advantage=advantage.ravel(), masked=~mask.ravel())


def group_of(rollouts, cap: int, **more) -> Group:
    """A rollout table (problems in order of appearance, samples in order) as one Group."""
    if rollouts.groupby("problem_id").size().nunique() != 1:
        raise ConfigError("every problem needs the same number of rollouts to form groups")
    finished = per_problem(rollouts, rollouts["finish_reason"] == "stop")
    correct = per_problem(rollouts, rollouts["verdict"] == "correct")
    length = per_problem(rollouts, rollouts["length"])
    return Group(correct, length, finished, cap, list(rollouts["problem_id"].drop_duplicates()), **more)


def reference_statistics(rollouts, cap: int) -> dict[str, dict[str, float]]:
    """Mean length and accuracy per problem of a frozen model's rollouts, for designs that compare with it."""
    return reference_table(group_of(rollouts, cap))


def spread(table) -> dict[str, float]:
    """A preview in numbers: how many groups teach nothing (all their advantages are 0), and what length is
    worth to right and wrong answers.

    `slope, right` and `slope, wrong` are the least-squares change of the reward per 100 tokens within groups.
    """
    groups = table.groupby("problem_id")["total"]
    paid = table.filter(like="advantage").abs().max(axis=1).groupby(table["problem_id"]).max()
    centred = table.assign(
        total=table["total"] - groups.transform("mean"),
        length=table["length"] - table.groupby(["problem_id", "correct"])["length"].transform("mean"),
    )
    return {
        "groups": groups.ngroups,
        "without spread": float((paid == 0).mean()),
        "mean spread": float(groups.std(ddof=0).mean()),
        "masked": float(table["masked"].mean()),
        "slope, right": _slope(centred[table["correct"]]),
        "slope, wrong": _slope(centred[~table["correct"]]),
    }


def _slope(rows) -> float:
    square = float((rows["length"] ** 2).sum())
    return 100 * float((rows["length"] * rows["total"]).sum()) / square if square else float("nan")
