"""What a design would make of a model's rollouts: shows a dead reward before hours are spent on training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from effwb import prompts
from effwb._internal.checked import checked_arguments
from effwb.designs import Design, Group, reference_table
from effwb.errors import ConfigError
from effwb.evaluation import per_problem
from effwb.probes import Prober, ProbeTarget
from effwb.profiles import Profile
from effwb.prompts import Prompting, closing_id
from effwb.rollouts import problems_of, sample
from effwb.samplers import Sampler
from effwb.training.forced_answers import Outcome, probe_cuts, with_probes
from effwb.training.rounds import PromptBatch, Round

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset


@checked_arguments(design=Design, profile=Profile)
def preview(
    design: Design,
    problems: Dataset,
    sampler: Sampler,
    profile: Profile,
    *,
    run_dir: str | Path,
    n_problems: int = 32,
    seed: int = 0,
    reference: Mapping | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Sample a few groups as in training and score them with a design.

    `plots.reward_figure` draws the table, `spread` sums it up. A design that rewards forced answers gets them
    from the same rollouts, stopped where it stops them in training.

    Args:
        design: The design, at the scale of the profile's cap.
        problems: The training problems, of which the first are used.
        sampler: An open sampler.
        profile: The profile; its training settings give the group size and the temperature.
        run_dir: Where the rollouts are kept.
        n_problems: How many problems.
        seed: Seed of the rollouts and of drawn length hints.
        reference: {problem id: {"length", "accuracy"}} of a frozen model, for designs that need it.
        progress: Whether to show the progress.

    Returns:
        A row per rollout, see `score`.

    Raises:
        ConfigError: If the design belongs to another cap.
    """
    design.check_cap(profile.max_tokens)
    profile, G = profile.as_in_training(), profile.training.group_size
    few = problems.select(range(min(n_problems, len(problems))))
    prompting = profile.prompting()
    options: dict[str, Any] = {"seed": seed, "sampling": profile.sampling(), "progress": progress}
    hints, openings = None, design.openings(G)
    if design.hint:
        hints = design.draw_hints(np.random.default_rng(seed), few["problem_id"][:])
        few = few.add_column("hint_tokens", hints.tolist())
        prompting = profile.prompting(hint="hint_tokens", hint_place=design.hint)
    if openings is None:
        table = sample(few, sampler, G, run_dir=run_dir, prompting=prompting, **options)
    else:
        table = _sample_with_openings(openings, prompting, few, sampler, Path(run_dir), options)
    if design.probes and openings is None:
        group = _probed_group(design, table, sampler, profile, Path(run_dir), hints, reference)
        return _reward_table(design, group, table)
    closing = closing_id(sampler.tokenizer) if design.modes else None
    return score(design, table, profile.max_tokens, reference=reference, hint_tokens_P=hints, closing=closing)


def _probed_group(
    design: Design,
    rollouts: pd.DataFrame,
    sampler: Sampler,
    profile: Profile,
    run_dir: Path,
    hint_tokens_P: np.ndarray | None,
    reference: Mapping | None,
) -> Group:
    """The rollouts with the answers that the design forces in training, as one `Group`."""
    problems, decode, cap = problems_of(run_dir), sampler.tokenizer.decode, profile.max_tokens
    opened = list(map(prompts.opens_thinking, problems["prompt"], problems["question"]))
    ids, golds, prompt_ids = (problems[name].tolist() for name in ("problem_id", "answer", "prompt_ids"))
    batch = PromptBatch(list(range(len(problems))), ids, golds, prompt_ids, opened, hint_tokens_P)
    rollouts_per_problem = len(rollouts) // len(problems)
    outcomes, points, targets = [], [], []
    for r, row in enumerate(rollouts.itertuples()):
        p, tokens = r // rollouts_per_problem, list(row.completion_ids)
        budgets, cuts = probe_cuts(design, row.problem_id, tokens, row.finish_reason, cap, decode)
        outcomes.append(Outcome(row.verdict == "correct", row.finish_reason == "stop", row.length))
        points.append(budgets)
        targets.append(ProbeTarget(list(prompt_ids[p]), tokens, opened[p], cuts))
    suffix = prompts.forced_suffix(prompts.template(profile.template))
    answers = Prober(sampler.tokenizer, suffix, profile.answer_tokens).answers(sampler, targets)
    golds_of_rollouts = [gold for gold in golds for _ in range(rollouts_per_problem)]
    timeout = profile.sampling().verify_timeout
    probed = with_probes(design, outcomes, points, answers, golds_of_rollouts, timeout)
    return Round(0, batch, rollouts_per_problem, outcomes=dict(enumerate(probed))).group(cap, reference)


def _sample_with_openings(
    openings: list[str],
    prompting: Prompting,
    problems: Dataset,
    sampler: Sampler,
    run_dir: Path,
    options: dict[str, Any],
) -> pd.DataFrame:
    """Rollouts that begin as a design forces them to; in each group, those of one opening come first."""
    import pandas as pd

    parts, count = [], 0
    for opening in dict.fromkeys(openings):
        n = openings.count(opening)
        forced = replace(prompting, opening=opening)
        table = sample(problems, sampler, n, run_dir=run_dir / opening, prompting=forced, **options)
        parts.append(table.assign(sample=table["sample"] + count))
        count += n
    order = {pid: k for k, pid in enumerate(problems["problem_id"])}
    table = pd.concat(parts, ignore_index=True)
    return table.iloc[np.lexsort((table["sample"], table["problem_id"].map(order)))].reset_index(drop=True)


