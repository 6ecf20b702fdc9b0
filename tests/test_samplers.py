"""The Transformers sampler: greedy answers equal the naive way, seeds decide the tokens, bad input is
refused."""

import numpy as np
import pytest
import torch

from effwb import prompts
from effwb.errors import ConfigError, EffwbError
from effwb.samplers import BraceCloser, Prefixes, SamplingParams, open_sampler
from effwb.samplers.decode import Streams, nucleus, pick

GREEDY = SamplingParams(8, temperature=0.0, close_brace=True)


def prompt_ids(sampler, question="12+7+45=?", **how):
    return prompts.render(sampler.tokenizer, question, prompts.TEMPLATES["pocket"], **how)[1]


def suffix_of(sampler):
    text = prompts.forced_suffix(prompts.TEMPLATES["pocket"])
    return sampler.tokenizer.encode(text, add_special_tokens=False)


def naive_answers(sampler, prefixes, suffix_ids):
    """Truncate, append, `model.generate`, cut behind the closing brace: the reference."""
    closer = BraceCloser(sampler.tokenizer, suffix_ids)
    answers = []
    for cut in prefixes.cuts:
        ids = torch.tensor([prefixes.prompt_ids + prefixes.completion_ids[:cut] + list(suffix_ids)])
        full = sampler.model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=GREEDY.max_tokens, do_sample=False
        )
        new, state, kept = full[0, ids.shape[1] :].tolist(), closer.start, []
        for token in new:
            kept.append(token)
            state, closed = closer.step(state, token)
            if closed or token in sampler.stop_ids:
                break
        answers.append(kept)
    return answers


@pytest.fixture(scope="module")
def sampled(pocket):
    questions = ["3+4=?", "12+7+45=?", "120+7+45+8=?", "1+2+3+4+5+6+7+8=?"]
    prompts_ = [prompt_ids(pocket, q) for q in questions]
    groups = pocket.generate(prompts_, SamplingParams(300, n=2), [[2 * i, 2 * i + 1] for i in range(4)])
    return prompts_, groups


@pytest.mark.parametrize("cells", [10_000, 10_000_000])
def test_forked_answers_equal_naive_answers(pocket, sampled, cells, monkeypatch):
    monkeypatch.setattr(pocket, "probe_cells", cells)
    prompts_, groups = sampled
    suffix = suffix_of(pocket)
    cut = [0, 1, 2, 5, 9, 16, 33, 64, 150]
    work = [
        Prefixes(p, c.token_ids, [b for b in cut if b < len(c.token_ids)])
        for p, group in zip(prompts_, groups, strict=True)
        for c in group
    ]
    forked = pocket.continue_prefixes(work, suffix, GREEDY)
    for prefixes, row in zip(work, forked, strict=True):
        assert [a.token_ids for a in row] == naive_answers(pocket, prefixes, suffix)
        assert [a.cached_tokens for a in row] == [len(prefixes.prompt_ids) + c for c in prefixes.cuts]


def test_one_by_one_agrees_with_the_tree(pocket, sampled):
    prompts_, groups = sampled
    suffix = suffix_of(pocket)
    work = [Prefixes(prompts_[i], groups[i][0].token_ids, [0, 3, 7]) for i in (2, 1)]
    single = pocket._one_by_one(work, suffix, GREEDY, BraceCloser(pocket.tokenizer, suffix))
    tree = pocket.continue_prefixes(work, suffix, GREEDY)
    assert [[c.token_ids for c in r] for r in single] == [[c.token_ids for c in r] for r in tree]


ARCHITECTURES = {
    "eager llama": ("LlamaConfig", {}, "eager"),
    "sliding mistral": ("MistralConfig", {"sliding_window": 16}, "sdpa"),
    "sliding and full gemma3": ("Gemma3TextConfig", {"sliding_window": 16, "head_dim": 16}, "sdpa"),
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_other_attentions_equal_generate(name, pocket, tmp_path, monkeypatch):
    """Random weights, a left-padded batch, far beyond the sliding window: as `generate` has it."""
    import transformers

    config_name, options, attention = ARCHITECTURES[name]
    size = dict(hidden_size=64, intermediate_size=96, num_hidden_layers=4, num_attention_heads=4)
    shape = {**size, "num_key_value_heads": 2, "vocab_size": 41, "pad_token_id": 0, "eos_token_id": 1}
    config = getattr(transformers, config_name)(**shape, **options, attn_implementation=attention)
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation=attention).eval()
    monkeypatch.setattr(pocket, "_model", model)
    monkeypatch.setattr(pocket, "stop_ids", [1])
    assert not pocket._draws_trees()
    work = [prompt_ids(pocket, q) for q in ("3+4=?", "1+2+3+4+5+6+7+8=?", "12+7=?")]
    ours = pocket.generate(work, SamplingParams(40, temperature=0.0))
    for ids, (completion,) in zip(work, ours, strict=True):
        assert (
            completion.token_ids
            == model.generate(torch.tensor([ids]), max_new_tokens=40, do_sample=False)[0, len(ids) :].tolist()
        )
    ends = [[0, *sorted({min(5, n), min(30, n)})] for n in (len(c.token_ids) for (c,) in ours)]
    cut = [Prefixes(i, c.token_ids, e) for i, (c,), e in zip(work, ours, ends, strict=True)]
    for prefixes, row in zip(cut, pocket.continue_prefixes(cut, suffix_of(pocket), GREEDY), strict=True):
        assert [a.token_ids for a in row] == naive_answers(pocket, prefixes, suffix_of(pocket))


