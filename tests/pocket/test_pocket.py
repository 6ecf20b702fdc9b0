"""The pocket world and its model: traces are what they claim, the checkpoint loads like any other."""

import random
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from effwb import problems, profiles, rollouts
from effwb.errors import IdentityError
from effwb.pocket import acceptance, traces, train, world
from effwb.pocket.tokenizer import build_tokenizer

RNG = random.Random


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer()


@pytest.mark.parametrize("level", world.LEVELS)
def test_terms_respect_level_sum_and_split(level):
    for held_out in (True, False):
        for seed in range(50):
            terms = world.sample_terms(level, RNG(seed), held_out)
            assert len(terms) == level
            assert sum(terms) <= world.MAX_SUM
            question = world.question_text(terms)
            assert world.is_held_out(question) == held_out
            assert world.parse_question(question) == terms


@pytest.mark.parametrize("make", [world.compact_pass, world.digits_pass])
def test_a_pass_without_slips_is_right(make):
    for seed in range(300):
        terms = world.sample_terms(2 + seed % 7, RNG(seed), False)
        written = make(terms, RNG(seed), slip=0.0)
        assert written.result == sum(terms)
        assert written.text.endswith(f"{sum(terms)}.\n")


@pytest.mark.parametrize("make", [world.compact_pass, world.digits_pass])
def test_a_certain_slip_is_nearly_always_wrong_and_stays_a_number(make):
    wrong = 0
    for seed in range(300):
        terms = world.sample_terms(2, RNG(seed), False)
        written = make(terms, RNG(seed), slip=1.0)
        assert written.result >= 0
        wrong += written.result != sum(terms)
    assert wrong > 285


def test_columns_are_arithmetic():
    rng = RNG(0)
    for _ in range(300):
        a, b = rng.randrange(1000), rng.randrange(1000)
        columns, result = world._columns(a, b, rng, slip=0.0)
        assert result == a + b
        for column in columns:
            left, right = column.split("=")
            assert sum(map(int, left.split("+"))) == int(right)


def test_checks_repair_slips():
    """The last pass is right more often than the first: that is what makes a re-check worth its tokens."""
    first = last = 0
    for seed in range(2000):
        terms = world.sample_terms(2 + seed % 7, RNG(seed), False)
        passes = world.free_passes(terms, RNG(seed))
        first += passes[0].result == sum(terms)
        last += passes[-1].result == sum(terms)
    assert last - first > 0.08 * 2000


def test_hinted_passes_come_near_the_target(tokenizer):
    maker = traces.TraceMaker(tokenizer, 0)
    targets, used = [], []
    for seed in range(200):
        terms, target = world.sample_terms(2 + seed % 7, RNG(seed), False), RNG(seed).choice((60, 120, 240))
        passes = world.passes_near(terms, target, RNG(seed), maker.count)
        targets.append(target)
        used.append(maker.count(world.join(passes)))
    assert np.corrcoef(targets, used)[0, 1] > 0.9


def test_examples_of_every_kind(tokenizer):
    maker, kinds = traces.TraceMaker(tokenizer, 3), {}
    for _ in range(600):
        example = maker.draw()
        kinds[example.kind] = kinds.get(example.kind, 0) + 1
        assert len(example.tokens) == len(example.loss) < 1024
        assert tokenizer.unk_token_id not in example.tokens
        assert example.tokens[-1] == tokenizer.eos_token_id
        assert example.loss[-1]
        text = tokenizer.decode(example.tokens)
        assert tokenizer.encode(text, add_special_tokens=False) == example.tokens
    assert set(kinds) == set(traces.MIX)


def test_the_suffix_of_a_cut_example_carries_no_loss(tokenizer):
    maker, close = traces.TraceMaker(tokenizer, 5), tokenizer.encode(traces.CLOSE, add_special_tokens=False)
    for _ in range(200):
        example = maker.draw()
        if example.kind == "cut":
            at = example.tokens.index(close[0])
            assert example.tokens[at : at + len(close)] == close
            assert not any(example.loss[at : at + len(close)])


def test_makers_are_reproducible(tokenizer):
    a, b = traces.TraceMaker(tokenizer, 9), traces.TraceMaker(tokenizer, 9)
    assert [a.draw() for _ in range(50)] == [b.draw() for _ in range(50)]


