"""The Transformers engine: runs anywhere, on any causal LM."""

from collections.abc import Sequence
from functools import cached_property

from effwb import models
from effwb.errors import ConfigError, EngineError
from effwb.samplers.base import BraceCloser, Completion, Prefixes, SamplingParams, check_context

CPU_CACHE = 2 * 1024**3  # bytes of keys and values held at once where there is no GPU
GPU_SHARE = 0.4  # of the free GPU memory; growing the cache copies it once


class TransformersSampler:
    """Samples with a decode loop of its own (see `decode`) and probes as a tree over the rollout's cache
    (`tree`).

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
    def around(cls, model, tokenizer, **options) -> "TransformersSampler":
        """A sampler on a model that is loaded already, as a trainer has it; its weights are read at each
        call.

        It has no identity of its own.
        """
        sampler = cls.__new__(cls)
        sampler._set_up(tokenizer, str(model.device), **options)
        sampler._model = model
        return sampler

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

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

    @cached_property
    def stop_ids(self) -> list[int]:
        """Every id that ends a completion: those of the generation config and the tokenizer's EOS."""
        listed = self.model.generation_config.eos_token_id
        ids = {*(listed if isinstance(listed, list) else [listed]), self.tokenizer.eos_token_id} - {None}
        if not ids:
            raise EngineError(f"neither the model {self.source.name!r} nor its tokenizer names an EOS token")
        return sorted(ids)

    @property
    def context(self) -> int | None:
        """Tokens that prompt and completion may have together; None where the model names no limit."""
        config = self._config if self._model is None else self._model.config
        return getattr(config.get_text_config(decoder=True), "max_position_embeddings", None)

    @cached_property
    def _config(self):
        return models.load_config(self.source)

    @property
    def cache_tokens(self) -> int:
        """Tokens whose keys and values may be held at once."""
        if self._cache_tokens is None:
            import torch

            gpu = self.device.startswith("cuda")
            free = GPU_SHARE * torch.cuda.mem_get_info(self.device)[0] if gpu else CPU_CACHE
            self._cache_tokens = max(1, int(free / models.cache_bytes_per_token(self.model)))
        return self._cache_tokens

    @cached_property
    def _identity(self) -> dict:
        from importlib.metadata import version

        versions = version("transformers"), version("torch").split("+")[0]
        return {
            "model": self.source.name,
            "weights": models.fingerprint(self.source),
            "tokenizer": models.tokenizer_fingerprint(self.tokenizer),
            "engine": self.engine,
            "engine_version": "transformers {}, torch {}".format(*versions),
            "dtype": self.dtype,
        }

    def identity(self) -> dict:
        return dict(self._identity)

    def batching(self) -> dict:
        bounds = {"batch_rows": self.batch_rows, "cache_tokens": self.cache_tokens}
        return {"device": self.device, **bounds, "probe_cells": self.probe_cells}

    def generate(
        self,
        prompt_ids: Sequence[Sequence[int]],
        params: SamplingParams,
        seeds: Sequence[Sequence[int]] | None = None,
    ) -> list[list[Completion]]:
        self._check_ids(prompt_ids)
        longest = max(map(len, prompt_ids), default=0)
        check_context(longest, params.max_tokens, self.context)
        if seeds is not None and [len(s) for s in seeds] != [params.n] * len(prompt_ids):
            raise ConfigError(f"seeds must be {params.n} per prompt for {len(prompt_ids)} prompts")
        flat = [list(p) for p in prompt_ids for _ in range(params.n)]
        flat_seeds = [s for row in seeds for s in row] if seeds is not None else _fresh_seeds(len(flat))
        done = [self._completion(*row) for row in self._decode(flat, params, flat_seeds)]
        return [done[i : i + params.n] for i in range(0, len(done), params.n)]

    def continue_prefixes(
        self, rollouts: Sequence[Prefixes], suffix_ids: Sequence[int], params: SamplingParams
    ) -> list[list[Completion]]:
        if params.temperature:
            raise ConfigError(
                f"forced answers are greedy in this engine, got temperature {params.temperature}"
            )
        if not suffix_ids:
            raise ConfigError("the forced-answer suffix has no tokens")
        longest = max((len(r.prompt_ids) + max(r.cuts, default=0) for r in rollouts), default=0)
        check_context(longest, len(suffix_ids) + params.max_tokens, self.context, "cut rollout")
        if any(max(r.cuts, default=0) > len(r.completion_ids) for r in rollouts):
            raise ConfigError("a rollout is cut behind its end")
        closer = BraceCloser(self.tokenizer, suffix_ids if params.close_brace else [])
        order = sorted((i for i, r in enumerate(rollouts) if r.cuts), key=lambda i: -_size(rollouts[i]))
        answer = self._trees if self._draws_trees() else self._one_by_one
        results: list[list[Completion]] = [[] for _ in rollouts]
        while order:
            keys = _size(rollouts[order[0]])
            queries = max(len(rollouts[i].cuts) for i in order) * len(suffix_ids)
            width = keys + queries
            take = min(self.probe_cells // (max(keys, queries) * width), self.cache_tokens // width)
            part, order = order[: max(1, take)], order[max(1, take) :]
            for i, row in zip(
                part, answer([rollouts[i] for i in part], suffix_ids, params, closer), strict=True
            ):
                results[i] = row
        return results

    def _draws_trees(self) -> bool:
        """Whether the attention takes the mask that makes a tree of one cache."""
        from effwb.samplers.cache import takes_masks

        return takes_masks(self.model.config)

    def _trees(self, rollouts, suffix_ids, params, closer) -> list[list[Completion]]:
        from effwb.samplers.tree import answer_branches

        pad = self.tokenizer.pad_token_id
        found = answer_branches(self.model, rollouts, suffix_ids, params, self.stop_ids, pad, closer)
        return [
            [
                self._completion(ids, reason, len(r.prompt_ids) + cut)
                for (ids, reason), cut in zip(row, r.cuts, strict=True)
            ]
            for r, row in zip(rollouts, found, strict=True)
        ]

    def _one_by_one(self, rollouts, suffix_ids, params, closer) -> list[list[Completion]]:
        """Truncate, append, generate: for models that cannot be probed as a tree."""
        rows = []
        for r in rollouts:
            prompts = [r.prompt_ids + r.completion_ids[:c] + list(suffix_ids) for c in r.cuts]
            found = self._decode(prompts, params, [0] * len(prompts))
            rows.append([self._completion(*_cut_at_brace(ids, reason, closer)) for ids, reason in found])
        return rows

    def _decode(self, prompts, params, seeds) -> list[tuple[list[int], str]]:
        """(token ids, finish reason) per prompt, as many at once as memory allows."""
        from effwb.samplers.decode import decode

        longest = max(map(len, prompts), default=0) + params.max_tokens
        rows, found = max(1, min(self.batch_rows, self.cache_tokens // longest)), []
        for start in range(0, len(prompts), rows):
            part = slice(start, start + rows)
            found += decode(
                self.model, prompts[part], params, seeds[part], self.stop_ids, self.tokenizer.pad_token_id
            )
        return found

    def _completion(self, ids: list[int], reason: str, cached: int = 0) -> Completion:
        visible = ids[:-1] if reason == "stop" and ids[-1] in self.stop_ids else ids
        return Completion(ids, self.tokenizer.decode(visible), reason, cached)

    def _check_ids(self, prompt_ids) -> None:
        top = self.model.get_input_embeddings().num_embeddings
        for ids in prompt_ids:
            if not len(ids):
                raise ConfigError("a prompt is empty")
            if min(ids) < 0 or max(ids) >= top:
                bad = min(ids) if min(ids) < 0 else max(ids)
                raise ConfigError(f"token id {bad} of a prompt is outside the vocabulary of {top}")


def _size(rollout: Prefixes) -> int:
    return len(rollout.prompt_ids) + max(rollout.cuts)


def _fresh_seeds(n: int) -> list[int]:
    import secrets

    return [secrets.randbits(63) for _ in range(n)]


def _cut_at_brace(ids: list[int], reason: str, closer: BraceCloser) -> tuple[list[int], str]:
    state = closer.start
    for i, token in enumerate(ids):
        state, closed = closer.step(state, token)
        if closed:
            return ids[: i + 1], "stop"
    return ids, reason
