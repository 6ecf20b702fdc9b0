"""Estimates before a sweep: counted right, within reason, and refused where they would be invented."""

import json

import pytest

from effwb import cli, notebook, profiles
from effwb.errors import ConfigError
from effwb.sweep import estimate
from effwb.sweep.arithmetic import FUNCTIONS, compute

POCKET = profiles.profile("pocket")
REAL = profiles.profile("r1-qwen-1.5b")
QWEN = estimate.Shape(parameters=1_777_088_000, cache=28_672, vocabulary=151_936, layers=28, width=1536)


def test_work_is_proportional():
    one = estimate.work({"trainings": 1, "evaluations": 1}, POCKET, 100)
    two = estimate.work({"trainings": 2, "evaluations": 2}, POCKET, 100)
    assert one.sampled_training == 60 * 16 * 8 * 100
    assert one.sampled_evaluation == 210 * 8 * 100
    assert one.answers == 210 * 8 * sum(budget < 100 for budget in POCKET.budgets)
    assert one + one == two
    off_policy = POCKET.override(training=POCKET.training.override(updates_per_round=4, iterations=3))
    again = estimate.work({"trainings": 1}, off_policy, 100)
    assert again.sampled_training == one.sampled_training / 12
    assert again.trained == one.trained / 4
    assert estimate.work({"samplings": 1}, POCKET, 100).sampled_evaluation == 512 * 8 * 100


def test_the_length_is_that_of_all():
    short, long = (estimate.work({"trainings": n}, POCKET, length) for n, length in ((3, 100), (1, 300)))
    assert (short + long).length == pytest.approx((3 * 100**2 + 300**2) / (3 * 100 + 300))


@pytest.mark.parametrize("length", [0, 513, float("nan")])
def test_a_length_that_cannot_be(length):
    with pytest.raises(ConfigError, match="does not fit the cap of 512"):
        estimate.work({"trainings": 1}, POCKET, length)


def test_parameters_replace_the_profile():
    parameters = {
        "profile": "pocket",
        "steps": 20,
        "max_tokens": 96,
        "n_problems": 14,
        "training": {"iterations": 2},
    }
    scale = notebook.profile_of({**parameters, "seeds": [0], "n_samples": None})
    assert (scale.training.steps, scale.training.iterations) == (20, 2)
    assert (scale.max_tokens, scale.n_problems, scale.n_samples) == (96, 14, 8)
    with pytest.raises(ConfigError, match="unknown training field 'itrations'"):
        notebook.profile_of({"training": {"itrations": 2}})


def test_the_roofline_is_where_it_should_be():
    """1.5 B weights in bfloat16 and 28 kB per token: bound by bandwidth, and a batch is worth it."""
    rates = {gpu: estimate.roofline(QWEN, REAL, gpu, 8000) for gpu in estimate.GPUS}
    assert rates["h200"].sample > rates["h100"].sample > rates["a100-80gb"].sample > rates["a10"].sample
    card, batch = estimate.GPUS["h100"], estimate.USABLE * 80 * 2**30 - 2 * QWEN.parameters
    batch /= QWEN.cache * 8000
    ideal = batch * card.bandwidth * 1e12 / (2 * QWEN.parameters + batch * QWEN.cache * 4000)
    assert rates["h100"].sample == pytest.approx(estimate.DECODE * ideal)
    assert rates["h100"].train == pytest.approx(0.4 * 989e12 / (8 * QWEN.parameters))
    assert estimate.roofline(QWEN, REAL, "h100", 16000).sample < rates["h100"].sample
    tiny = estimate.Shape(1000, 10, 100, 1, 8)
    assert estimate.roofline(tiny, POCKET, "h100", 100).sample == 1024 / estimate.MIN_STEP
    with pytest.raises(ConfigError, match=r"unknown GPU 'h1000'.*Did you mean 'h100'"):
        estimate.roofline(QWEN, REAL, "h1000")
    large = estimate.Shape(70_000_000_000, 327_680, 128_256, 80, 8192)
    with pytest.raises(ConfigError, match="the weights take 130 GiB, a a100-80gb has 80"):
        estimate.roofline(large, REAL, "a100-80gb")