def test_a_completion_does_not_depend_on_its_batch(pocket):
    work = [prompt_ids(pocket, q) for q in ("3+4=?", "1+2+3+4+5+6+7+8=?", "12+7+300=?")]
    params, seeds = SamplingParams(200, n=2), [[1, 2], [3, 4], [5, 6]]
    together = pocket.generate(work, params, seeds)
    assert together == [pocket.generate([p], params, [s])[0] for p, s in zip(work, seeds, strict=True)]


def test_memory_bounds_change_no_token(pocket, sampled, monkeypatch):
    prompts_, groups = sampled
    work = [Prefixes(p, g[0].token_ids, [0, 3]) for p, g in zip(prompts_, groups, strict=True)]
    before = pocket.continue_prefixes(work, suffix_of(pocket), GREEDY)
    params, seeds = SamplingParams(60, n=2), [[2 * i, 2 * i + 1] for i in range(4)]
    rollouts = pocket.generate(prompts_, params, seeds)
    monkeypatch.setattr(pocket, "_cache_tokens", 1)
    assert pocket.continue_prefixes(work, suffix_of(pocket), GREEDY) == before
    assert pocket.generate(prompts_, params, seeds) == rollouts


def test_closing_frees_the_model_and_the_next_use_loads_it(tmp_path):
    with open_sampler("pocket") as sampler:
        assert sampler._model is None
        first = sampler.generate([[4, 16]], SamplingParams(3), [[1]])
        assert sampler._model is not None
    assert sampler._model is None
    assert sampler.generate([[4, 16]], SamplingParams(3), [[1]]) == first


def test_rollouts_without_cuts_get_no_answers(pocket, sampled):
    prompts_, groups = sampled
    suffix = suffix_of(pocket)
    work = [
        Prefixes(prompts_[0], groups[0][0].token_ids, []),
        Prefixes(prompts_[1], groups[1][0].token_ids, [4]),
    ]
    assert [len(r) for r in pocket.continue_prefixes(work, suffix, GREEDY)] == [0, 1]


def test_greedy_equals_generate(pocket):
    ids = prompt_ids(pocket)
    (ours,) = pocket.generate([ids], SamplingParams(200, temperature=0.0))[0]
    theirs = pocket.model.generate(torch.tensor([ids]), max_new_tokens=200, do_sample=False)[
        0, len(ids) :
    ].tolist()
    assert ours.token_ids == theirs


def test_same_seed_same_tokens_other_seed_other_tokens(pocket):
    ids = prompt_ids(pocket, "12+7+45+31+8+19=?")
    params = SamplingParams(200, n=4)
    a, b, c = (pocket.generate([ids], params, [s]) for s in ([1, 2, 3, 4], [1, 2, 3, 4], [5, 6, 7, 8]))
    assert a == b
    assert a != c


def test_a_completion_ends_with_eos_or_at_the_cap(pocket, sampled):
    _, groups = sampled
    for completion in (c for g in groups for c in g):
        assert len(completion.token_ids) <= 300
        assert (completion.token_ids[-1] in pocket.stop_ids) == (completion.finish_reason == "stop")
        assert "<|end|>" not in completion.text
    (short,) = pocket.generate([prompt_ids(pocket)], SamplingParams(3), [[1]])[0]
    assert (len(short.token_ids), short.finish_reason) == (3, "length")


def test_dropping_finished_rows_changes_nothing(pocket, monkeypatch):
    """Rows leave the batch when they finish; with KEEP = 0 none ever does."""
    from effwb.samplers import decode

    work = [prompt_ids(pocket, q) for q in ("3+4=?", "1+2+3+4+5+6+7+8=?", "12+7=?")]
    params = SamplingParams(250, n=3)
    seeds = [[i * 10 + j for j in range(3)] for i in range(3)]
    dropped = pocket.generate(work, params, seeds)
    monkeypatch.setattr(decode, "KEEP", 0.0)
    assert dropped == pocket.generate(work, params, seeds)