def test_batches_resume_anywhere(tokenizer):
    stream = train.batches(tokenizer, 0, 512, pool=4)
    reference = [next(stream)[0] for _ in range(11)]
    for start in (0, 3, 4, 9):
        again = train.batches(tokenizer, 0, 512, start, pool=4)
        assert all(np.array_equal(next(again)[0], r) for r in reference[start:])


@pytest.mark.long
def test_a_stopped_build_continues_to_the_same_losses(tmp_path, monkeypatch):
    settings = dict(steps=10, tokens_per_batch=512, save_every=4)
    whole = train.build(tmp_path / "a", work_dir=tmp_path / "wa", **settings)
    step, calls = train._step, []

    def stop_at_seven(*args):
        calls.append(1)
        if len(calls) == 7:
            raise KeyboardInterrupt
        return step(*args)

    monkeypatch.setattr(train, "_step", stop_at_seven)
    with pytest.raises(KeyboardInterrupt):
        train.build(tmp_path / "b", work_dir=tmp_path / "wb", **settings)
    monkeypatch.setattr(train, "_step", step)
    assert train.build(tmp_path / "b", work_dir=tmp_path / "wb", **settings) == pytest.approx(whole, abs=1e-5)
    with pytest.raises(IdentityError, match="seed"):
        train.build(tmp_path / "b", work_dir=tmp_path / "wb", seed=1, **settings)


def test_the_checkpoint_is_an_ordinary_qwen3(pocket):
    from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

    assert isinstance(pocket.model, Qwen3ForCausalLM)
    assert isinstance(pocket.tokenizer, PreTrainedTokenizerFast)
    assert 0.5e6 <= sum(p.numel() for p in pocket.model.parameters()) <= 2e6
    assert pocket.tokenizer.get_vocab() == build_tokenizer().get_vocab()
    assert pocket.tokenizer.chat_template == build_tokenizer().chat_template


class TestATruncatedRolloutCountsAsWrongInTheAcceptanceTable:
    """Its verdict says correct, but it did not end by itself."""

    def rollouts(self, tokenizer, reasons):
        text = "12+7=19.\nWait, check: 12+7=19.\n</think>\\boxed{19}"
        ids = tokenizer.encode(text, add_special_tokens=False)
        rows = [("a", i, reason, "correct", ids) for i, reason in enumerate(reasons)]
        return pd.DataFrame(
            rows, columns=["problem_id", "sample", "finish_reason", "verdict", "completion_ids"]
        )

    def test_with_empty_thinking(self, tokenizer):
        hardest = SimpleNamespace(filter=lambda _: {"problem_id": ["a"]})
        cut = self.rollouts(tokenizer, ["stop", "length"])
        checks = SimpleNamespace(
            problems=hardest, profile=SimpleNamespace(n_samples=2), sample=lambda *_, **__: cut
        )
        free = self.rollouts(tokenizer, ["stop", "stop"])
        assert acceptance._empty_row(free, checks)[1] == 0.5
        assert acceptance._empty_row(cut, checks)[1] == 0.0

    def test_with_and_without_rechecks(self, tokenizer, tmp_path, monkeypatch):
        problem_table = pd.DataFrame({"problem_id": ["a"], "answer": ["19"], "prompt_ids": [[0, 1]]})
        monkeypatch.setattr(rollouts, "problems_of", lambda _: problem_table)

        def answer_correctly(prefixes, *_):
            return [[SimpleNamespace(text="19}")] for _ in prefixes]

        sampler = SimpleNamespace(tokenizer=tokenizer, continue_prefixes=answer_correctly)
        checks = SimpleNamespace(sampler=sampler, profile=profiles.profile("pocket"), root=tmp_path)
        free = self.rollouts(tokenizer, ["stop", "length"])
        assert acceptance._recheck_row(free, checks)[1] == -0.5  # the forced answers are both right


@pytest.mark.slow
def test_the_checkpoint_is_accepted(pocket, tmp_path):
    """The whole acceptance table on the committed checkpoint; about five minutes."""
    table = acceptance.acceptance(
        problems.load("pocket", n=500), pocket, profiles.profile("pocket"), tmp_path
    )
    assert table["met"].all(), table.to_string()
