"""The rules on small pools whose choices and numbers were worked out by hand from the papers."""

import pickle

import numpy as np
import pandas as pd
import pytest

from effwb.errors import ConfigError, DataError
from effwb.training import pairs
from effwb.training.offline_methods import OFFLINE_METHODS
from effwb.training.selections import EXAMPLE_COLUMNS, PAIR_COLUMNS

CAP = 4096
# Lengths, and the verdicts: "c" correct, "w" wrong, "t" the right answer, but cut off at the cap
POOL = {
    "easy": ([500, 520, 700, 700], "cccc"),
    "mixed": ([600, 900, 1500, 300, 2000, 4000], "cccwww"),
    "hard": ([400, 1000, 3000, 4096], "wwwt"),
    "lucky": ([3500, 100, 200], "cww"),
}
EFFORTS = ("high", "low", "medium")
NO_PAIR = "without two rollouts of the same verdict that differ enough"


def pool(problems=POOL, **columns):
    """A rollout table from lengths and verdicts by problem."""
    rows = [
        (pid, sample, length, verdict)
        for pid, (lengths, verdicts) in problems.items()
        for sample, (length, verdict) in enumerate(zip(lengths, verdicts, strict=True))
    ]
    table = pd.DataFrame(rows, columns=["problem_id", "sample", "length", "mark"])
    return table.assign(
        verdict=table["mark"].map({"c": "correct", "t": "correct", "w": "wrong"}),
        finish_reason=table["mark"].map({"c": "stop", "t": "length", "w": "stop"}),
        completion_ids=[[row] for row in range(len(table))],
        **columns,
    ).drop(columns="mark")


def efforts_pool():
    """The pool under three effort prompts: "low" takes half the tokens, "high" twice as many."""
    tables = {effort: pool() for effort in EFFORTS}
    for effort, factor in (("low", 0.5), ("high", 2)):
        lengths = (tables[effort]["length"] * factor).astype(int).clip(upper=CAP)
        tables[effort] = tables[effort].assign(length=lengths)
    return pairs.pooled(tables)


def chosen(pairs_):
    """{problem: (chosen length, rejected length, kind)} of a rule that gives a pair per problem."""
    table = pairs_.table
    columns = ("problem_id", "chosen_length", "rejected_length", "kind")
    return {pid: tuple(rest) for pid, *rest in zip(*(table[name] for name in columns), strict=True)}


def reasons(selection):
    return dict(zip(selection.dropped["reason"], selection.dropped["problem_ids"], strict=True))


def select(name, rollouts, **params):
    return OFFLINE_METHODS[name].select(rollouts, max_tokens=CAP, params=params)


class TestExamples:
    def test_the_shortest_correct_of_each_problem(self):
        examples = pairs.shortest_correct(pool())
        assert dict(zip(examples.table["problem_id"], examples.table["length"], strict=True)) == {
            "easy": 500,
            "lucky": 3500,
            "mixed": 600,
        }
        assert tuple(examples.table.columns) == EXAMPLE_COLUMNS
        assert reasons(examples) == {"without a correct rollout": ["hard"]}
        assert examples.summary() == (
            "3 examples, 1533 tokens on average, from 3 of 4 problems; dropped: 1 without a correct rollout"
        )

    def test_the_shortest_correct_under_any_effort_prompt(self):
        table = pairs.tops_correct(efforts_pool()).table.set_index("problem_id")
        assert table["length"].to_dict() == {"easy": 250, "mixed": 300, "lucky": 1750}
        assert set(table["effort"]) == {"low"}

    @pytest.mark.parametrize("rule", [pairs.tops_correct, pairs.tops])
    def test_tops_needs_several_effort_prompts(self, rule):
        for rollouts in (pool(), pool(effort="low")):
            with pytest.raises(DataError, match=r"several effort prompts.*pairs.pooled"):
                rule(rollouts)

    def test_random_ones_are_correct_and_each_is_drawn_with_some_seed(self):
        drawn = [pairs.random_correct(pool(), seed=seed).table.set_index("problem_id") for seed in range(40)]
        assert all(table["correct"].all() for table in drawn)
        assert {table.loc["mixed", "length"] for table in drawn} == {600, 900, 1500}
        assert len(pairs.random_correct(pool(), per_problem=2).table) == 2 + 2 + 1

    def test_a_draw_does_not_depend_on_the_other_problems(self):
        alone = pairs.random_correct(pool({"mixed": POOL["mixed"]}), seed=3).table
        among = pairs.random_correct(pool(), seed=3).table
        pd.testing.assert_frame_equal(alone, among[among["problem_id"] == "mixed"].reset_index(drop=True))