def test_memory_counts_weights_gradients_and_moments():
    needed = estimate.memory(QWEN, REAL)
    assert needed["sampling"] == pytest.approx(2 * QWEN.parameters / 2**30)
    assert needed["training"] == pytest.approx(16 * QWEN.parameters / 2**30)
    lora = REAL.override(training=REAL.training.override(lora_rank=16))
    assert estimate.memory(QWEN, lora)["training"] == pytest.approx(needed["training"] / 4)
    plain = REAL.override(training=REAL.training.override(gradient_checkpointing=False))
    assert estimate.memory(QWEN, plain)["activations"] > needed["activations"]


def test_the_shape_of_the_pocket_model():
    from effwb.models import load_model

    shape, model = estimate.shape_of("pocket"), load_model("pocket")
    assert shape.parameters == sum(p.numel() for p in model.parameters())
    assert (shape.layers, shape.width) == (model.config.num_hidden_layers, model.config.hidden_size)


QWEN2, QWEN3 = {"model_type": "qwen2"}, {"model_type": "qwen3", "head_dim": 128}
HEADS = "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "intermediate_size"
CONFIGS = {  # of the published config.json
    "Qwen/Qwen3-0.6B": (QWEN3, (1024, 28, 16, 8, 3072), 151936, True),
    "Qwen/Qwen3-4B": (QWEN3, (2560, 36, 32, 8, 9728), 151936, True),
    "Qwen/Qwen3-8B": (QWEN3, (4096, 36, 32, 8, 12288), 151936, False),
    "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B": (QWEN2, (1536, 28, 12, 2, 8960), 151936, False),
    "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B": (QWEN2, (3584, 28, 28, 4, 18944), 152064, False),
}


def test_every_profile_has_its_size_here():
    hub = {p.model for p in profiles.PROFILES.values() if "/" in p.model}
    assert hub == set(estimate.SHAPES) == set(CONFIGS)


