"""Samplers: one interface, several engines."""

from importlib import import_module

from effwb.errors import one_of
from effwb.samplers.base import Sampler
from effwb.samplers.braces import BraceCloser
from effwb.samplers.values import Completion, Prefixes, SamplingParams, check_context

__all__ = [
    "SAMPLERS",
    "BraceCloser",
    "Completion",
    "Prefixes",
    "Sampler",
    "SamplingParams",
    "check_context",
    "open_sampler",
]

SAMPLERS = {  # engine: module and class
    "transformers": ("effwb.samplers.transformers.engine", "TransformersSampler"),
    "vllm": ("effwb.samplers.vllm", "VllmSampler"),
    "server": ("effwb.samplers.server", "ServerSampler"),
}


def open_sampler(model: str, engine: str = "transformers", **options) -> Sampler:
    """Open a sampler for a model. Use it as a context manager.

    Args:
        model: "pocket", "smollm2", a directory, a GGUF file or a hub id; see `effwb.models.locate`.
        engine: A key of `SAMPLERS`: "transformers", "vllm" or "server".
        **options: Options of the engine, such as `dtype` or `batch_rows`; see the class of the engine.

    Returns:
        The sampler. It loads the weights, or asks the server, at its first use.

    Raises:
        ConfigError: For an unknown model, engine or option, or an illegal value. The message lists what is
            legal.

    Example:
        with open_sampler("pocket", batch_rows=64) as sampler:
            table = effwb.rollouts.sample(problems, sampler, n=4, run_dir="runs/pocket")
    """
    import inspect

    one_of("engine", engine, SAMPLERS)
    module, class_name = SAMPLERS[engine]
    sampler_class = getattr(import_module(module), class_name)
    legal = [p for p in inspect.signature(sampler_class.__init__).parameters if p not in ("self", "model")]
    for option in options:
        one_of(f"option of engine {engine!r}", option, legal)
    return sampler_class(model, **options)