class TestShortestPairs:
    def test_the_longest_may_be_wrong(self):
        result = pairs.shortest(pool())
        assert chosen(result) == {
            "easy": (500, 700, "correct"),
            "mixed": (600, 4000, "correct_over_wrong"),
        }
        assert tuple(result.table.columns) == PAIR_COLUMNS
        assert result.table["margin"].tolist() == [200, 3400]
        assert reasons(result) == {
            "without a correct rollout": ["hard"],
            "in which no rollout is longer than the shortest correct one": ["lucky"],
        }
        assert result.summary() == (
            "2 pairs (1 correct, 1 correct_over_wrong), 550 over 2350 tokens on average, from 2 of 4 "
            "problems; dropped: 1 without a correct rollout, 1 in which no rollout is longer than the "
            "shortest correct one"
        )

    def test_of_equally_long_ones_the_first_sample_counts(self):
        table = pairs.shortest(pool()).table.set_index("problem_id")
        assert table.loc["easy", "rejected_sample"] == 2

    def test_dpo_of_arora_and_zanette_rejects_the_longest_correct_one(self):
        result = pairs.shortest(pool(), rejected="longest_correct")
        assert chosen(result) == {"easy": (500, 700, "correct"), "mixed": (600, 1500, "correct")}

    def test_tops_pools_the_effort_prompts(self):
        result = pairs.tops(efforts_pool())
        assert chosen(result) == {
            "easy": (250, 1400, "correct"),
            "mixed": (300, 4096, "correct_over_wrong"),  # 4000 x 2, cut at the cap
            "lucky": (1750, 4096, "correct"),  # 3500 x 2; here the cap counts as an end
        }
        row = result.table.set_index("problem_id").loc["easy"]
        assert (row["chosen_effort"], row["rejected_effort"]) == ("low", "high")


def test_tops_iter_dpo_rejects_the_longest_wrong_and_a_wrong_one_that_is_shorter():
    table = pairs.tops_iter_dpo(pool()).table
    rows = list(zip(table["problem_id"], table["chosen_length"], table["rejected_length"], strict=True))
    assert sorted(rows) == [
        ("lucky", 3500, 100),  # the shortest wrong one
        ("lucky", 3500, 200),  # the longest wrong one
        ("mixed", 600, 300),
        ("mixed", 600, 4000),
    ]
    assert set(table["kind"]) == {"correct_over_wrong"}


def test_tops_iter_dpo_with_one_wrong_rollout_gives_one_pair():
    result = pairs.tops_iter_dpo(pool({"a": ([900, 300], "cw"), "b": ([300, 900], "cw")}))
    assert chosen(result) == {"a": (900, 300, "correct_over_wrong"), "b": (300, 900, "correct_over_wrong")}


def test_tops_iter_dpo_leaves_wrong_ones_between_the_two_out():
    result = pairs.tops_iter_dpo(pool({"a": ([300, 600, 900], "cww")}))
    assert result.table[["chosen_length", "rejected_length"]].to_numpy().tolist() == [[300, 900]]


