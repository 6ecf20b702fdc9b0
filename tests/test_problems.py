"""Problem sources: stable ids, disjoint splits, balanced levels, and clear refusals."""

import json
from collections import Counter

import pandas as pd
import pytest

from effwb import problems
from effwb.errors import ConfigError, DataError, EffwbError


def write(path, rows):
    path.write_text("\n".join(map(json.dumps, rows)))
    return str(path)


def test_pocket_is_balanced_reproducible_and_disjoint():
    test, train = problems.load("pocket", n=700, split="test"), problems.load("pocket", n=700, split="train")
    assert set(Counter(test["level"]).values()) == {100}
    assert not set(test["problem_id"]) & set(train["problem_id"])
    assert problems.load("pocket", n=700, split="test")["question"] == test["question"]
    assert problems.load("pocket", n=700, seed=1, split="test")["question"] != test["question"]
    for question, answer in zip(test["question"], test["answer"], strict=True):
        assert sum(int(t) for t in question[:-2].split("+")) == int(answer)


def test_ids_depend_on_the_text_alone(tmp_path):
    rows = [{"question": f"What is {i}?", "answer": str(i)} for i in range(5)]
    a = problems.load(write(tmp_path / "set.jsonl", rows))
    b = problems.load(write(tmp_path / "set.jsonl", rows[::-1]))
    assert a["problem_id"] == b["problem_id"][::-1]
    assert a["problem_id"][0].startswith("set-")
    assert len(a["problem_id"][0].removeprefix("set-")) == 12


def test_columns_are_found_by_name(tmp_path):
    rows = [
        {"problem": "p1", "solution": r"so \boxed{1} and then \boxed{\frac{1}{2}}", "level": "Level 5"},
        {"problem": "p2", "solution": r"\boxed{7}", "level": "Level 1"},
    ]
    table = problems.load(write(tmp_path / "math.jsonl", rows))
    assert table["answer"] == [r"\frac{1}{2}", "7"]
    assert table["level"] == ["Level 5", "Level 1"]
    gsm = problems.load(write(tmp_path / "g.jsonl", [{"question": "q", "answer": "3 + 4 = 7\n#### 1,007"}]))
    assert gsm["answer"] == ["1,007"]


@pytest.mark.parametrize("question", [*problems.QUESTION, "Problem"])
@pytest.mark.parametrize("answer", [*problems.ANSWER, "Answer"])
def test_columns_as_users_have_them(tmp_path, question, answer):
    rows = [{"id": 7, question: "3 + 4?", answer: r"\boxed{7}" if answer == "solution" else "7"}]
    table = problems.load(write(tmp_path / "mine.jsonl", rows))
    assert (table["question"], table["answer"]) == (["3 + 4?"], ["7"])


def test_a_list_of_one_gold_is_that_gold(tmp_path):
    assert problems.load(write(tmp_path / "l.jsonl", [{"question": "q", "answer": ["2"]}]))["answer"] == ["2"]


def test_parquet_and_n(tmp_path):
    pd.DataFrame({"question": list("abcdef"), "answer": list("123456")}).to_parquet(tmp_path / "t.parquet")
    table = problems.load(str(tmp_path / "t.parquet"), n=3, seed=2)
    assert len(table) == 3
    assert problems.load(str(tmp_path / "t.parquet"), n=3, seed=2)["question"] == table["question"]


def test_reasoning_gym():
    table = problems.load("reasoning-gym:chain_sum", n=20, seed=3)
    assert len(set(table["question"])) == 20
    assert table["problem_id"][0].startswith("chain_sum-")


@pytest.mark.parametrize(
    ("name", "options", "names"),
    [
        ("poket", {}, ["'poket'", "pocket", "gsm8k"]),
        ("pocket", {"split": "dev"}, ["'dev'", "test", "train"]),
        ("pocket", {"n": 0}, ["0"]),
        ("reasoning-gym:chain_sums", {}, ["'chain_sums'", "chain_sum"]),
        ("nowhere.jsonl", {}, ["nowhere.jsonl"]),
    ],
)
def test_bad_names(name, options, names):
    with pytest.raises(EffwbError) as error:
        problems.load(name, **options)
    assert all(n in str(error.value) for n in names), str(error.value)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "empty"),
        ([{"question": "q", "reply": "1"}], "has none of the columns answer.*it has question, reply"),
        ([{"text": "q", "answer": "1"}], "has none of the columns question"),
        ([{"question": "q", "answer": "1"}, {"question": "q", "answer": "1"}], "the same question twice"),
        ([{"question": "q", "answer": ""}], r"do not verify against themselves.*bad_gold"),
        ([{"question": "q", "answer": None}, {"question": "r", "answer": "1"}], "do not verify"),
        ([{"question": "q", "answer": float("nan")}, {"question": "r", "answer": "1"}], "do not verify"),
        ([{"question": "q", "answer": ["1", "2"]}], "do not verify"),
        ([{"question": "q", "answer": r"\frac{1}{"}], "do not verify"),
        ([{"question": "q", "answer": "1"}, {"question": "r"}], "'bad', line 2 has no answer"),
        ([{"question": "q", "answer": "1"}, {"question": "r", "answer": r"\frac{1}{"}], "selves: line 2: "),
        ([{"question": "q", "answer": "1"}] * 2, r"twice: 'q' \(line 2\)"),
        ([{"problem": "q", "solution": "so 1"}], r"line 1: '' \(bad_gold\).*a solution has no .boxed answer"),
    ],
)
def test_bad_files(tmp_path, rows, message):
    with pytest.raises(DataError, match=message):
        problems.load(write(tmp_path / "bad.jsonl", rows))


