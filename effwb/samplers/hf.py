"""The Transformers engine: runs anywhere, on any causal LM."""

from effwb import models
from effwb.errors import ConfigError
from effwb.samplers.base import Completion, Prefixes
from effwb.samplers.local import LocalSampler, cut_at_brace

CPU_CACHE = 2 * 1024**3  # bytes of keys and values held at once where there is no GPU
GPU_SHARE = 0.4  # of the free GPU memory; growing the cache copies it once


class TransformersSampler(LocalSampler):
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
        return [self.completion(*row) for row in self._decode(prompts, params, seeds)]

    def _continue(self, rollouts, suffix_ids, params, closer) -> list[list[Completion]]:
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
        from effwb.samplers.decode import decode

        longest = max(map(len, prompts), default=0) + params.max_tokens
        rows, found = max(1, min(self.batch_rows, self.cache_tokens // longest)), []
        for start in range(0, len(prompts), rows):
            part = slice(start, start + rows)
            found += decode(
                self.model, prompts[part], params, seeds[part], self.stop_ids, self.tokenizer.pad_token_id
            )
        return found


def _size(rollout: Prefixes) -> int:
    return len(rollout.prompt_ids) + max(rollout.cuts)