class TestDast:
    def test_the_worked_budget_and_scores(self):
        scored = pairs.dast_scores(pool({"a": ([1000, 2000, 3000, 4000], "ccwc")}), cap=CAP)
        assert scored["budget"].unique() == pytest.approx([2774.0])
        assert scored["score"].tolist() == pytest.approx([0.819755, 0.639510, -0.1, 0.279019], abs=1e-6)

    def test_budgets_and_scores_of_all_verdicts(self):
        scored = pairs.dast_scores(pool(), cap=CAP).set_index("problem_id")
        # mixed: 0.5 x 1000 + 0.5 x 4096; hard: nothing is correct, the one cut off included
        assert scored.loc["mixed", "budget"].iloc[0] == pytest.approx(2548.0)
        assert scored.loc["hard", "budget"].iloc[0] == pytest.approx(4096.0)
        assert scored.loc["easy", "budget"].iloc[0] == pytest.approx(605.0)
        assert scored.loc["mixed", "score"].tolist() == pytest.approx(
            [0.882261, 0.823391, 0.705651, -0.894035, -0.293564, -0.1], abs=1e-6
        )
        assert scored.loc["hard", "score"].tolist() == pytest.approx(
            [-0.912109, -0.780273, -0.340820, -0.1], abs=1e-6
        )

    def test_a_correct_score_is_never_below_a_tenth(self):
        scored = pairs.dast_scores(pool({"a": ([10, 10, 10, 10, 400], "ccccc")}), cap=400)
        assert scored["score"].iloc[-1] == 0.1

    def test_the_paper_prefers_the_longer_of_two_wrong_ones(self):
        table = pairs.dast(pool(), cap=CAP, delta=0.0).table
        rows = dict(
            zip(
                zip(table["problem_id"], table["kind"], strict=True),
                zip(table["chosen_length"], table["rejected_length"], strict=True),
                strict=True,
            )
        )
        assert rows == {
            ("easy", "correct"): (500, 700),
            ("mixed", "correct"): (600, 1500),
            ("mixed", "wrong"): (4000, 300),
            ("hard", "wrong"): (4096, 400),
            ("lucky", "wrong"): (200, 100),
        }
        margins = dict(
            zip(zip(table["problem_id"], table["kind"], strict=True), table["margin"], strict=True)
        )
        assert margins["mixed", "correct"] == pytest.approx(0.882261 - 0.705651, abs=2e-6)
        assert margins["mixed", "wrong"] == pytest.approx(0.894035 - 0.1, abs=2e-6)
        assert margins["hard", "wrong"] == pytest.approx(0.912109 - 0.1, abs=2e-6)

    def test_the_reg_paper_prefers_the_shorter_of_two_wrong_ones(self):
        table = pairs.dast(pool(), cap=CAP, delta=0.0, reading="reo_rl").table
        wrong = table[table["kind"] == "wrong"].set_index("problem_id")
        assert wrong["chosen_length"].to_dict() == {"mixed": 300, "hard": 400, "lucky": 100}
        assert wrong["rejected_length"].to_dict() == {"mixed": 4000, "hard": 4096, "lucky": 200}
        # in budgets: (4000 - 300) / 2548
        assert wrong.loc["mixed", "margin"] == pytest.approx(1.452119, abs=1e-6)
        correct = table[table["kind"] == "correct"].set_index("problem_id")
        assert correct["chosen_length"].to_dict() == {"mixed": 600, "easy": 500}
        assert correct.loc["mixed", "margin"] == pytest.approx(900 / 2548)

    def test_two_wrong_ones_above_the_budget_differ_for_the_reg_paper_only(self):
        # 0.6 x 2333.3 + 0.4 x 4096 is a budget of 3038.4: both wrong ones score -0.1
        above = pool({"a": ([1000, 2000, 3200, 4000, 3500], "ccwcw")})
        assert set(pairs.dast(above, cap=CAP, delta=0.0).table["kind"]) == {"correct"}
        assert set(pairs.dast(above, cap=CAP, delta=0.0, reading="reo_rl").table["kind"]) == {
            "correct",
            "wrong",
        }

    def test_of_wrong_ones_that_reach_the_budget_the_shortest_is_chosen(self):
        # 0.25 x 1000 + 0.75 x 2000 is a budget of 1750
        table = pairs.dast(pool({"a": ([1000, 300, 1900, 1800], "cwww")}), cap=2000, delta=0.0).table
        assert table["chosen_length"].tolist() == [1800]
        assert table["rejected_length"].tolist() == [300]

    def test_much_shorter_is_a_share_of_the_longer_one(self):
        # shares: easy 500/700, mixed 600/1500 and 300/4000, hard 400/4096, lucky 100/200
        for share, expected in ((0.5, 4), (0.4, 3), (0.39, 2), (0.09, 1), (0.07, 0)):
            assert len(pairs.dast(pool(), cap=CAP, delta=0.0, much_shorter=share)) == expected, share

    def test_the_smallest_margins_are_left_out_over_all_problems(self):
        every = pairs.dast(pool(), cap=CAP, delta=0.0).table.sort_values("margin")
        for delta, left_out in ((0.15, 0), (0.2, 1), (0.4, 2), (0.6, 3), (0.99, 4)):
            kept = pairs.dast(pool(), cap=CAP, delta=delta).table
            assert len(kept) == 5 - left_out
            assert sorted(kept["margin"]) == every["margin"].tolist()[left_out:]
        result = pairs.dast(pool(), cap=CAP, delta=0.4)
        assert reasons(result) == {
            "with a pair among the share 0.4 of the smallest margins": ["easy", "lucky"],
        }

    @pytest.mark.parametrize(("n", "delta", "left_out"), [(20, 0.15, 3), (50, 0.58, 29), (6, 0.15, 0)])
    def test_the_share_is_counted_whatever_its_last_digit(self, n, delta, left_out):
        many = {f"p{i}": ([100 + i, 400], "cc") for i in range(n)}  # 0.58 x 50 is 28.999999999999996
        assert len(pairs.dast(pool(many), cap=CAP, delta=delta)) == n - left_out

    def test_of_correct_ones_with_the_lowest_score_the_longest_is_rejected(self):
        table = pairs.dast(pool({"a": ([10, 10, 10, 10, 390, 400], "cccccc")}), cap=400, delta=0.0).table
        assert (table["rejected_score"].iloc[0], table["rejected_length"].iloc[0]) == (0.1, 400)

    def test_problems_without_a_pair_are_counted(self):
        alike = pool({"a": ([100, 100], "cc"), "b": ([50, 60], "cw"), "c": ([50, 60], "cc")})
        result = pairs.dast(alike, cap=CAP, delta=0.0)
        assert reasons(result) == {NO_PAIR: ["a", "b"]}

    @pytest.mark.parametrize(
        ("params", "message"),
        [
            ({"delta": 1.0}, r"delta=1.0 must lie in \[0, 1\)"),
            ({"delta": -0.1}, "delta=-0.1"),
            ({"much_shorter": 0.0}, r"much_shorter=0.0 must lie in \(0, 1\]"),
            ({"much_shorter": 2}, "much_shorter=2"),
            ({"reading": "dast"}, "unknown reading 'dast'; legal: paper, reo_rl"),
            ({"cap": 0}, "cap=0"),
        ],
    )
    def test_bad_parameters(self, params, message):
        with pytest.raises(ConfigError, match=message):
            pairs.dast(pool(), **{"cap": CAP, **params})

    def test_without_a_cap_the_longest_rollout_is_at_it(self):
        same = pairs.dast_scores(pool(), cap=CAP)  # the one that was cut off has 4096 tokens
        pd.testing.assert_frame_equal(pairs.dast_scores(pool()), same)
        pd.testing.assert_frame_equal(pairs.dast(pool()).table, pairs.dast(pool(), cap=CAP).table)

    def test_a_rollout_above_the_cap(self):
        with pytest.raises(DataError, match="4096 tokens, more than cap=4000"):
            pairs.dast(pool(), cap=4000)


