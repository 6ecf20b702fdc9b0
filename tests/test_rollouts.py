"""Sampling and probing into a run directory: the tables, and what kills, other runs and damage do to them."""

import json

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from effwb import probes, problems, profiles, rollouts
from effwb.analysis import RunSet
from effwb.analysis.finished import read_evaluation
from effwb.curves import budget_curve
from effwb.errors import ConfigError, DataError, IdentityError
from effwb.evaluation import evaluate
from effwb.plots import curve_figure
from effwb.probes import Probing
from effwb.profiles import Sampling
from effwb.prompts import Prompting
from effwb.runs import RunDir
from effwb.samplers import Completion

BUDGETS = [0, 4, 16, 64, 200]
SAMPLING = Sampling(max_tokens=200, shard_problems=4)
SETTINGS = dict(sampling=SAMPLING, prompting=Prompting(template="pocket"), progress=False)
PROBING = Probing(answer_tokens=8, shard_rollouts=8)
CODE = """
from effwb import probes, problems, profiles, prompts, rollouts
from effwb.samplers import open_sampler
few = problems.load("pocket", n=14, seed=7)
with open_sampler("pocket", batch_rows=64) as sampler:
    settings = dict(
        sampling=profiles.Sampling(max_tokens=200, shard_problems=4),
        prompting=prompts.Prompting(template="pocket"),
    )
    table = rollouts.sample(few, sampler, 3, run_dir="run", **settings)
    probing = probes.Probing(answer_tokens=8, shard_rollouts=8)
    probes.probe(table, sampler, [0, 4, 16, 64, 200], run_dir="run", probing=probing)
"""


def sample_then_probe(few, sampler, path):
    table = rollouts.sample(few, sampler, 3, run_dir=path, **SETTINGS)
    probed = probes.probe(table, sampler, BUDGETS, run_dir=path, probing=PROBING, progress=False)
    return table, probed


def stable(table):
    return table.drop(columns="verify_ms", errors="ignore")


@pytest.fixture(scope="module")
def reference(few, pocket, tmp_path_factory):
    path = tmp_path_factory.mktemp("reference") / "run"
    return path, *sample_then_probe(few, pocket, path)


def test_the_tables_are_complete(reference, few):
    _, table, probed = reference
    assert tuple(table.columns) == rollouts.COLUMNS
    assert tuple(probed.columns) == probes.COLUMNS
    assert len(table) == 14 * 3
    assert not table.duplicated(["problem_id", "sample"]).any()
    assert table["seed"].is_unique
    assert set(table["problem_id"]) == set(few["problem_id"])
    assert (table["length"] == table["completion_ids"].map(len)).all()
    expected = sum(len(probes.cuts_of(r.length, r.finish_reason, BUDGETS)) for r in table.itertuples())
    assert len(probed) == expected


def test_the_curve_ends_at_the_accuracy_of_the_rollouts(reference):
    _, table, probed = reference
    curve = budget_curve(table, probed, BUDGETS)
    stopped = table["finish_reason"] == "stop"
    forced = probed[probed["budget"] == BUDGETS[-1]]
    right = (table["verdict"][stopped] == "correct").sum() + (forced["verdict"] == "correct").sum()
    assert curve.accuracy[-1] == pytest.approx(right / len(table))


def test_a_finished_run_is_read_back_without_a_model(reference, few, pocket, monkeypatch):
    path, table, probed = reference

    def refuse(*_, **__):
        raise AssertionError("sampled again")

    monkeypatch.setattr(pocket, "generate", refuse)
    monkeypatch.setattr(pocket, "continue_prefixes", refuse)
    again = sample_then_probe(few, pocket, path)
    assert_frame_equal(again[0], table)
    assert_frame_equal(again[1], probed)


def test_a_missing_shard_is_restored_identically(few, pocket, tmp_path):
    path = tmp_path / "run"
    first = sample_then_probe(few, pocket, path)
    run = RunDir(path)
    for table, shard in (("rollouts", 2), ("probes", 1)):
        run.shard(table, shard).unlink()
    second = sample_then_probe(few, pocket, path)
    for a, b in zip(first, second, strict=True):
        assert_frame_equal(stable(a), stable(b))