def score(
    design: Design,
    rollouts: pd.DataFrame,
    cap: int,
    *,
    reference: Mapping | None = None,
    hint_tokens_P: np.ndarray | None = None,
    closing: int | None = None,
) -> pd.DataFrame:
    """Rewards and advantages of a rollout table under a design.

    Args:
        design: The design.
        rollouts: Rollouts with equally many per problem.
        cap: Tokens a completion could have.
        reference: {problem id: {"length", "accuracy"}} of a frozen model, for designs that need it.
        hint_tokens_P: The length in tokens that each prompt asked for, (P,).
        closing: Id of the token that closes the thinking, for designs with modes.

    Returns:
        A row per rollout: `problem_id, sample, length, correct, finished, hint_tokens, empty,
        reward/<component>..., total, advantage, masked`. Where advantages differ along a rollout, `advantage`
        is that of its end and `advantage, first` that of its beginning.

    Raises:
        ConfigError: If problems have different numbers of rollouts.
    """
    options: dict[str, Any] = {"reference": reference, "hint_tokens_P": hint_tokens_P}
    if closing is not None:
        options["empty_PG"] = per_problem(rollouts, [ids[0] == closing for ids in rollouts["completion_ids"]])
    return _reward_table(design, group_of(rollouts, cap, **options), rollouts)


def _reward_table(design: Design, group: Group, rollouts: pd.DataFrame) -> pd.DataFrame:
    """A row per rollout of a group, see `score`."""
    parts = design.reward(group)
    total, advantage, mask = parts.pop("total"), design.advantage(group), design.mask(group)
    table = rollouts[["problem_id", "sample", "length"]].copy()
    table["correct"], table["finished"] = group.correct_PG.ravel(), group.finished_PG.ravel()
    if group.empty_PG is not None:
        table["empty"] = group.empty_PG.ravel()
    if group.hint_tokens_P is not None:
        table["hint_tokens"] = np.repeat(group.hint_tokens_P, group.G)
    for name, part in parts.items():
        table[f"reward/{name}"] = np.asarray(part).ravel()
    if advantage.ndim == 3:
        table["advantage, first"], advantage = advantage[..., 0].ravel(), advantage[..., -1]
    return table.assign(total=total.ravel(), advantage=advantage.ravel(), masked=~mask.ravel())


def group_of(rollouts: pd.DataFrame, cap: int, **arrays) -> Group:
    """A rollout table as one `Group`: problems in order of appearance, samples in order.

    Args:
        rollouts: Rollouts with equally many per problem.
        cap: Tokens a completion could have.
        **arrays: Further arguments of `Group`.

    Raises:
        ConfigError: If problems have different numbers of rollouts.
    """
    if rollouts.groupby("problem_id").size().nunique() != 1:
        raise ConfigError("every problem needs the same number of rollouts to form groups")
    finished = per_problem(rollouts, rollouts["finish_reason"] == "stop")
    correct = per_problem(rollouts, rollouts["verdict"] == "correct")
    length = per_problem(rollouts, rollouts["length"])
    return Group(correct, length, finished, cap, list(rollouts["problem_id"].drop_duplicates()), **arrays)


def reference_statistics(rollouts: pd.DataFrame, cap: int) -> dict[str, dict[str, float]]:
    """Mean length and accuracy per problem of a frozen model, for designs that compare with it.

    Args:
        rollouts: The frozen model's rollouts, equally many per problem.
        cap: Tokens a completion could have.

    Returns:
        {problem id: {"length": tokens, "accuracy": share}}; a truncated rollout counts as wrong.
    """
    return reference_table(group_of(rollouts, cap))


def spread(table: pd.DataFrame) -> dict[str, float]:
    """A preview in numbers: how many groups teach nothing, and what length is worth.

    Args:
        table: From `preview` or `score`.

    Returns:
        `groups`; `without spread`, the share of groups in which every advantage is 0; `mean spread`, the mean
        standard deviation of the rewards of a group; `masked`, a share; `slope, right` and `slope, wrong`,
        the least-squares change of the reward per 100 tokens within groups, for correct and wrong rollouts.
    """
    groups = table.groupby("problem_id")["total"]
    largest = table.filter(like="advantage").abs().max(axis=1).groupby(table["problem_id"]).max()
    centred = table.assign(
        total=table["total"] - groups.transform("mean"),
        length=table["length"] - table.groupby(["problem_id", "correct"])["length"].transform("mean"),
    )
    return {
        "groups": groups.ngroups,
        "without spread": float((largest == 0).mean()),
        "mean spread": float(groups.std(ddof=0).mean()),
        "masked": float(table["masked"].mean()),
        "slope, right": _slope(centred[table["correct"]]),
        "slope, wrong": _slope(centred[~table["correct"]]),
    }


def _slope(rows: pd.DataFrame) -> float:
    square = float((rows["length"] ** 2).sum())
    return 100 * float((rows["length"] * rows["total"]).sum()) / square if square else float("nan")
