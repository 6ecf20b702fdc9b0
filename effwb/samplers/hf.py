"""The Transformers engine: runs anywhere, on any causal LM."""

from collections.abc import Sequence

from effwb import models
from effwb.errors import ConfigError
from effwb.samplers.base import BraceCloser, Completion, Prefixes, SamplingParams, check_context


class TransformersSampler:
    """Samples with a decode loop of its own (see `decode`) and probes as a tree over the rollout's cache
    (`tree`).

    `batch_rows` bounds the completions decoded together, `probe_cells` the cells of a probe's attention mask
    (rows x queries x keys; the default suits the device): lower them where memory is short, they do not
    change greedy tokens.
    """

    engine = "transformers"

    def __init__(
        self,
        model: str,
        *,
        dtype: str = "float32",
        device: str | None = None,
        batch_rows: int = 256,
        probe_cells: int | None = None,
    ):
        if batch_rows < 1 or (probe_cells is not None and probe_cells < 1):
            raise ConfigError(
                f"batch_rows and probe_cells must be positive, got {batch_rows} and {probe_cells}"
            )
        self.source = models.locate(model)
        self.tokenizer = models.load_tokenizer(self.source)
        self.model = models.load_model(self.source, dtype, device)
        # On a CPU a mask that fits the second-level cache is ten times faster than a large one (LOG.md).
        self.probe_cells = probe_cells or (200_000 if self.model.device.type == "cpu" else 32_000_000)
        self.dtype, self.batch_rows = dtype, batch_rows
        config = self.model.generation_config.eos_token_id
        eos = config if isinstance(config, list) else [config]
        self.stop_ids = sorted({t for t in (*eos, self.tokenizer.eos_token_id) if t is not None})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self) -> None:
        """Drop the weights and hand the accelerator's memory back."""
        import gc

        import torch

        self.model = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    @property
    def context(self) -> int | None:
        return getattr(self.model.config.get_text_config(decoder=True), "max_position_embeddings", None)

    def identity(self) -> dict:
        import torch
        import transformers

        torch_version = torch.__version__.split("+")[0]  # builds for CPU and CUDA differ in dtype and device
        return {
            "model": self.source.name,
            "weights": models.fingerprint(self.source),
            "tokenizer": models.tokenizer_fingerprint(self.tokenizer),
            "engine": self.engine,
            "engine_version": f"transformers {transformers.__version__}, torch {torch_version}",
            "dtype": self.dtype,
            "batch_rows": self.batch_rows,
        }

    def generate(
        self,
        prompt_ids: Sequence[Sequence[int]],
        params: SamplingParams,
        seeds: Sequence[Sequence[int]] | None = None,
    ) -> list[list[Completion]]:
        from effwb.samplers.decode import decode

        self._check_ids(prompt_ids)
        check_context(max(map(len, prompt_ids)), params.max_tokens, self.context)
        flat = [list(p) for p in prompt_ids for _ in range(params.n)]
        flat_seeds = [s for row in seeds for s in row] if seeds is not None else _fresh_seeds(len(flat))
        done: list[Completion] = []
        for start in range(0, len(flat), self.batch_rows):
            part = slice(start, start + self.batch_rows)
            rows = decode(
                self.model, flat[part], params, flat_seeds[part], self.stop_ids, self.tokenizer.pad_token_id
            )
            done += [self._completion(ids, reason) for ids, reason in rows]
        return [done[i : i + params.n] for i in range(0, len(done), params.n)]

    def continue_prefixes(
        self, rollouts: Sequence[Prefixes], suffix_ids: Sequence[int], params: SamplingParams
    ) -> list[list[Completion]]:
        from effwb.samplers.cache import has_full_attention

        if params.temperature:
            raise ConfigError(
                f"forced answers are greedy in this engine, got temperature {params.temperature}"
            )
        longest = max((len(r.prompt_ids) + max(r.cuts, default=0) for r in rollouts), default=0)
        check_context(longest, len(suffix_ids) + params.max_tokens, self.context, "a cut rollout")
        closer = BraceCloser(self.tokenizer, suffix_ids if params.close_brace else [])
        if not has_full_attention(self.model.config):
            return [self._one_by_one(r, suffix_ids, params, closer) for r in rollouts]
        return self._as_trees(rollouts, suffix_ids, params, closer)

    def _as_trees(self, rollouts, suffix_ids, params, closer):
        from effwb.samplers.tree import answer_branches

        results: list[list[Completion]] = [[] for _ in rollouts]
        order = sorted((i for i, r in enumerate(rollouts) if r.cuts), key=lambda i: -_size(rollouts[i]))
        while order:
            keys = _size(rollouts[order[0]])
            queries = max(len(rollouts[i].cuts) for i in order) * len(suffix_ids)
            take = max(1, self.probe_cells // (queries * (keys + queries)))
            part, order = order[:take], order[take:]
            rows = answer_branches(
                self.model,
                [rollouts[i] for i in part],
                suffix_ids,
                params,
                self.stop_ids,
                self.tokenizer.pad_token_id,
                closer,
            )
            for i, branches in zip(part, rows, strict=True):
                results[i] = [
                    self._completion(ids, reason, len(rollouts[i].prompt_ids) + cut)
                    for (ids, reason), cut in zip(branches, rollouts[i].cuts, strict=True)
                ]
        return results

    def _one_by_one(self, rollout, suffix_ids, params, closer):
        """Truncate, append, generate: for models whose layers do not all see the whole prefix."""
        from effwb.samplers.decode import decode

        prompts = [rollout.prompt_ids + rollout.completion_ids[:c] + list(suffix_ids) for c in rollout.cuts]
        pad = self.tokenizer.pad_token_id
        rows = decode(self.model, prompts, params, [0] * len(prompts), self.stop_ids, pad) if prompts else []
        return [self._completion(*_cut_at_brace(ids, reason, closer)) for ids, reason in rows]

    def _completion(self, ids: list[int], reason: str, cached: int = 0) -> Completion:
        visible = ids[:-1] if reason == "stop" and ids[-1] in self.stop_ids else ids
        return Completion(ids, self.tokenizer.decode(visible), reason, cached)

    def _check_ids(self, prompt_ids) -> None:
        top = self.model.get_input_embeddings().num_embeddings
        for ids in prompt_ids:
            if not len(ids) or min(ids) < 0 or max(ids) >= top:
                raise ConfigError(
                    f"a prompt is empty or has a token id outside the vocabulary of {top}: {list(ids)[:8]}"
                )


def _size(rollout: Prefixes) -> int:
    return len(rollout.prompt_ids) + max(rollout.cuts)


def _fresh_seeds(n: int) -> list[int]:
    import secrets

    return [secrets.randbits(63) for _ in range(n)]


def _cut_at_brace(ids: list[int], reason: str, closer: BraceCloser) -> tuple[list[int], str]:
    depth = closer.start
    for i, token in enumerate(ids):
        depth, closed = closer.step(depth, token)
        if closed:
            return ids[: i + 1], "stop"
    return ids, reason