def test_asking_for_more_problems_than_the_source_has_is_refused(tmp_path):
    with pytest.raises(DataError, match="asked for 9 problems, the source has 1"):
        problems.load(write(tmp_path / "one.jsonl", [{"question": "q", "answer": "1"}]), n=9)


def test_an_unreachable_hub_is_a_clear_error(monkeypatch):
    def offline(*_, **__):
        raise ConnectionError("offline")

    monkeypatch.setattr("datasets.load_dataset", offline)
    with pytest.raises(DataError, match=r"openai/gsm8k.*offline"):
        problems.load("gsm8k")
    with pytest.raises(ConfigError):
        problems.load("hub:")


class TestSplitByPassRate:
    def rollouts(self, ids):
        return pd.DataFrame({"problem_id": ids, "verdict": "correct", "finish_reason": "stop"})

    def test_a_truncated_rollout_counts_as_wrong_even_where_its_verdict_is_correct(self, few):
        table = self.rollouts(few["problem_id"])
        table.loc[0, "finish_reason"] = "length"
        easy, hard = problems.split_by_pass_rate(few, table)
        assert hard["problem_id"] == few["problem_id"][:1]
        assert easy["problem_id"] == few["problem_id"][1:]

    def test_a_table_without_finish_reason_is_refused(self, few):
        table = self.rollouts(few["problem_id"]).drop(columns="finish_reason")
        with pytest.raises(DataError, match=r"lack the columns finish_reason;.*truncated"):
            problems.split_by_pass_rate(few, table)


class TestSeveralBenchmarks:
    @pytest.fixture
    def files(self, tmp_path):
        for name, size in (("aime24", 3), ("amc23", 6)):
            rows = [{"question": f"{name} {i}?", "answer": str(i), "level": str(i)} for i in range(size)]
            write(tmp_path / f"{name}.jsonl", rows)
        return [str(tmp_path / f"{name}.jsonl") for name in ("aime24", "amc23")]

    def test_they_stand_one_after_the_other(self, files):
        both = problems.load("+".join(files))
        assert both["source"] == ["aime24"] * 3 + ["amc23"] * 6
        parts = [problems.load(file) for file in files]
        assert both["problem_id"] == [*parts[0]["problem_id"], *parts[1]["problem_id"]]
        assert both.column_names == parts[0].column_names

    def test_n_is_the_most_of_each(self, files):
        some = problems.load("+".join(files), n=4, seed=5)
        assert Counter(some["source"]) == {"aime24": 3, "amc23": 4}
        assert some["question"][3:] == problems.load(files[1], n=4, seed=5)["question"]
        mixed = problems.load(f"pocket+{files[0]}", n=2)
        assert Counter(mixed["source"]) == {"pocket": 2, "aime24": 2}

    def test_a_plus_in_the_name_of_a_file(self, tmp_path):
        path = write(tmp_path / "a+b.jsonl", [{"question": "q", "answer": "1"}])
        assert problems.load(path)["source"] == ["a+b"]

    @pytest.mark.parametrize(
        ("name", "error", "message"),
        [
            ("pocket+amie24", ConfigError, "unknown problem source 'amie24'.*Did you mean 'aime24'"),
            ("pocket+", ConfigError, "name must not be empty, got ''"),
            ("pocket+pocket", DataError, "'pocket' and 'pocket' are both of the benchmark 'pocket'"),
            ("pocket+no.jsonl", DataError, "no problem file at no.jsonl"),
        ],
    )
    def test_bad_parts_are_named(self, name, error, message):
        with pytest.raises(error, match=message):
            problems.load(name, n=2)

    def test_two_files_of_one_name_are_refused(self, tmp_path):
        paths = []
        for folder in ("a", "b"):
            (tmp_path / folder).mkdir()
            paths.append(write(tmp_path / folder / "t.jsonl", [{"question": folder, "answer": "1"}]))
        with pytest.raises(DataError, match="both of the benchmark 't'"):
            problems.load("+".join(paths))