class TestO1Pruner:
    def test_the_worked_rewards_and_weights(self):
        # mean length 2500, accuracy 0.75, alpha 5: rewards 2.75, 1.5, -3.9167 (clipped to -2), 0.875
        table = pairs.o1_pruner(
            pool({"a": ([1000, 2000, 3000, 4000], "ccwc")}), alpha=5.0, per_problem=4
        ).table
        assert table["reward"].tolist() == pytest.approx([2.75, 1.5, -3.916667, 0.875], abs=1e-6)
        assert table["weight"].tolist() == pytest.approx([1.130238, 0.412627, -1.596685, 0.053821], abs=1e-6)

    def test_weights_are_scored_over_all_problems_together(self):
        # rewards 1, -1/3 and 0, 2/3: their mean is 1/3, their deviation 0.527046
        two = pool({"a": ([100, 300], "cc"), "b": ([200, 600], "wc")})
        table = pairs.o1_pruner(two).table
        assert table["reward"].tolist() == pytest.approx([1, -1 / 3, 0, 2 / 3])
        assert table["weight"].tolist() == pytest.approx([1.264911, -1.264911, -0.632456, 0.632456], abs=1e-6)

    def test_the_paper_neither_clips_nor_scores(self):
        a = pool({"a": ([1000, 2000, 3000, 4000], "ccwc")})
        table = pairs.o1_pruner(a, alpha=5.0, per_problem=4, reading="paper").table
        assert table["weight"].tolist() == table["reward"].tolist()

    def test_large_rewards_are_clipped_to_four(self):
        # 5 x 0.75 + mean 2500 / 1000 - 1 is above 4
        table = pairs.o1_pruner(
            pool({"a": ([1000, 2000, 3000, 4000], "cwww")}), alpha=5.0, per_problem=4
        ).table
        clipped = table["reward"].clip(-2, 4)
        assert table["reward"].max() == pytest.approx(5.25)
        assert table["weight"].tolist() == pytest.approx(
            ((clipped - clipped.mean()) / np.std(clipped)).tolist()
        )

    def test_where_nothing_is_correct_shorter_wrong_ones_weigh_more(self):
        table = pairs.o1_pruner(pool({"a": ([100, 200, 400], "www")}), per_problem=3).table
        assert table["weight"].is_monotonic_decreasing

    def test_two_of_each_problem_are_drawn_and_every_one_with_some_seed(self):
        drawn = [pairs.o1_pruner(pool(), seed=seed).table for seed in range(60)]
        assert all((table.groupby("problem_id").size() == 2).all() for table in drawn)
        assert {s for t in drawn for s in t.loc[t["problem_id"] == "mixed", "sample"]} == set(range(6))

    def test_mean_length_and_accuracy_are_those_of_all_rollouts(self):
        every = pairs.o1_pruner(pool(), per_problem=6).table.set_index(["problem_id", "sample"])["reward"]
        two = pairs.o1_pruner(pool(), seed=1).table.set_index(["problem_id", "sample"])["reward"]
        assert two.tolist() == every[two.index].tolist()

    @pytest.mark.parametrize("lengths", [[90, 90, 90], [100, 100, 100]])
    def test_equal_rollouts_have_no_weight_and_are_refused(self, lengths):
        examples = pairs.o1_pruner(pool({"a": (lengths, "ccc"), "b": (lengths, "www")}))
        assert examples.table["weight"].tolist() == [0.0] * 4
        with pytest.raises(DataError, match=r"all weights are 0.*4 examples"):
            examples.check()

    @pytest.mark.parametrize(
        "params", [{"alpha": -1.0}, {"per_problem": 0}, {"reading": "both"}, {"seed": -1}]
    )
    def test_bad_parameters(self, params):
        with pytest.raises(ConfigError, match=next(iter(params))):
            pairs.o1_pruner(pool(), **params)


