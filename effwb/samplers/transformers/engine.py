"""The Transformers engine: runs anywhere, with any causal LM."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from effwb import models
from effwb._internal.checked import Positive, check_value
from effwb.errors import EngineError
from effwb.samplers.base import Cuts, Sampler
from effwb.samplers.braces import BraceCloser, cut_at_brace
from effwb.samplers.values import Completion, Prefixes, SamplingParams

if TYPE_CHECKING:
    import numpy as np
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase
    from transformers.cache_utils import Cache

    from effwb.samplers.transformers.slots import SlotDecoder

CPU_CACHE_BYTES = 2 * 1024**3  # of keys and values held at once if there is no GPU
GPU_SHARE = 0.4  # of the free GPU memory, because growing the cache copies it once
SLOT_SHARE = 0.75  # of the cache for completions that are probed as they end; the rest is for their probes
MAX_BRANCHES = 4  # times `batch_rows`: the most answers at once, because each needs logits of its own


class TransformersSampler(Sampler):
    """Samples in slots and probes as a tree over the cache of a rollout.

    A completion that has ended gives its slot to the next prompt (see `slots`). All forced answers of a
    rollout share its keys and values (see `tree`). The weights are loaded at the first use, so a finished run
    is read back without them.

    In float32 none of the sizes below changes a token. In bfloat16 batches of another shape may round
    differently. If memory runs out, lower `cache_tokens`.

    Args:
        model: See `effwb.models.locate`.
        dtype: One of `effwb.models.DTYPES`.
        device: A PyTorch device. None: CUDA if available, else the CPU.
        batch_rows: The most completions decoded together.
        cache_tokens: The most tokens whose keys and values are held at once. None: what fits the device.
        probe_cells: The most cells of one attention mask. None: a good size for the device.
        trust_remote_code: Whether code that comes with the model may run.

    Raises:
        ConfigError: For an unknown model or dtype, or a size that is not positive.
        EngineError: If the device is not available.
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
        trust_remote_code: bool = False,
    ):
        self.source = models.locate(model, trust_remote_code)
        self.dtype = models.check_dtype(dtype)
        tokenizer = models.load_tokenizer(self.source)
        self._set_up(tokenizer, models.pick_device(device), batch_rows, cache_tokens, probe_cells)

    def _set_up(self, tokenizer, device: str, batch_rows=256, cache_tokens=None, probe_cells=None):
        for name, value in (
            ("batch_rows", batch_rows),
            ("cache_tokens", cache_tokens),
            ("probe_cells", probe_cells),
        ):
            check_value(name, value, Positive | None)
        self.tokenizer, self.device = tokenizer, device
        self.batch_rows, self._cache_tokens = batch_rows, cache_tokens
        # On a CPU a mask that fits the second-level cache is ten times faster than a large one (LOG.md).
        self.probe_cells = probe_cells or (200_000 if self.device == "cpu" else 32_000_000)
        self._model: PreTrainedModel | None = None
        self._is_own_model = True

    @classmethod
    def from_model(
        cls, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, **options
    ) -> TransformersSampler:
        """A sampler on a model that is already loaded, such as a trainer's. It has no identity.

        Args:
            model: The model. Its current weights are used at each call.
            tokenizer: The model's tokenizer.
            **options: `batch_rows`, `cache_tokens` and `probe_cells`, as for the class.
        """
        sampler = cls.__new__(cls)
        sampler._set_up(tokenizer, str(model.device), **options)
        sampler._model, sampler._is_own_model = model, False
        sampler.config, sampler.generation_config = model.config, model.generation_config
        return sampler

    def close(self) -> None:
        """Drop the weights and give the accelerator's memory back; the next use loads them again."""
        import gc

        import torch

        self._model = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    @property
    def model(self) -> PreTrainedModel:
        """The model, loaded at the first use."""
        if self._model is None:
            self._model = models.load_model(self.source, self.dtype, self.device)
        return self._model

    @property
    def cache_tokens(self) -> int:
        """The most tokens whose keys and values are held at once."""
        if self._cache_tokens is None:
            import torch

            on_gpu = self.device.startswith("cuda")
            size = GPU_SHARE * torch.cuda.mem_get_info(self.device)[0] if on_gpu else CPU_CACHE_BYTES
            self._cache_tokens = max(1, int(size / models.cache_bytes_per_token(self.model)))
        return self._cache_tokens

    def batching(self) -> dict:
        """Device and batch shape. Recorded with a run, because low precision rounds with the batch."""
        sizes = {"batch_rows": self.batch_rows, "cache_tokens": self.cache_tokens}
        return {"device": self.device, **sizes, "probe_cells": self.probe_cells}

    def _versions(self) -> str:
        from importlib.metadata import version

        return f"transformers {version('transformers')}, torch {version('torch').split('+')[0]}"

    def _sample(self, prompts, params, seeds) -> list[Completion]:
        with self._computing():
            return [self.completion(ids, reason) for ids, reason in self._decode(prompts, params, seeds)]

    def _sample_and_continue(self, prompts, params, seeds, cut, answer_params):
        if not self._uses_trees():
            return super()._sample_and_continue(prompts, params, seeds, cut, answer_params)
        prober = StreamingProber(self, prompts, cut, answer_params)
        with self._computing():
            self._slot_decoder(prompts, params, seeds, prober).run()
        return prober.completions, prober.answers

    def _continue(self, rollouts, suffix_ids, params, closer) -> list[list[Completion]]:
        answer = self._trees if self._uses_trees() else self._one_by_one
        results: list[list[Completion]] = [[] for _ in rollouts]
        with self._computing():
            for part in self._parts(rollouts, suffix_ids, params, self.cache_tokens):
                rows = answer([rollouts[i] for i in part], suffix_ids, params, closer)
                for i, row in zip(part, rows, strict=True):
                    results[i] = row
        return results

    @contextmanager
    def _computing(self) -> Iterator[None]:
        """Use the model's fastest form, and stop at logits that are not finite.

        If memory runs out, the error names what to lower.
        """
        import torch

        from effwb.samplers.transformers.decode import check_finite
        from effwb.samplers.transformers.packed import packed_linear_layers

        model = self.model
        hooks = []
        if self._is_own_model:  # a trainer says itself at which step its model broke
            hooks.append(
                model.register_forward_hook(lambda _model, _inputs, output: check_finite(output.logits))
            )
        try:
            with packed_linear_layers(model):
                yield
        except (MemoryError, RuntimeError) as error:
            # accelerators have an error class of their own; the CPU's allocator raises a RuntimeError
            out_of_memory = isinstance(error, (MemoryError, torch.OutOfMemoryError))
            if not out_of_memory and "DefaultCPUAllocator" not in str(error):
                raise
            raise EngineError(
                f"out of memory on {self.device}: lower cache_tokens (now {self.cache_tokens}) or batch_rows "
                f"(now {self.batch_rows}), options of this engine; finished shards are kept"
            ) from error
        finally:
            for hook in hooks:
                hook.remove()

    def _parts(self, rollouts, suffix_ids, params, cache_tokens: float) -> Iterator[list[int]]:
        """Which rollouts to probe together so that they fit into `cache_tokens`, the longest first."""
        order = sorted((i for i, r in enumerate(rollouts) if r.cuts), key=lambda i: -_tokens(rollouts[i]))
        while order:
            branches = max(len(rollouts[i].cuts) for i in order)
            queries = branches * len(suffix_ids)
            width = _tokens(rollouts[order[0]]) + queries
            columns = width + branches * params.max_tokens
            by_mask, by_cache = self.probe_cells // (queries * width), cache_tokens // columns
            count = max(1, int(min(by_mask, by_cache, self.batch_rows * MAX_BRANCHES // branches)))
            yield order[:count]
            order = order[count:]

    def _uses_trees(self) -> bool:
        """Whether the model's attention takes the mask that a tree over one cache needs."""
        from effwb.samplers.transformers.cache import supports_tree_attention

        return supports_tree_attention(self.model.config)

    def _trees(self, rollouts, suffix_ids, params, closer, cache=None) -> list[list[Completion]]:
        from effwb.samplers.transformers.tree import answer_branches

        pad_id = self.tokenizer.pad_token_id
        rows = answer_branches(self.model, rollouts, suffix_ids, params, self.stop_ids, pad_id, closer, cache)
        return [
            [
                self.completion(ids, reason, len(rollout.prompt_ids) + cut)
                for (ids, reason), cut in zip(row, rollout.cuts, strict=True)
            ]
            for rollout, row in zip(rollouts, rows, strict=True)
        ]

    def _one_by_one(self, rollouts, suffix_ids, params, closer) -> list[list[Completion]]:
        """Truncate, append, generate: for models that cannot be probed as a tree."""
        results = []
        for rollout in rollouts:
            prompts = [rollout.prompt_ids + rollout.completion_ids[:cut] + suffix_ids for cut in rollout.cuts]
            rows = self._decode(prompts, params, [0] * len(prompts))
            results.append([self.completion(*cut_at_brace(ids, reason, closer)) for ids, reason in rows])
        return results

    def _decode(self, prompts, params, seeds) -> list[tuple[list[int], str]]:
        """(token ids, finish reason) per prompt, as many at once as memory allows."""
        if self._uses_trees():
            return self._slot_decoder(prompts, params, seeds).run()
        from effwb.samplers.transformers.decode import decode

        size, rows = self._batch_size(prompts, params, self.cache_tokens), []
        for start in range(0, len(prompts), size):
            part = slice(start, start + size)
            rows += decode(
                self.model, prompts[part], params, seeds[part], self.stop_ids, self.tokenizer.pad_token_id
            )
        return rows

    def _slot_decoder(self, prompts, params, seeds, on_finished=None) -> SlotDecoder:
        from effwb.samplers.transformers.slots import SlotDecoder

        cache_tokens = self.cache_tokens if on_finished is None else SLOT_SHARE * self.cache_tokens
        slots, pad_id = self._batch_size(prompts, params, cache_tokens), self.tokenizer.pad_token_id
        return SlotDecoder(self.model, prompts, params, seeds, self.stop_ids, pad_id, slots, on_finished)

    def _batch_size(self, prompts, params, cache_tokens: float) -> int:
        """How many completions are decoded together."""
        longest = max(map(len, prompts), default=0) + params.max_tokens
        return max(1, min(self.batch_rows, int(cache_tokens // longest)))


class StreamingProber:
    """Probes completions as they end, while their slots still hold their keys and values.

    An instance is the `on_finished` of a `SlotDecoder`.

    Args:
        sampler: The sampler whose model is decoding.
        prompts: Token ids of each prompt.
        cut: `cut(row, completion)` returns the cuts of a completion and their suffixes.
        params: How to sample the answers.

    Attributes:
        completions: The completion of each prompt; None until it has ended.
        answers: The answers of each completion, in the order of its cuts.
    """

    def __init__(
        self,
        sampler: TransformersSampler,
        prompts: Sequence[list[int]],
        cut: Callable[[int, Completion], Cuts],
        params: SamplingParams,
    ):
        self.sampler, self.prompts, self.cut, self.params = sampler, prompts, cut, params
        self.completions: list[Completion | None] = [None] * len(prompts)
        self.answers: list[list[Completion | None]] = [[] for _ in prompts]

    def __call__(self, decoder: SlotDecoder, rows: np.ndarray, slots: torch.Tensor) -> None:
        """Answer the cuts of the completions `rows`, which have ended in `slots`."""
        # for each suffix: (row, slot, indices of the answers, the completion with their cuts)
        work: dict[tuple[int, ...], list[tuple]] = {}
        for row, slot in zip(rows, slots, strict=True):
            self.completions[row] = completion = self.sampler.completion(*decoder.result(row))
            cuts = self.cut(row, completion)
            self.answers[row] = [None] * len(cuts)
            for suffix in dict.fromkeys(tuple(ids) for _, ids in cuts):
                indices = [k for k, (_, ids) in enumerate(cuts) if tuple(ids) == suffix]
                rollout = Prefixes(self.prompts[row], completion.token_ids, [cuts[k][0] for k in indices])
                work.setdefault(suffix, []).append((row, slot, indices, rollout))
        for suffix, items in work.items():
            self._probe(decoder.cache, suffix, items)

    def _probe(self, cache, suffix: tuple[int, ...], items: list[tuple]) -> None:
        import torch

        closer: BraceCloser = self.sampler.closer(suffix, self.params)
        rollouts = [rollout for *_, rollout in items]
        cache_tokens = (1 - SLOT_SHARE) * self.sampler.cache_tokens
        for part in self.sampler._parts(rollouts, suffix, self.params, cache_tokens):
            batch = [rollouts[j] for j in part]
            slots = torch.stack([items[j][1] for j in part])
            copy: Cache = cache.copy(slots, max(map(_tokens, batch)))
            answers = self.sampler._trees(batch, suffix, self.params, closer, copy)
            for j, answer_row in zip(part, answers, strict=True):
                row, _, indices, _ = items[j]
                for k, answer in zip(indices, answer_row, strict=True):
                    self.answers[row][k] = answer


def _tokens(rollout: Prefixes) -> int:
    """Prompt and rollout up to the last cut."""
    return len(rollout.prompt_ids) + max(rollout.cuts)
