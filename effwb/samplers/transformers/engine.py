"""The Transformers engine: runs anywhere, on any causal LM."""

from collections.abc import Iterator
from contextlib import contextmanager

from effwb import models
from effwb.errors import ConfigError, EngineError
from effwb.samplers.base import Completion, Prefixes
from effwb.samplers.local import BaseSampler, cut_at_brace

CPU_CACHE = 2 * 1024**3  # bytes of keys and values held at once where there is no GPU
SLOT_SHARE = 0.75  # of the cache for rollouts where they are probed at once; the rest is for the probes
BRANCHES = 4  # times `batch_rows` is the most forced answers at once: each needs logits over the vocabulary
GPU_SHARE = 0.4  # of the free GPU memory; growing the cache copies it once


class TransformersSampler(BaseSampler):
    """Samples in slots, where a completion that has ended makes room for the next (see `slots`), and probes
    as a tree over the rollout's cache (`tree`).

    The weights are loaded at the first use, so a finished run is read back without them. `batch_rows` bounds
    the completions decoded together, `cache_tokens` the tokens whose keys and values are held at once
    (default: what fits the device), `probe_cells` the cells of one attention mask. Where memory is short,
    lower `cache_tokens`. In float32 none of them changes a token; in bfloat16 batches of another shape may
    round differently.
    """

    engine = "transformers"

    def __init__(
        self,
        model: str,
        *,
        dtype: str = "float32",
        device: str | None = None,
        batch_rows: int = 256,
        cache_tokens: int | None = None,
        probe_cells: int | None = None,
    ):
        self.source = models.locate(model)
        self.dtype = models.check_dtype(dtype)
        tokenizer = models.load_tokenizer(self.source)
        self._set_up(tokenizer, models.pick_device(device), batch_rows, cache_tokens, probe_cells)

    def _set_up(self, tokenizer, device: str, batch_rows=256, cache_tokens=None, probe_cells=None):
        for name, value in (
            ("batch_rows", batch_rows),
            ("cache_tokens", cache_tokens),
            ("probe_cells", probe_cells),
        ):
            if value is not None and value < 1:
                raise ConfigError(f"{name} must be positive, got {value}")
        self.tokenizer, self.device = tokenizer, device
        self.batch_rows, self._cache_tokens = batch_rows, cache_tokens
        # On a CPU a mask that fits the second-level cache is ten times faster than a large one (LOG.md).
        self.probe_cells = probe_cells or (200_000 if self.device == "cpu" else 32_000_000)
        self._model = None

    @classmethod
    def from_model(cls, model, tokenizer, **options) -> "TransformersSampler":
        """A sampler on a model that is loaded already, as a trainer has it; its weights are read at each
        call.

        It has no identity of its own.
        """
        sampler = cls.__new__(cls)
        sampler._set_up(tokenizer, str(model.device), **options)
        sampler._model = model
        sampler.config, sampler.generation_config = model.config, model.generation_config
        return sampler

    def close(self) -> None:
        """Drop the weights and hand the accelerator's memory back; the next use loads them again."""
        import gc

        import torch

        self._model = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    @property
    def model(self):
        """The model, loaded at the first use."""
        if self._model is None:
            self._model = models.load_model(self.source, self.dtype, self.device)
        return self._model

    @property
    def cache_tokens(self) -> int:
        """Tokens whose keys and values may be held at once."""
        if self._cache_tokens is None:
            import torch

            gpu = self.device.startswith("cuda")
            free = GPU_SHARE * torch.cuda.mem_get_info(self.device)[0] if gpu else CPU_CACHE
            self._cache_tokens = max(1, int(free / models.cache_bytes_per_token(self.model)))
        return self._cache_tokens

    def _versions(self) -> str:
        from importlib.metadata import version

        return f"transformers {version('transformers')}, torch {version('torch').split('+')[0]}"

    def batching(self) -> dict:
        bounds = {"batch_rows": self.batch_rows, "cache_tokens": self.cache_tokens}
        return {"device": self.device, **bounds, "probe_cells": self.probe_cells}

    def _sample(self, prompts, params, seeds) -> list[Completion]:
        with self._at_work():
            return [self.completion(*row) for row in self._decode(prompts, params, seeds)]

    def _sample_and_continue(self, prompts, params, seeds, cut, answer_params):
        if not self._draws_trees():
            return super()._sample_and_continue(prompts, params, seeds, cut, answer_params)
        probing = StreamingProber(self, prompts, cut, answer_params)
        with self._at_work():
            self._decoding(prompts, params, seeds, probing).run()
        return probing.done, probing.answers

    def _continue(self, rollouts, suffix_ids, params, closer) -> list[list[Completion]]:
        answer = self._trees if self._draws_trees() else self._one_by_one
        results: list[list[Completion]] = [[] for _ in rollouts]
        with self._at_work():
            for part in self._parts(rollouts, suffix_ids, params, self.cache_tokens):
                found = answer([rollouts[i] for i in part], suffix_ids, params, closer)
                for i, row in zip(part, found, strict=True):
                    results[i] = row
        return results

    @contextmanager
    def _at_work(self):
        """The model as it computes fastest; where memory runs out, an error that names what to lower."""
        from effwb.samplers.transformers.packed import packed

        model = self.model
        try:
            with packed(model):
                yield
        except (MemoryError, RuntimeError) as error:
            if not _no_memory(error):
                raise
            raise EngineError(
                f"out of memory on {self.device}: lower cache_tokens (now {self.cache_tokens}) or batch_rows "
                f"(now {self.batch_rows}), options of this engine; finished shards are kept"
            ) from error

    def _parts(self, rollouts, suffix_ids, params, cache_tokens: float) -> Iterator[list[int]]:
        """Which rollouts with cuts are probed together, the longest first, in so much of the cache."""
        order = sorted((i for i, r in enumerate(rollouts) if r.cuts), key=lambda i: -_size(rollouts[i]))
        while order:
            branches = max(len(rollouts[i].cuts) for i in order)
            queries = branches * len(suffix_ids)
            width = _size(rollouts[order[0]]) + queries
            room = width + branches * params.max_tokens
            cells, tokens = self.probe_cells // (queries * width), cache_tokens // room
            take = max(1, int(min(cells, tokens, self.batch_rows * BRANCHES // branches)))
            yield order[:take]
            order = order[take:]

    def _draws_trees(self) -> bool:
        """Whether the attention takes the mask that makes a tree of one cache."""
        from effwb.samplers.transformers.cache import supports_tree_attention

        return supports_tree_attention(self.model.config)

    def _trees(self, rollouts, suffix_ids, params, closer, cache=None) -> list[list[Completion]]:
        from effwb.samplers.transformers.tree import answer_branches

        how = (self.stop_ids, self.tokenizer.pad_token_id, closer)
        found = answer_branches(self.model, rollouts, suffix_ids, params, *how, cache)
        return [
            [
                self.completion(ids, reason, len(r.prompt_ids) + cut)
                for (ids, reason), cut in zip(row, r.cuts, strict=True)
            ]
            for r, row in zip(rollouts, found, strict=True)
        ]

    def _one_by_one(self, rollouts, suffix_ids, params, closer) -> list[list[Completion]]:
        """Truncate, append, generate: for models that cannot be probed as a tree."""
        rows = []
        for r in rollouts:
            prompts = [r.prompt_ids + r.completion_ids[:c] + suffix_ids for c in r.cuts]
            found = self._decode(prompts, params, [0] * len(prompts))
            rows.append([self.completion(*cut_at_brace(ids, reason, closer)) for ids, reason in found])
        return rows

    def _decode(self, prompts, params, seeds) -> list[tuple[list[int], str]]:
        """(token ids, finish reason) per prompt, as many at once as memory allows."""
        if self._draws_trees():
            return self._decoding(prompts, params, seeds).run()
        from effwb.samplers.transformers.decode import decode

        rows, found = self._rows(prompts, params, self.cache_tokens), []
        for start in range(0, len(prompts), rows):
            part = slice(start, start + rows)
            found += decode(
                self.model, prompts[part], params, seeds[part], self.stop_ids, self.tokenizer.pad_token_id
            )
        return found

    def _decoding(self, prompts, params, seeds, finished=None):
        from effwb.samplers.transformers.slots import Decoding

        held = self.cache_tokens if finished is None else SLOT_SHARE * self.cache_tokens
        rows, pad = self._rows(prompts, params, held), self.tokenizer.pad_token_id
        return Decoding(self.model, prompts, params, seeds, self.stop_ids, pad, rows, finished)

    def _rows(self, prompts, params, cache_tokens: float) -> int:
        """How many completions are decoded together."""
        longest = max(map(len, prompts), default=0) + params.max_tokens
        return max(1, min(self.batch_rows, int(cache_tokens // longest)))


class StreamingProber:
    """Probes completions as they end, while their slots hold their keys and values."""

    def __init__(self, sampler: TransformersSampler, prompts, cut, params):
        self.sampler, self.prompts, self.cut, self.params = sampler, prompts, cut, params
        self.done: list[Completion | None] = [None] * len(prompts)
        self.answers: list[list[Completion | None]] = [[] for _ in prompts]

    def __call__(self, decoding, rows, slots) -> None:
        """As `slots.Decoding` calls it."""
        by_suffix: dict[tuple, list] = {}
        for i, slot in zip(rows, slots, strict=True):
            self.done[i] = self.sampler.completion(*decoding.result(i))
            cuts = self.cut(i, self.done[i])
            self.answers[i] = [None] * len(cuts)
            for suffix in dict.fromkeys(tuple(ids) for _, ids in cuts):
                places = [k for k, (_, ids) in enumerate(cuts) if tuple(ids) == suffix]
                by_suffix.setdefault(suffix, []).append((i, slot, places, [cuts[k][0] for k in places]))
        for suffix, work in by_suffix.items():
            self._probe(decoding.cache, suffix, work)

    def _probe(self, cache, suffix: tuple, work: list[tuple]) -> None:
        """`work` has the number of a prompt, its slot, and the places and cuts of its answers."""
        import torch

        closer = self.sampler.closer(suffix, self.params)
        rollouts = [Prefixes(self.prompts[i], self.done[i].token_ids, cuts) for i, _, _, cuts in work]
        beside = (1 - SLOT_SHARE) * self.sampler.cache_tokens
        for part in self.sampler._parts(rollouts, suffix, self.params, beside):
            mine = [rollouts[j] for j in part]
            held = cache.take(torch.stack([work[j][1] for j in part]), max(map(_size, mine)))
            found = self.sampler._trees(mine, suffix, self.params, closer, held)
            for j, row in zip(part, found, strict=True):
                i, _, places, _ = work[j]
                for k, answer in zip(places, row, strict=True):
                    self.answers[i][k] = answer


def _no_memory(error: Exception) -> bool:
    """PyTorch has an error of its own for accelerators; on a CPU it is a RuntimeError of its allocator."""
    import torch

    kinds = (MemoryError, torch.OutOfMemoryError)
    return isinstance(error, kinds) or "DefaultCPUAllocator" in str(error)


def _size(rollout: Prefixes) -> int:
    return len(rollout.prompt_ids) + max(rollout.cuts)