@pytest.mark.parametrize("name", OFFLINE_METHODS)
class TestEveryMethod:
    """Promises of all methods, on a pool with everything: three effort prompts and the plain one."""

    @staticmethod
    def everything():
        return pd.concat([efforts_pool(), pool(effort="")], ignore_index=True)

    def test_the_order_of_the_rows_changes_nothing(self, name):
        expected = select(name, self.everything())
        assert len(expected)
        for seed in range(5):
            shuffled = select(name, self.everything().sample(frac=1, random_state=seed))
            pd.testing.assert_frame_equal(shuffled.table, expected.table)
            pd.testing.assert_frame_equal(shuffled.dropped, expected.dropped)

    def test_ties_are_decided_the_same_way_always(self, name):
        tied = pool({"a": ([300, 300, 300, 700, 700, 700], "ccwccw"), "b": ([300, 300, 700, 700], "wwww")})
        tied = pd.concat([tied.assign(effort=effort) for effort in ("", *EFFORTS)])
        results = [select(name, tied.sample(frac=1, random_state=seed)).table for seed in range(10)]
        for table in results[1:]:
            pd.testing.assert_frame_equal(table, results[0])

    def test_a_rollout_that_was_cut_off_is_wrong(self, name):
        cut = self.everything().assign(finish_reason="length")
        wrong = self.everything().assign(verdict="wrong")
        table, expected = select(name, cut).table, select(name, wrong).table
        assert not table.filter(regex="correct$").to_numpy().any()
        pd.testing.assert_frame_equal(table, expected, check_dtype=False)

    def test_all_wrong_teaches_only_what_learns_from_wrong_ones(self, name):
        result = select(name, self.everything().assign(verdict="wrong"))
        if name in ("dast", "simpo_dast", "o1_pruner"):
            result.check()
            return
        assert len(result) == 0
        assert reasons(result) == {"without a correct rollout": sorted(POOL)}
        with pytest.raises(
            DataError, match=r"0 (examples|pairs).*0 of 4 problems.*4 without a correct rollout"
        ):
            result.check()

    def test_one_rollout_a_problem_gives_no_pair(self, name):
        method = OFFLINE_METHODS[name]
        single = self.everything()
        single = single[(single["sample"] == 0) & (single["effort"] == method.efforts[0])]
        if len(method.efforts) > 1:
            with pytest.raises(DataError, match="needs rollouts that the pool lacks"):
                select(name, single)
        elif method.objective != "sft":
            with pytest.raises(DataError, match=r"no pair to learn from|all weights are 0"):
                select(name, single).check()

    def test_no_rollouts_at_all(self, name):
        with pytest.raises(DataError, match=r"no rollouts|needs rollouts"):
            select(name, self.everything().iloc[:0])

    def test_it_survives_pickling(self, name):
        result = select(name, self.everything())
        copy = pickle.loads(pickle.dumps(result))
        pd.testing.assert_frame_equal(copy.table, result.table)
        assert copy.summary() == result.summary()

    def test_it_can_be_stored_and_read(self, name, tmp_path):
        result = select(name, self.everything())
        for part in (result.table, result.dropped):
            part.to_parquet(tmp_path / "part.parquet")
            assert pd.read_parquet(tmp_path / "part.parquet").columns.tolist() == part.columns.tolist()

    def test_its_rollouts_have_their_tokens(self, name):
        everything = self.everything()
        everything["completion_ids"] = [[row] for row in range(len(everything))]
        table = select(name, everything).with_tokens(everything)
        for side in ("chosen_", "rejected_") if "chosen_sample" in table else ("",):
            rows = everything.iloc[[ids[0] for ids in table[f"{side}completion_ids"]]]
            for column in ("effort", "sample", "length"):
                assert rows[column].tolist() == table[f"{side}{column}"].tolist()
            assert rows["problem_id"].tolist() == table["problem_id"].tolist()

    def test_more_problems_change_no_choice_in_the_others(self, name):
        if name == "o1_pruner":
            return  # its weights are scored over all problems
        params = {"delta": 0.0} if "delta" in OFFLINE_METHODS[name].parameters() else {}
        every = select(name, self.everything(), **params).table
        fewer = self.everything()
        fewer = fewer[fewer["problem_id"].isin(["mixed", "easy"])]
        part = every[every["problem_id"].isin(["mixed", "easy"])].reset_index(drop=True)
        pd.testing.assert_frame_equal(select(name, fewer, **params).table, part)

    def test_an_unknown_parameter_is_named(self, name):
        with pytest.raises(ConfigError, match=f"unknown parameter of {name} 'alhpa'"):
            select(name, self.everything(), alhpa=1.0)