@pytest.mark.long
@pytest.mark.parametrize(
    "kill_after",
    ["config.json", "rollouts/00000.parquet", "rollouts/00002.parquet", "probes/00001.parquet"],
)
def test_a_killed_run_continues_to_the_same_table(
    kill_after, run_until_killed, tmp_path, pocket, few, reference
):
    assert run_until_killed(CODE, lambda: (tmp_path / "run" / kill_after).exists()), (
        "it finished before the kill"
    )
    left = {p: p.stat().st_mtime_ns for p in (tmp_path / "run").rglob("*.parquet")}
    table, probed = sample_then_probe(few, pocket, tmp_path / "run")
    assert all(p.stat().st_mtime_ns == t for p, t in left.items() if p.name != "problems.parquet")
    assert_frame_equal(stable(table), stable(reference[1]))
    assert_frame_equal(stable(probed), stable(reference[2]))


@pytest.mark.long
class TestTogether:
    """`evaluate` samples and probes each shard in one go; the tables are those of `sample`, then `probe`."""

    PROFILE = profiles.profile("pocket", n_samples=3, max_tokens=200, shard_problems=4)

    def evaluate(self, few, sampler, path, **settings):
        result = evaluate(
            few, sampler, self.PROFILE, run_dir=path, **{"budgets": BUDGETS, "progress": False, **settings}
        )
        return result.rollouts, result.probes

    @staticmethod
    def check(tables, reference):
        for table, expected in zip(tables, reference[1:], strict=True):
            assert_frame_equal(stable(table), stable(expected))

    def test_both_ways_give_the_same(self, reference, few, pocket, tmp_path, monkeypatch):
        monkeypatch.setattr(probes.Prober, "answers", None)  # nothing is left to be probed later
        self.check(self.evaluate(few, pocket, tmp_path), reference)
        config, expected = RunDir(tmp_path).config, RunDir(reference[0]).config
        assert config["rollouts"]["identity"] == expected["rollouts"]["identity"]
        assert config["probes"]["identity"] == {**expected["probes"]["identity"], "shard_rollouts": 12}

    @pytest.mark.parametrize("writes", [0, 1, 4, 7])  # of eight: four shards of each table
    def test_a_kill_before_any_file_continues(self, reference, few, pocket, tmp_path, monkeypatch, writes):
        from effwb import evaluation, runs

        count = iter(range(writes))

        def write(path, frame):
            if next(count, None) is None:
                raise KeyboardInterrupt
            runs.write_parquet(path, frame)

        monkeypatch.setattr(evaluation, "write_parquet", write)
        with pytest.raises(KeyboardInterrupt):
            self.evaluate(few, pocket, tmp_path)
        monkeypatch.undo()
        self.check(self.evaluate(few, pocket, tmp_path), reference)

    def test_a_lost_file_is_restored(self, reference, few, pocket, tmp_path):
        self.evaluate(few, pocket, tmp_path)
        probe, rollout = "probes/00001.parquet", "rollouts/00001.parquet"
        for lost in ([probe], [rollout], [probe, rollout, "rollouts/DONE"], ["rollouts/DONE"]):
            for name in lost:
                (tmp_path / name).unlink()
            self.check(self.evaluate(few, pocket, tmp_path), reference)

    @pytest.mark.parametrize("first_step", ["evaluate", "sample"])
    def test_restored_rollouts_that_differ_are_probed_anew(
        self, reference, few, pocket, tmp_path, monkeypatch, first_step
    ):
        """As in low precision, where rounding depends on the batch."""
        self.evaluate(few, pocket, tmp_path)
        run, seed = RunDir(tmp_path), rollouts.sample_seed
        fingerprint = run.identity("probes")["rollouts"]
        run.shard("rollouts", 1).unlink()
        for table in ("rollouts", "probes"):
            (tmp_path / table / "DONE").unlink()
        monkeypatch.setattr(rollouts, "sample_seed", lambda pid, i, _: seed(pid, i, "other"))
        if first_step == "sample":  # the first evaluation was killed before its end
            config = run.config
            config["probes"]["identity"]["rollouts"] = None
            (tmp_path / "config.json").write_text(json.dumps(config))
            rollouts.sample(few, pocket, 3, run_dir=tmp_path, **SETTINGS)
        table, probed = self.evaluate(few, pocket, tmp_path)
        assert not stable(table).equals(stable(reference[1]))
        assert run.identity("probes")["rollouts"] not in (None, fingerprint)
        changed = set(table["problem_id"][12:24])
        by_hand = tmp_path / "by_hand"
        monkeypatch.setattr(
            rollouts, "sample_seed", lambda pid, i, s: seed(pid, i, "other" if pid in changed else s)
        )
        expected = sample_then_probe(few, pocket, by_hand)
        self.check((table, probed), (None, *expected))

    def test_another_measure_is_refused_half_way(self, few, pocket, tmp_path, monkeypatch):
        self.evaluate(few, pocket, tmp_path)
        (tmp_path / "rollouts" / "DONE").unlink()
        with pytest.raises(IdentityError, match="budgets"):
            self.evaluate(few, pocket, tmp_path, budgets=[0, 8])

    def test_runs_with_other_shards_are_continued_and_read_back(self, reference, few, pocket, tmp_path):
        """Those of older versions, or of `sample` and then `probe`."""
        sample_then_probe(few, pocket, tmp_path)
        self.check(self.evaluate(few, pocket, tmp_path), reference)
        (tmp_path / "rollouts" / "00001.parquet").unlink()
        (tmp_path / "probes" / "00002.parquet").unlink()
        self.check(self.evaluate(few, pocket, tmp_path), reference)
        assert RunDir(tmp_path).identity("probes")["shard_rollouts"] == 8

    def test_the_answers_that_version_0_1_kept_apart_are_removed(self, reference, few, pocket, tmp_path):
        rollouts.sample(few, pocket, 3, run_dir=tmp_path, **SETTINGS)
        (tmp_path / "ahead").mkdir()
        (tmp_path / "ahead" / "of-0123456789ab.parquet").write_bytes(b"damaged")
        (tmp_path / "rollouts" / "DONE").unlink()
        self.check(self.evaluate(few, pocket, tmp_path), reference)
        assert not (tmp_path / "ahead").exists()

    def test_a_forced_opening_is_probed_after_sampling(self, few, pocket, tmp_path):
        table, probed = self.evaluate(
            few, pocket, tmp_path, budgets=[0, 4], prompting=Prompting(opening="empty")
        )
        assert table["text"].str.startswith("</think>").all()
        assert set(probed["budget"]) == {0, 4}


