"""Samplers: one protocol, several engines. `SAMPLERS` maps an engine to the module and class that serve
it.
"""

from importlib import import_module

from effwb.errors import one_of
from effwb.samplers.base import BraceCloser, Completion, Prefixes, Sampler, SamplingParams, check_context

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

SAMPLERS = {
    "transformers": ("effwb.samplers.transformers.engine", "TransformersSampler"),
    "vllm": ("effwb.samplers.vllm", "VllmSampler"),
    "server": ("effwb.samplers.server", "ServerSampler"),
}


def open_sampler(model: str, engine: str = "transformers", **options) -> Sampler:
    """A sampler for `model` (see `effwb.models.locate`), to be used as a context manager.

    `options` belong to the engine; an option it does not know raises `ConfigError` with those it does.
    """
    import inspect

    one_of("engine", engine, SAMPLERS)
    module, name = SAMPLERS[engine]
    sampler = getattr(import_module(module), name)
    legal = [p for p in inspect.signature(sampler.__init__).parameters if p not in ("self", "model")]
    for option in options:
        one_of(f"option of engine {engine!r}", option, legal)
    return sampler(model, **options)