def test_a_method_takes_as_many_rollouts_as_its_paper():
    many = pool({"a": ([900] * 8 + [100], "c" * 9)})
    assert select("sft_rejection", many).table["length"].tolist() == [900]
    assert select("sft_shortest", many).table["length"].tolist() == [100]


def test_methods_of_one_prompt_leave_the_others_alone():
    both = pd.concat([pool(effort="low").assign(length=1), pool(effort=None)])
    assert select("sft_shortest", both).table["length"].min() == 500


class TestBadPools:
    def test_missing_columns(self):
        with pytest.raises(DataError, match=r"lack the columns \['verdict'\]"):
            pairs.shortest(pool().drop(columns="verdict"))

    def test_a_rollout_that_occurs_twice(self):
        with pytest.raises(DataError, match=r"17 rollouts occur twice.*sample 0 of 'easy'.*pairs.pooled"):
            pairs.shortest(pd.concat([pool(), pool()]))

    @pytest.mark.parametrize("length", [0, -1, np.nan])
    def test_lengths_below_one(self, length):
        with pytest.raises(DataError, match="1 of 4 rollouts have no length of at least 1 token"):
            pairs.shortest(pool({"a": ([100, 200, 300, length], "cccc")}))

    def test_tokens_of_another_pool(self):
        with pytest.raises(DataError, match=r"the pool lacks the rollout .*'mixed'"):
            pairs.shortest(pool()).with_tokens(pool({"easy": POOL["easy"]}))