def test_snapped_budgets_cut_at_whole_blocks_and_the_curve_says_so(few, pocket, tmp_path):
    profile = profiles.profile("pocket", n_samples=2, max_tokens=200, grid_cap=200)
    plain = evaluate(few, pocket, profile, run_dir=tmp_path / "plain", progress=False)
    cuts, generate_and_continue = [], pocket.generate_and_continue

    def recording(prompt_ids, params, seeds, cut, answer_params):
        def recorded(p, i, completion):
            places = cut(p, i, completion)
            cuts.extend((len(prompt_ids[p]), at) for at, _ in places)
            return places

        return generate_and_continue(prompt_ids, params, seeds, recorded, answer_params)

    pocket.generate_and_continue = recording
    try:
        result = evaluate(few, pocket, profile, run_dir=tmp_path / "snapped", snap=16, progress=False)
    finally:
        del pocket.generate_and_continue
    rests = [(prompt + at) % 16 for prompt, at in cuts if at]
    assert cuts
    assert np.mean([rest == 0 for rest in rests]) > 0.9  # others are after the thinking, before their box
    assert (result.curve.snap, plain.curve.snap) == (16, None)
    assert "cut down to whole blocks of 16 tokens" in result.caption()
    assert "snap" in result.curve.table()
    assert "snap" not in plain.curve.table()
    again = read_evaluation(tmp_path / "snapped")
    assert again.curve.snap == 16
    assert "blocks of 16" in curve_figure({"snapped": again.curve}).layout.xaxis.title.text
    with pytest.raises(DataError, match="cut down to blocks of 16"):
        RunSet.find(tmp_path).check_alike()
    with pytest.raises(ConfigError, match=r"^snap=0 must be at least 1$"):
        evaluate(few, pocket, profile, run_dir=tmp_path / "none", snap=0, progress=False)


