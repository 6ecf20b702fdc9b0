"""The Transformers sampler: greedy answers equal naive ones, seeds fix the tokens, bad input is refused."""

import numpy as np
import pytest
import torch

from effwb import prompts
from effwb.errors import ConfigError, EffwbError, EngineError
from effwb.samplers import BraceCloser, Prefixes, SamplingParams, open_sampler
from effwb.samplers.transformers import cache, slots
from effwb.samplers.transformers.decode import RandomStreams, check_finite, nucleus, pick_tokens

GREEDY = SamplingParams(8, temperature=0.0, close_brace=True)


def prompt_ids(sampler, question="12+7+45=?"):
    return prompts.render(sampler.tokenizer, question, prompts.TEMPLATES["pocket"])[1]


def suffix_of(sampler):
    text = prompts.forced_suffix(prompts.TEMPLATES["pocket"])
    return sampler.tokenizer.encode(text, add_special_tokens=False)


def naive_answers(sampler, prefixes, suffix_ids):
    """Truncate, append, `model.generate`, cut after the closing brace: the reference."""
    closer = BraceCloser(sampler.tokenizer, suffix_ids)
    answers = []
    for cut in prefixes.cuts:
        ids = torch.tensor([prefixes.prompt_ids + prefixes.completion_ids[:cut] + list(suffix_ids)])
        full = sampler.model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=GREEDY.max_tokens, do_sample=False
        )
        new_ids, state, answer = full[0, ids.shape[1] :].tolist(), closer.start, []
        for token in new_ids:
            answer.append(token)
            state, closed = closer.step(state, token)
            if closed or token in sampler.stop_ids:
                break
        answers.append(answer)
    return answers


@pytest.fixture(scope="module")
def sampled(pocket):
    questions = ["3+4=?", "12+7+45=?", "120+7+45+8=?", "1+2+3+4+5+6+7+8=?"]
    prompts_ = [prompt_ids(pocket, q) for q in questions]
    groups = pocket.generate(prompts_, SamplingParams(300, n=2), [[2 * i, 2 * i + 1] for i in range(4)])
    return prompts_, groups


@pytest.mark.long
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


@pytest.mark.long
@pytest.mark.parametrize("keep", [0.0, 0.75, 1.0])
def test_dropping_finished_rows_changes_nothing(pocket, monkeypatch, keep):
    """In the loop for models without slots, rows leave the batch when they end; with KEEP = 0 none does."""
    from effwb.samplers.transformers import decode

    work = [prompt_ids(pocket, q) for q in ("3+4=?", "1+2+3+4+5+6+7+8=?", "12+7=?")]
    params, seeds = SamplingParams(250, n=3), [[i * 10 + j for j in range(3)] for i in range(3)]
    in_slots = pocket.generate(work, params, seeds)
    monkeypatch.setattr(pocket, "_uses_trees", lambda: False)
    monkeypatch.setattr(decode, "KEEP", keep)
    assert pocket.generate(work, params, seeds) == in_slots


ARCHITECTURES = {
    "eager llama": ("LlamaConfig", {}, "eager"),
    "sliding mistral": ("MistralConfig", {"sliding_window": 16}, "sdpa"),
    "sliding and full gemma3": ("Gemma3TextConfig", {"sliding_window": 16, "head_dim": 16}, "sdpa"),
    "dynamic rope": (
        "LlamaConfig",
        {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}},
        "sdpa",
    ),
    "grouped llama": ("LlamaConfig", {}, "sdpa"),
    "gpt2": ("GPT2Config", {"n_embd": 64, "n_layer": 3, "n_head": 4}, "sdpa"),
    "values narrower than queries": (
        "DeepseekV3Config",
        {
            **{"q_lora_rank": 16, "kv_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 16},
            **{"v_head_dim": 16, "first_k_dense_replace": 4, "num_key_value_heads": 4},
        },
        "sdpa",
    ),
}
SLOTS = ("grouped llama", "gpt2", "values narrower than queries")