def test_pick_follows_the_distribution():
    logits = torch.log(torch.tensor([[0.5, 0.3, 0.2]])).repeat(20_000, 1)
    uniform = np.random.default_rng(0).random(20_000)
    counts = torch.bincount(pick(logits, SamplingParams(1), uniform), minlength=3) / 20_000
    assert torch.allclose(counts, torch.tensor([0.5, 0.3, 0.2]), atol=0.015)
    assert pick(logits[:1], SamplingParams(1, temperature=0.0), None).item() == 0
    assert (pick(logits, SamplingParams(1, top_p=0.75), uniform) < 2).all()


def test_nucleus_keeps_the_token_that_crosses_the_threshold():
    probs = torch.tensor([[0.2, 0.5, 0.3]])
    assert (nucleus(probs, 0.5) > 0).tolist() == [[False, True, False]]
    assert (nucleus(probs, 0.51) > 0).tolist() == [[False, True, True]]


def test_streams_depend_on_their_own_seed_only():
    many, one = Streams([3, 4, 5]), Streams([4])
    for step in range(600):
        assert (
            many.at(np.array([2, 1]), np.array([step, step]))[1] == one.at(np.array([0]), np.array([step]))[0]
        )


class Spelled:
    """A tokenizer whose tokens are spelled out in a list."""

    def __init__(self, *tokens):
        self.tokens = tokens

    def decode(self, ids):
        return "".join(self.tokens[i] for i in ids)


@pytest.mark.parametrize(
    ("tokens", "closes_at"),
    [
        (["4", "2", "}"], 2),
        (["\\frac{", "1", "}{", "2", "}", "}"], 5),
        (["\\frac{1}{2", "}}$"], 1),
        (["\\{1,2", "\\}", "}"], 2),
        (["\\{", "1", "\\", "}", "}"], 4),
        (["\\\\", "}"], 1),
        (["4", "2"], None),
    ],
)
def test_brace_closer(tokens, closes_at):
    tokenizer = Spelled(*tokens, "\\boxed{")
    closer = BraceCloser(tokenizer, [len(tokens)])
    state, found = closer.start, None
    for i in range(len(tokens)):
        state, closed = closer.step(state, i)
        found = i if closed and found is None else found
    assert found == closes_at


@pytest.mark.parametrize(
    ("call", "names"),
    [
        (lambda s: open_sampler("pocket", engine="vlm"), ["'vlm'", "transformers"]),
        (lambda s: open_sampler("no-such-model"), ["'no-such-model'", "pocket"]),
        (lambda s: open_sampler("pocket", batch_row=3), ["batch_row", "batch_rows"]),
        (lambda s: open_sampler("pocket", batch_rows=0), ["batch_rows", "0"]),
        (lambda s: s.generate([[1, 2, 999]], SamplingParams(4)), ["999", "vocabulary"]),
        (lambda s: s.generate([[]], SamplingParams(4)), ["empty"]),
        (lambda s: s.generate([[1] * 100], SamplingParams(2000)), ["2048", "1948"]),
        (lambda s: s.generate([[1] * 2100], SamplingParams(20)), ["2100", "does not fit", "2048"]),
        (lambda s: s.generate([[1], [2]], SamplingParams(4), [[1]]), ["seeds", "2 prompts"]),
        (lambda s: open_sampler("pocket", device="gpu0"), ["'gpu0'"]),
        (lambda s: s.continue_prefixes([Prefixes([1], [2] * 2046, [2046])], [3], GREEDY), ["2048"]),
        (lambda s: SamplingParams(0), ["max_tokens"]),
        (lambda s: SamplingParams(4, temperature=-1), ["temperature", "-1"]),
        (lambda s: SamplingParams(4, top_p=0), ["top_p"]),
    ],
)
def test_bad_input_names_the_value(pocket, call, names):
    with pytest.raises(EffwbError) as error:
        call(pocket)
    assert all(n in str(error.value) for n in names), str(error.value)


def test_sampled_probes_are_refused(pocket):
    with pytest.raises(ConfigError, match="greedy"):
        pocket.continue_prefixes([Prefixes([1], [2, 3], [1])], [3], SamplingParams(4, temperature=1.0))


def test_a_cut_behind_the_end_is_refused(pocket):
    work = [Prefixes(prompt_ids(pocket, "3+4=?"), [5, 6], [3])]
    with pytest.raises(ConfigError, match="cut behind its end"):
        pocket.continue_prefixes(work, suffix_of(pocket), GREEDY)