def test_another_run_is_refused_and_unchanged(reference, few, pocket):
    path, table, _ = reference
    before = {p: p.read_bytes() for p in path.rglob("*") if p.is_file()}
    cooler = {**SETTINGS, "sampling": Sampling(max_tokens=200, shard_problems=4, temperature=0.5)}
    with pytest.raises(IdentityError, match=r"temperature: 1\.0 on disk, 0\.5 asked"):
        rollouts.sample(few, pocket, 3, run_dir=path, **cooler)
    with pytest.raises(IdentityError, match="n: 3 on disk, 4 asked"):
        rollouts.sample(few, pocket, 4, run_dir=path, **SETTINGS)
    with pytest.raises(IdentityError, match="problems"):
        rollouts.sample(few.select(range(5)), pocket, 3, run_dir=path, **SETTINGS)
    with pytest.raises(IdentityError, match="budgets"):
        probes.probe(table, pocket, [1, 2], run_dir=path, probing=PROBING)
    assert {p: p.read_bytes() for p in path.rglob("*") if p.is_file()} == before


def test_a_damaged_shard_is_named(few, pocket, tmp_path):
    path = tmp_path / "run"
    sample_then_probe(few, pocket, path)
    shard = RunDir(path).shard("rollouts", 1)
    shard.write_bytes(shard.read_bytes()[:200])
    with pytest.raises(DataError, match=r"rollouts/00001\.parquet cannot be read"):
        sample_then_probe(few, pocket, path)


@pytest.mark.parametrize(
    ("budgets", "message"), [([4, 2], "2"), ([-1, 4], "-1"), ([4, 4], "4"), ([4, 201], "201"), ([], "empty")]
)
def test_bad_budgets_are_named(reference, pocket, budgets, message):
    path, table, _ = reference
    with pytest.raises(ConfigError, match=message):
        probes.probe(table, pocket, budgets, run_dir=path)