@pytest.mark.long
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_other_attentions_equal_generate(name, pocket, tmp_path, monkeypatch):
    """Random weights, a left-padded batch, far beyond the sliding window: the tokens of `generate`."""
    import transformers

    config_name, options, attention = ARCHITECTURES[name]
    size = dict(hidden_size=64, intermediate_size=96, num_hidden_layers=4, num_attention_heads=4)
    shape = {**size, "num_key_value_heads": 2, "vocab_size": 41, "pad_token_id": 0, "eos_token_id": 1}
    config = getattr(transformers, config_name)(**{**shape, **options}, attn_implementation=attention)
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation=attention).eval()
    monkeypatch.setattr(pocket, "_model", model)
    monkeypatch.setattr(pocket, "stop_ids", [1])
    assert pocket._uses_trees() == (name in SLOTS)
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
    output = pocket.model.generate(torch.tensor([ids]), max_new_tokens=200, do_sample=False)
    assert ours.token_ids == output[0, len(ids) :].tolist()


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


@pytest.mark.long
@pytest.mark.parametrize(("rows", "refill_share"), [(2, 0.01), (3, 1.0), (7, 0.5)])
def test_the_way_slots_are_filled_changes_nothing(pocket, monkeypatch, rows, refill_share):
    work = [prompt_ids(pocket, q) for q in ("3+4=?", "1+2+3+4+5+6+7+8=?", "12+7=?")] + [[4]]
    params = SamplingParams(250, n=3, banned_first_tokens=(5,))
    seeds = [[i * 10 + j for j in range(3)] for i in range(4)]
    together = pocket.generate(work, params, seeds)
    assert len({len(c.token_ids) for row in together for c in row}) > 4
    monkeypatch.setattr(pocket, "batch_rows", rows)
    monkeypatch.setattr(slots, "REFILL_SHARE", refill_share)
    assert pocket.generate(work, params, seeds) == together


def test_a_short_completion_does_not_wait_for_a_long_one(pocket, monkeypatch):
    """With two slots, one completion as long as the others together takes as many steps as it has tokens."""
    model, params = pocket.model, SamplingParams(40, temperature=0.0)
    work = [prompt_ids(pocket, q) for q in ("1+2+3+4+5+6+7+8=?", "3+4=?", "3+5=?", "2+4=?")]
    steps, forward = [], slots.SlotDecoder._step
    monkeypatch.setattr(slots.SlotDecoder, "_step", lambda self: (steps.append(1), forward(self)))
    monkeypatch.setattr(slots, "REFILL_SHARE", 0.01)

    def count(stop_after: dict[int, int]) -> int:
        steps.clear()
        decoder = slots.SlotDecoder(model, work, params, [0] * 4, [], pocket.tokenizer.pad_token_id, 2)
        plain_step = decoder._step

        def step():
            plain_step()
            for slot, row in enumerate(decoder.row):
                decoder.running[slot] &= decoder.length[row] < stop_after[row]

        decoder._step = step
        decoder.run()
        return len(steps)

    assert count({0: 30, 1: 10, 2: 10, 3: 10}) == 30
    assert count({0: 10, 1: 10, 2: 10, 3: 30}) == 40