@pytest.mark.parametrize("model", CONFIGS)
def test_the_sizes_are_those_of_the_published_configs(model, tmp_path, monkeypatch):
    kind, sizes, vocabulary, tied = CONFIGS[model]
    config = {**kind, **dict(zip(HEADS, sizes, strict=True)), "vocab_size": vocabulary}
    (tmp_path / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": tied}))
    assert estimate.shape_of(str(tmp_path)) == estimate.SHAPES[model]


def test_a_model_whose_size_is_not_here_is_refused_without_a_hub(monkeypatch):
    def no_network(*_, **__):
        raise AssertionError("the hub was asked")

    monkeypatch.setattr("socket.create_connection", no_network)
    monkeypatch.setattr("socket.getaddrinfo", no_network)
    with pytest.raises(ConfigError, match=r"'someone/model' is not known here; download its config first"):
        estimate.shape_of("someone/model")


@pytest.mark.long
def test_calibration_measures(tmp_path):
    scale = POCKET.override(max_tokens=64, n_samples=2, shard_problems=4, n_problems=14)
    scale = scale.override(training=scale.training.override(problems_per_round=2, group_size=2, n_problems=8))
    rates = estimate.calibrate(scale)
    assert min(rates.sample, rates.train, rates.answer) > 0
    assert 1 <= rates.length <= 64


class TestCommand:
    def plan(self, *arguments):
        return cli.main(["plan", "notebooks/31_lead.ipynb", *arguments])

    def test_a_sweep_is_the_sum_of_its_points(self, capsys, monkeypatch):
        monkeypatch.chdir(profiles.__file__.rsplit("/", 2)[0])
        assert self.plan("--gpu", "h100", "--length", "100", "-a", "steps=20,40", "-p", "ratios=[]") == 0
        out = capsys.readouterr().out
        assert "10 trainings, 12 evaluations of pocket" in out
        assert f"{5 * (20 + 40) * 128 * 100:,}" in out
        assert "one h100 has 80: fits" in out

    def test_what_is_wrong_is_refused_before_a_run(self, capsys, monkeypatch):
        monkeypatch.chdir(profiles.__file__.rsplit("/", 2)[0])
        monkeypatch.setattr(estimate, "calibrate", lambda profile: pytest.fail("a run was started"))
        assert self.plan("--length", "100000") == 2
        assert "does not fit the cap of 512" in capsys.readouterr().err
        assert cli.main(["plan", "notebooks/60_paper_figures.ipynb"]) == 2
        assert "do not say how many trainings" in capsys.readouterr().err

    def test_a_profile_of_the_hub_needs_no_hub(self, capsys, monkeypatch):
        monkeypatch.chdir(profiles.__file__.rsplit("/", 2)[0])
        monkeypatch.setattr("effwb.models.load_config", lambda *_, **__: pytest.fail("a config was loaded"))
        assert self.plan("--gpu", "h200", "-p", "profile=qwen3-4b") == 0
        assert "evaluations of Qwen/Qwen3-4B" in capsys.readouterr().out

    def test_bad_values(self, capsys, monkeypatch, tmp_path):
        monkeypatch.chdir(profiles.__file__.rsplit("/", 2)[0])
        assert self.plan("--gpu", "h1000") == 2
        assert self.plan("-p", "sedes=[0]", "--gpu", "h100") == 2
        assert "Did you mean 'seeds'" in capsys.readouterr().err
        assert cli.main(["plan", "notebooks/90_build_pocket.ipynb", "--gpu", "h100"]) == 2
        assert "do not say how many trainings and evaluations it does" in capsys.readouterr().err
        two = ["-a", "profile=pocket,smollm2", "--gpu", "h100"]
        assert self.plan(*two) == 2
        assert "must have one model" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("metadata", "error"),
    [({"training": "1"}, "unknown count .*Did you mean 'trainings'"), ({"trainings": "len(sedes)"}, "sedes")],
)
def test_counts_that_cannot_be_read(tmp_path, metadata, error):
    import nbformat

    path = tmp_path / "n.ipynb"
    path.write_text(json.dumps(nbformat.v4.new_notebook(metadata={"effwb": metadata})))
    with pytest.raises(ConfigError, match=error):
        estimate.counts(path, {"seeds": [0]})


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("len(seeds) if seed is None else 1", 2),
        ("2 * (len(seeds) if seed is not None else 1)", 2),
        ("(2 + len(methods) + ('lead' in methods)) * len(seeds)", 8),
        ("(1 + bool(neutral)) * 3 - 7 // 2", 0),
        ("-1 + 3 / 2 + (seeds == methods)", 0.5),
        ("stages('kimi') + 10 * stages('l1_max') + 100 * stages('hgpo')", 121),
    ],
)
def test_arithmetic_gives_what_python_gives(expression, value):
    values = {"seeds": [0, 1], "seed": None, "methods": ["lead"], "neutral": False}
    assert compute(expression, values) == value == eval(expression, {"stages": FUNCTIONS["stages"]}, values)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("__import__('os').getcwd()", "is not simple arithmetic"),
        ("(1).__class__", "is not simple arithmetic"),
        ("len([i for i in seeds])", "is not simple arithmetic"),
        ("9 ** 9", "is not simple arithmetic"),
        ("seeds * 10", "'seeds' is not a number but"),
        ("len(1)", "has no len"),
        ("1 / 0", "division"),
        ("1 +", "invalid syntax"),
    ],
)
def test_arithmetic_runs_no_code(expression, message):
    with pytest.raises(ConfigError, match=message):
        compute(expression, {"seeds": [0]})


def test_counts_are_read_from_the_metadata(tmp_path):
    import nbformat

    path = tmp_path / "n.ipynb"
    content = nbformat.v4.new_notebook(metadata={"effwb": {"trainings": "len(seeds)"}})
    path.write_text(json.dumps(content))
    assert estimate.counts(path, {"seeds": [0, 1]}) == {
        "trainings": 2, "evaluations": 0, "tests": 0, "samplings": 0,
    }  # fmt: skip
