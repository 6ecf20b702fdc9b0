"""The parts of vLLM beyond its public API that effwb uses: its scheduler's engine, and repacked CPU weights.

`tests/_internal` fails by name if an upgrade moves one. vLLM is imported only inside the functions.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

from effwb._internal.attributes import replaced_attribute

if TYPE_CHECKING:
    import torch
    from vllm import LLM
    from vllm.v1.engine.llm_engine import LLMEngine

BORROWED: tuple[str, ...] = (
    "vllm.platforms.current_platform",
    "vllm.v1.engine.core.cleanup_dist_env_and_memory",
    "vllm.v1.engine.core_client.InprocClient.shutdown",
    "vllm.v1.engine.llm_engine.LLMEngine.add_request",
    "vllm.v1.engine.llm_engine.LLMEngine.step",
    "vllm.v1.engine.llm_engine.LLMEngine.abort_request",
    "vllm.v1.engine.output_processor.OutputProcessor",
    "vllm.model_executor.layers.utils.dispatch_cpu_unquantized_gemm",
)
ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # one process, so that weights are passed by reference
    "VLLM_ZENTORCH_WEIGHT_PREPACK": "0",  # weights that are packed this way cannot be replaced
}


def platform_is_cpu() -> bool:
    """Whether the installed vLLM is built for a CPU."""
    from vllm.platforms import current_platform

    return current_platform.is_cpu()


def shut_down(llm: LLM, keep_process_groups: bool) -> None:
    """End the engine of an `LLM` of this process.

    Args:
        llm: The engine to end.
        keep_process_groups: Leave vLLM's process groups open, because another engine of this process uses
            them.
    """
    from vllm.v1.engine import core

    cleanup: AbstractContextManager = nullcontext()
    if keep_process_groups:
        cleanup = replaced_attribute(core, "cleanup_dist_env_and_memory", gc.collect)
    with cleanup:
        llm.llm_engine.engine_core.shutdown()


def abort_all(engine: LLMEngine) -> None:
    """Drop every request that an engine has not finished."""
    engine.abort_request(list(engine.output_processor.request_states), internal=True)


@contextmanager
def recorded_packing(layers: list[torch.nn.Module]) -> Iterator[None]:
    """Keep the plain weights of a model that is loaded inside the context, so that `repack` works later.

    On a CPU, vLLM repacks the weights of linear layers after loading and drops the plain ones.

    Args:
        layers: The repacked layers are appended here.
    """
    from vllm.model_executor.layers import utils

    pack = utils.dispatch_cpu_unquantized_gemm

    def pack_and_keep(layer: torch.nn.Module, remove_weight: bool) -> None:
        pack(layer, remove_weight=False)
        layers.append(layer)

    with replaced_attribute(utils, "dispatch_cpu_unquantized_gemm", pack_and_keep):
        yield


def repack(layers: list[torch.nn.Module]) -> None:
    """Pack the present weights of the layers that `recorded_packing` has recorded."""
    from vllm.model_executor.layers.utils import dispatch_cpu_unquantized_gemm

    for layer in layers:
        dispatch_cpu_unquantized_gemm(layer, remove_weight=False)