@pytest.mark.parametrize("trees", [True, False])
def test_probing_while_sampling_equals_probing_later(pocket, sampled, trees, monkeypatch):
    """Two suffixes, cuts in any order, at 0 and after the last token; few slots, each used several times."""
    prompts_, _ = sampled
    monkeypatch.setattr(pocket, "_uses_trees", lambda: trees)
    monkeypatch.setattr(pocket, "batch_rows", 3)
    params, seeds = SamplingParams(60, n=2), [[2 * i, 2 * i + 1] for i in range(4)]
    suffixes = [suffix_of(pocket), suffix_of(pocket)[1:]]

    def cut(p, i, completion):
        n = len(completion.token_ids)
        return [(n, suffixes[0]), (0, suffixes[1]), (n // 2, suffixes[0]), (n // 3, suffixes[1])][: 2 + p % 3]

    pocket.prefix_tokens = pocket.cached_tokens = 0
    groups, answers = pocket.generate_and_continue(prompts_, params, seeds, cut, GREEDY)
    with monkeypatch.context() as patch:  # the other loop
        patch.setattr(pocket, "_uses_trees", lambda: not trees)
        assert groups == pocket.generate(prompts_, params, seeds)
    assert {c.finish_reason for row in groups for c in row} == {"stop", "length"}
    assert pocket.cached_share == (1.0 if trees else 0.0)
    for p, (row, answer_rows) in enumerate(zip(groups, answers, strict=True)):
        for i, (completion, answer_row) in enumerate(zip(row, answer_rows, strict=True)):
            for (at, suffix), answer in zip(cut(p, i, completion), answer_row, strict=True):
                rollout = Prefixes(prompts_[p], completion.token_ids, [at])
                ((later,),) = pocket.continue_prefixes([rollout], suffix, GREEDY)
                assert answer == later


def test_no_prompts_give_no_completions(pocket):
    assert pocket.generate([], SamplingParams(4)) == []
    assert pocket.generate_and_continue([], SamplingParams(4), [], lambda *_: [], GREEDY) == ([], [])


def test_our_attention_equals_the_librarys_and_is_put_back(pocket):
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    torch.manual_seed(0)
    query, (key, value) = torch.randn(3, 6, 5, 8), torch.randn(2, 3, 2, 9, 8)
    module = type("Layer", (), {"num_key_value_groups": 3, "is_causal": True})()
    visible = torch.rand(3, 5, 9) > 0.4
    visible[..., 0] = True
    mask = cache.additive_mask(visible, torch.float32)
    for our_mask, their_mask in ((mask, visible[:, None]), (None, None)):
        keys = slice(9 if our_mask is not None else 5)
        tensors = (module, query, key[:, :, keys], value[:, :, keys])
        output = cache.grouped_attention(*tensors, our_mask, scaling=0.3)[0]
        expected = sdpa_attention_forward(*tensors, their_mask, scaling=0.3)[0]
        assert torch.allclose(output, expected, atol=1e-5)
    with cache.use_grouped_attention(pocket.model):
        assert pocket.model.config._attn_implementation == cache.ATTENTION
    assert pocket.model.config._attn_implementation == "sdpa"


def test_packed_layers_compute_what_plain_ones_do(pocket):
    from effwb.samplers.transformers.packed import can_pack, linear_layers, packed_linear_layers

    model, ids = pocket.model, torch.tensor([prompt_ids(pocket)])
    if not can_pack(model):
        pytest.skip("this PyTorch has no oneDNN")
    plain = model(ids).logits
    n_layers, no_weight = len(linear_layers(model)), torch.nn.Parameter(torch.full((4, 4), torch.nan))
    with packed_linear_layers(model):
        assert not linear_layers(model)  # all are packed
        with torch.no_grad():
            assert torch.allclose(model(ids).logits, plain, atol=1e-3)
            first, weight = model.model.layers[0].mlp.up_proj, model.model.layers[0].mlp.up_proj.weight
            first.weight = no_weight  # the packed copy computes
            assert torch.allclose(model(ids).logits, plain, atol=1e-3)
            first.weight = weight
        assert torch.equal(model(ids).logits, plain)  # gradients are on
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            assert torch.allclose(model(ids).logits.float(), plain, atol=1)
    assert len(linear_layers(model)) == n_layers > 20


@pytest.mark.parametrize("when", ["packing", "sampling"])
def test_an_interrupt_leaves_the_model_as_it_was(pocket, monkeypatch, when):
    from effwb.samplers.transformers import packed

    calls = []

    def interrupted(function):
        def interrupted_at_third_call(*args, **kwargs):
            calls.append(1)
            if len(calls) == 3:
                raise KeyboardInterrupt
            return function(*args, **kwargs)

        return interrupted_at_third_call

    n_layers = len(packed.linear_layers(pocket.model))
    with monkeypatch.context() as patch:
        if when == "packing":
            patch.setattr(packed, "PackedLinear", interrupted(packed.PackedLinear))
        else:
            patch.setattr(slots.SlotDecoder, "_step", interrupted(slots.SlotDecoder._step))
        with pytest.raises(KeyboardInterrupt):
            pocket.generate([[4, 5]], SamplingParams(40, temperature=0.0))
    assert len(calls) == 3
    assert len(packed.linear_layers(pocket.model)) == n_layers
    assert pocket.model.config._attn_implementation == "sdpa"


@pytest.mark.parametrize("kind", [MemoryError, torch.OutOfMemoryError, RuntimeError])
def test_out_of_memory_names_the_options_to_lower(pocket, monkeypatch, kind):
    def step(self):
        raise kind("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: not enough memory")

    monkeypatch.setattr(slots.SlotDecoder, "_step", step)
    with pytest.raises(
        EngineError, match=r"out of memory on cpu: lower cache_tokens \(now \d+\) or batch_rows"
    ):
        pocket.generate([[4, 5]], SamplingParams(4))


def test_picked_tokens_follow_the_distribution():
    logits = torch.log(torch.tensor([[0.5, 0.3, 0.2]])).repeat(20_000, 1)
    uniform = np.random.default_rng(0).random(20_000)
    counts = torch.bincount(pick_tokens(logits, SamplingParams(1), uniform), minlength=3) / 20_000
    assert torch.allclose(counts, torch.tensor([0.5, 0.3, 0.2]), atol=0.015)
    assert pick_tokens(logits[:1], SamplingParams(1, temperature=0.0), None).item() == 0
    assert (pick_tokens(logits, SamplingParams(1, top_p=0.75), uniform) < 2).all()


def test_nucleus_keeps_the_token_that_crosses_the_threshold():
    probs = torch.tensor([[0.2, 0.5, 0.3]])
    assert (nucleus(probs, 0.5) > 0).tolist() == [[False, True, False]]
    assert (nucleus(probs, 0.51) > 0).tolist() == [[False, True, True]]


def test_streams_depend_on_their_own_seed_only():
    together, alone = RandomStreams([3, 4, 5]), RandomStreams([4])
    for step in range(600):
        _, number = together.uniform(np.array([2, 1]), np.array([step, step]))
        assert number == alone.uniform(np.array([0]), np.array([step]))[0]


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
    state, closed_at = closer.start, None
    for i in range(len(tokens)):
        state, closed = closer.step(state, i)
        closed_at = i if closed and closed_at is None else closed_at
    assert closed_at == closes_at


@pytest.mark.parametrize(
    ("call", "names"),
    [
        (lambda s: open_sampler("pocket", engine="vlm"), ["'vlm'", "transformers"]),
        (lambda s: open_sampler("no-such-model"), ["'no-such-model'", "pocket"]),
        (lambda s: open_sampler("pocket", batch_row=3), ["batch_row", "batch_rows"]),
        (lambda s: open_sampler("pocket", batch_rows=0), ["batch_rows", "0"]),
        (lambda s: s.generate([[1, 2, 999]], SamplingParams(4)), ["999", "vocabulary"]),
        (lambda s: s.generate([[]], SamplingParams(4)), ["empty"]),
        (lambda s: s.continue_prefixes([Prefixes([1], [2, 999], [2])], [3], GREEDY), ["999", "vocabulary"]),
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


def test_a_cut_beyond_the_end_is_refused(pocket):
    work = [Prefixes(prompt_ids(pocket, "3+4=?"), [5, 6], [3])]
    with pytest.raises(ConfigError, match="2 tokens cannot be cut after 3: that is beyond its end"):
        pocket.continue_prefixes(work, suffix_of(pocket), GREEDY)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("way", ["slots", "one batch"])
@pytest.mark.parametrize("damage", [float("nan"), float("inf")])
def test_logits_that_are_not_finite_stop_sampling(monkeypatch, temperature, way, damage):
    with open_sampler("pocket") as sampler:
        with torch.no_grad():
            sampler.model.lm_head.weight[5] = damage  # one token in the vocabulary is enough
        if way == "one batch":
            monkeypatch.setattr(type(sampler), "_uses_trees", lambda self: False)
        with pytest.raises(EngineError, match=r"logits are not finite.*float32"):
            sampler.generate([[6, 7]], SamplingParams(4, temperature=temperature), [[0]])
        rollout, greedy = Prefixes([6, 7], [8, 9], [1, 2]), SamplingParams(4, temperature=0.0)
        with pytest.raises(EngineError, match="logits are not finite"):
            sampler.continue_prefixes([rollout], [10], greedy)


def test_banned_tokens_are_no_damage():
    check_finite(torch.tensor([[0.0, -torch.inf]]))
    for row in ([torch.nan, 0.0], [torch.inf, 0.0], [-torch.inf, -torch.inf]):
        with pytest.raises(EngineError):
            check_finite(torch.tensor([[0.0, 1.0], row]))