def test_probes_without_any_shard_can_be_declared_again(few, pocket, tmp_path, monkeypatch):
    table = rollouts.sample(few, pocket, 1, run_dir=tmp_path / "r", **SETTINGS)
    monkeypatch.setattr(pocket, "continue_prefixes", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    probing = Probing(answer_tokens=8)
    with pytest.raises(KeyboardInterrupt):
        probes.probe(table, pocket, [0, 4], run_dir=tmp_path / "r", probing=probing)
    monkeypatch.undo()
    probed = probes.probe(table, pocket, [0, 8], run_dir=tmp_path / "r", probing=probing, progress=False)
    assert set(probed["budget"]) == {0, 8}


def test_the_default_cap_leaves_room_for_a_forced_answer(few, pocket, tmp_path, monkeypatch):
    monkeypatch.setattr(type(pocket), "context", 130)
    table = rollouts.sample(few, pocket, 1, run_dir=tmp_path / "r", progress=False)
    longest = table["prompt_tokens"].max()
    assert RunDir(tmp_path / "r").config["rollouts"]["identity"]["max_tokens"] == 130 - 64 - longest
    monkeypatch.setattr(type(pocket), "context", 60)
    with pytest.raises(ConfigError, match="context of 60"):
        rollouts.sample(few, pocket, 1, run_dir=tmp_path / "s", progress=False)


def test_a_cap_below_the_grid_is_refused_before_sampling(few, pocket, tmp_path):
    small = profiles.profile("pocket", max_tokens=64, n_samples=1)
    assert small.budgets[-1] == 64
    with pytest.raises(ConfigError, match="512"):
        evaluate(few, pocket, small, run_dir=tmp_path / "r", budgets=[0, 512])
    assert not (tmp_path / "r").exists()


def test_a_mistyped_suffix_is_refused(reference, pocket):
    path, table, _ = reference
    for suffix in ("clos", "Wait", ""):
        with pytest.raises(ConfigError, match=r"forced-answer suffix.*dynasor"):
            probes.probe(table, pocket, BUDGETS, run_dir=path, probing=Probing(suffix=suffix))


def test_rollouts_of_another_run_are_refused(few, pocket, reference, tmp_path):
    own = rollouts.sample(few, pocket, 3, run_dir=tmp_path / "r", seed=1, **SETTINGS)
    for table in (reference[1], own.iloc[:5]):
        with pytest.raises(DataError, match="not those of"):
            probes.probe(table, pocket, BUDGETS, run_dir=tmp_path / "r")
    assert not (tmp_path / "r" / "probes").exists()


def test_without_thinking_the_suffix_does_not_close_it_again(few, pocket, tmp_path, monkeypatch):
    settings = {**SETTINGS, "prompting": Prompting(template="pocket", thinking=False)}
    table = rollouts.sample(few, pocket, 1, run_dir=tmp_path / "r", **settings)
    calls = []
    continue_prefixes = pocket.continue_prefixes
    monkeypatch.setattr(
        pocket,
        "continue_prefixes",
        lambda work, ids, params: calls.append((work, ids)) or continue_prefixes(work, ids, params),
    )
    probing = Probing(answer_tokens=8)
    probes.probe(table, pocket, [0, 2], run_dir=tmp_path / "r", probing=probing, progress=False)
    for work, ids in calls:
        if any(prefixes.cuts for prefixes in work):
            assert pocket.tokenizer.decode(ids) == "\\boxed{"


@pytest.mark.parametrize(
    ("text", "opened", "expected"),
    [
        ("3+4=7.\n</think>\\boxed{7}", True, {0: 0, 3: 3, 6: 6, 7: "7", 8: "7", 9: "7", 10: "7"}),
        ("3+4=7", True, {0: 0, 1: 1, 5: 5}),
        ("<think>3</think>\\boxed{7}", False, {0: "0", 1: 1, 2: 2, 3: "3", 4: "3"}),
        ("3+4=7\\boxed{7}", False, {0: "0", 2: "2", 6: "5", 8: "5"}),
    ],
)
def test_where_a_rollout_is_really_cut(pocket, text, opened, expected):
    """A text in `expected` is a cut after the thinking, where the suffix does not close it again."""
    ids = pocket.tokenizer.encode(text, add_special_tokens=False)
    cuts = probes.CutFinder(pocket.tokenizer).cuts(ids, opened, list(expected))
    assert [c.at if c.open else str(c.at) for c in cuts] == list(expected.values())


def test_probing_before_sampling(reference, pocket, tmp_path):
    with pytest.raises(DataError, match="no rollouts"):
        probes.probe(reference[1], pocket, BUDGETS, run_dir=tmp_path)


def test_bad_problems_and_settings(few, pocket, tmp_path):
    with pytest.raises(DataError, match="no problems"):
        rollouts.sample(few.select([]), pocket, 3, run_dir=tmp_path, **SETTINGS)
    with pytest.raises(DataError, match="repeat"):
        rollouts.sample(few.select([0, 0]), pocket, 3, run_dir=tmp_path, **SETTINGS)
    with pytest.raises(DataError, match="answer"):
        rollouts.sample(few.remove_columns("answer"), pocket, 3, run_dir=tmp_path, **SETTINGS)
    with pytest.raises(ConfigError, match="shard_problems"):
        rollouts.sample(few, pocket, 3, run_dir=tmp_path, sampling=Sampling(shard_problems=0))
    assert not list(tmp_path.iterdir())


def test_a_cap_that_does_not_fit_the_context(few, pocket, tmp_path):
    with pytest.raises(ConfigError, match="2048"):
        rollouts.sample(few, pocket, 1, run_dir=tmp_path, **{**SETTINGS, "sampling": Sampling(2048)})
    assert not (tmp_path / "config.json").exists()


def test_a_forced_answer_that_does_not_fit_is_refused_before_sampling(few, pocket, tmp_path, monkeypatch):
    monkeypatch.setattr(type(pocket), "context", 256)
    profile = profiles.profile("pocket", n_samples=1, max_tokens=230, grid_cap=230)
    with pytest.raises(
        ConfigError, match=r"tokens, 230 of reasoning and \d+ .* exceed the model's context of 256"
    ):
        evaluate(few, pocket, profile, run_dir=tmp_path, progress=False)
    assert not (tmp_path / "config.json").exists()
    assert evaluate(few, pocket, profile, run_dir=tmp_path, budgets=[0, 64], progress=False).curve


def test_regrade_reads_the_stored_texts(reference):
    path, table, _ = reference
    assert_frame_equal(stable(rollouts.regrade(path)), stable(table))


class Scripted:
    """A sampler with fixed texts: to test grading without a model."""

    def __init__(self, tokenizer, texts):
        self.tokenizer, self.texts, self.context = tokenizer, texts, None

    def identity(self):
        return {"model": "scripted", "weights": "", "tokenizer": "", "engine": "scripted"}

    def batching(self):
        return {}

    def generate(self, prompt_ids, params, seeds=None):
        encoded = [self.tokenizer.encode(t, add_special_tokens=False) for t in self.texts]
        return [
            [Completion(ids, text, "stop") for ids, text in zip(encoded, self.texts, strict=True)]
            for _ in prompt_ids
        ]


def test_a_box_inside_unfinished_thinking_is_no_answer(pocket, tmp_path):
    from datasets import Dataset

    row = {"problem_id": "x-1", "question": "1+2=?", "answer": "3", "level": "2", "source": "x"}
    texts = [
        "\\boxed{3}",
        "\\boxed{3}</think>\\boxed{4}",
        "\\boxed{4}</think>\\boxed{3}",
        "</think>\\boxed{3}\\boxed{",
    ]
    sampler = Scripted(pocket.tokenizer, texts)
    table = rollouts.sample(Dataset.from_list([row]), sampler, 4, run_dir=tmp_path / "r", **SETTINGS)
    assert list(table["verdict"]) == ["unparsed", "wrong", "correct", "unparsed"]


def test_hints_come_from_a_column(pocket, few, tmp_path):
    hinted = few.add_column("hint_tokens", [20 + i for i in range(len(few))])
    prompting = Prompting(template="pocket", hint="hint_tokens", hint_place="think")
    rollouts.sample(hinted, pocket, 1, run_dir=tmp_path / "r", **{**SETTINGS, "prompting": prompting})
    stored = rollouts.problems_of(tmp_path / "r")
    assert "with 33 tokens" in stored["prompt"].iloc[13]
    with pytest.raises(ConfigError, match="'length'"):
        rollouts.sample(few, pocket, 1, run_dir=tmp_path / "s", prompting=Prompting(hint="length"))


def test_pass_rates_split_problems(few):
    table = pd.DataFrame(
        {
            "problem_id": [p for p in few["problem_id"] for _ in range(2)],
            "verdict": ["correct", "wrong"] * 14,
            "finish_reason": "stop",
        }
    )
    table.loc[0:1, "verdict"] = "correct"
    easy, hard = problems.split_by_pass_rate(few, table, 0.5)
    assert (len(easy), len(hard)) == (1, 13)
    with pytest.raises(DataError, match="no rollouts"):
        problems.split_by_pass_rate(few, table.iloc[2:], 0.5)
