"""A directory with safetensors or a GGUF file is a model; imports are light; profiles are checked."""

import subprocess
import sys
import time

import pytest

from effwb import models, profiles
from effwb._internal.paths import data_dir
from effwb.errors import ConfigError, DataError


def test_a_directory_is_a_model(pocket, tmp_path):
    pocket.model.save_pretrained(tmp_path / "m")
    pocket.tokenizer.save_pretrained(tmp_path / "m")
    source = models.locate(str(tmp_path / "m"))
    assert models.load_model(source).config.vocab_size == pocket.model.config.vocab_size
    assert models.fingerprint(source) == models.fingerprint(models.locate(str(tmp_path / "m")))


def test_a_gguf_file_or_its_directory_is_a_model(tmp_path):
    (tmp_path / "x.gguf").write_bytes(b"GGUF")
    for name in (tmp_path, tmp_path / "x.gguf"):
        source = models.locate(str(name))
        assert (source.path, source.gguf) == (str(tmp_path), "x.gguf")
    (tmp_path / "y.gguf").write_bytes(b"GGUF")
    with pytest.raises(ConfigError, match="2 GGUF files"):
        models.locate(str(tmp_path))


def test_unknown_and_broken_models(tmp_path):
    with pytest.raises(ConfigError, match=r"unknown model 'nowhere'.*pocket"):
        models.locate("nowhere")
    with pytest.raises(ConfigError, match=r"no config\.json and 0 GGUF"):
        models.locate(str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises((ConfigError, DataError, ValueError)):
        models.load_model(str(tmp_path))
    with pytest.raises(ConfigError, match=r"'float8'.*float32"):
        models.load_model("pocket", dtype="float8")


def test_a_tokenizer_without_a_chat_template_is_refused(pocket, tmp_path):
    pocket.tokenizer.save_pretrained(tmp_path)
    (tmp_path / "chat_template.jinja").unlink()
    (tmp_path / "config.json").write_text((data_dir("pocket") / "config.json").read_text())
    with pytest.raises(DataError, match="no chat template"):
        models.load_tokenizer(str(tmp_path))


def test_profiles():
    pocket = profiles.profile("pocket", n_samples=2, temperature=1)
    assert (pocket.n_samples, pocket.budgets[:3], pocket.budgets[-1]) == (2, [0, 2, 4], 512)
    assert len(profiles.PROFILES["qwen3-8b"].budgets) == 32
    with pytest.raises(ConfigError, match=r"'poket'.*pocket"):
        profiles.profile("poket")
    with pytest.raises(ConfigError, match=r"'sampels'"):
        profiles.profile("pocket", sampels=2)
    with pytest.raises(ConfigError, match="n_samples must be int, got '2'"):
        profiles.profile("pocket", n_samples="2")


def test_import_is_light():
    """`import effwb` and the calculators load no torch, pandas or plotly."""
    modules = "budgets metrics curves frontier prompts verifiers problems profiles samplers rollouts probes"
    code = (
        f"import sys, effwb, {', '.join(f'effwb.{m}' for m in modules.split())}; "
        "heavy = {'torch', 'transformers', 'pandas', 'plotly', 'datasets', 'sympy'} & set(sys.modules); "
        "sys.exit(repr(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_real_weights_through_the_whole_path(tmp_path):
    """SmolLM2-135M on 8 reasoning-gym problems: sample, probe, curve. Needs `make smollm2`."""
    from effwb import problems
    from effwb.evaluation import evaluate
    from effwb.samplers import open_sampler

    try:
        models.locate("smollm2")
    except ConfigError as error:
        pytest.skip(str(error))
    scale = profiles.profile("smollm2", n_problems=8, n_samples=2, max_tokens=128, grid_cap=128)
    eval_problems = problems.load(scale.problems, n=scale.n_problems)
    start = time.monotonic()
    with open_sampler(scale.model, dtype=scale.dtype) as sampler:
        result = evaluate(eval_problems, sampler, scale, run_dir=tmp_path / "run", budgets=[0, 16, 64, 128])
    assert len(result.rollouts) == 16
    assert result.curve.accuracy.shape == (4,)
    assert result.rollouts["text"].str.len().min() > 0
    assert time.monotonic() - start < 600
