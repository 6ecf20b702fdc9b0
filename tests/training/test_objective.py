"""The trainer's loss, gradient and advantages against the equations, written out here in plain torch."""

import json
import math

import numpy as np
import pytest
import torch

from effwb import problems, profiles
from effwb.errors import IdentityError
from effwb.models import load_model
from effwb.training import objective, train
from effwb.training.rounds import Collector
from effwb.training.run import ADDED_SETTINGS
from effwb.training.trainer import GroupTrainer

POCKET = profiles.profile("pocket")
LOSSES = ("grpo", "bnpo", "dr_grpo", "dapo", "cispo")
ESTIMATORS = ("k1", "k2", "k3", "mse")
KL, CLIP_LOW, CLIP_HIGH, CAP = 0.3, 0.2, 1.5, 64
# a round of eight rollouts: two updates with two micro-batches each
ROUND = dict(problems_per_round=2, group_size=4, updates_per_round=2, micro_batch=2, steps=4, save_every=4)
SETTINGS = dict(ROUND, learning_rate=3e-3, kl=KL, clip_high=CLIP_HIGH, max_tokens=CAP, watch="none")


@pytest.fixture(scope="module")
def easy():
    return problems.load("pocket", 16, split="train")


def run(easy, folder, design="truncation", **options):
    """A small training; `truncation` with variant "-I" masks rollouts."""
    params = {"target": 40, "variant": "-I"} if design == "truncation" else {}
    params |= options.pop("design_params", {})
    settings = {**SETTINGS, **options}
    return train(design, easy, run_dir=folder, profile=POCKET, design_params=params, **settings)


# ------------------------------------------------------------------------------- the equations
def plain_logps(model, batch):
    """log pi of every token of the completions, from the logits, (B, T)."""
    ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], 1)
    mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], 1)
    logits = model(input_ids=ids, attention_mask=mask).logits[:, :-1]
    width = batch["completion_ids"].shape[1]
    return logits.log_softmax(-1).gather(2, ids[:, 1:, None])[:, -width:, 0]


def in_loss(batch):
    return (batch["completion_mask"] * batch.get("tool_mask", 1)).bool()


def estimate(estimator, d):
    return {"k1": d, "k2": d**2 / 2, "mse": d**2 / 2, "k3": torch.exp(-d) - 1 + d}[estimator]


def kl_in_loss(logps, reference_logps, batch, estimator):
    """The KL of each token; "k3, corrected" is multiplied by the ratio, whose gradient counts."""
    estimator, _, corrected = estimator.partition(", ")
    kl = estimate(estimator, logps - reference_logps)
    return kl * torch.exp(logps - batch["old_per_token_logps"]) if corrected else kl


def written_loss(model, reference, batch, tokens_of_round, *, loss, estimator, kl):
    """The loss of one micro-batch; an update has two of them, and a round two updates."""
    with torch.no_grad():
        reference_logps = plain_logps(reference, batch)
    logps, advantage, mask = plain_logps(model, batch), batch["advantages"], in_loss(batch)
    advantage = advantage[:, None] if advantage.ndim == 1 else advantage
    ratio = torch.exp(logps - batch["old_per_token_logps"])
    if loss == "cispo":
        policy = ratio.clamp(max=CLIP_HIGH).detach() * advantage * logps
    else:
        policy = torch.min(ratio * advantage, ratio.clamp(1 - CLIP_LOW, 1 + CLIP_HIGH) * advantage)
    per_token = -policy + kl * kl_in_loss(logps, reference_logps, batch, estimator)
    rollouts = [row[unmasked] for row, unmasked in zip(per_token, mask, strict=True)]
    nothing = 0.0 * logps.sum()  # a micro-batch may have masked rollouts only
    total = sum((row.sum() for row in rollouts), start=nothing)
    if loss == "grpo":
        return sum((row.mean() for row in rollouts if len(row)), start=nothing) / len(rollouts) / 2
    if loss == "bnpo":
        return total / max(1, sum(map(len, rollouts))) / 2
    if loss == "dr_grpo":
        return total / (len(rollouts) * CAP) / 2
    return total / (tokens_of_round / 2)


def written_advantages(model, reference, batch, estimator, whiten):
    """Advantages with the KL in the reward, token by token."""
    with torch.no_grad():
        d = plain_logps(model, batch).double() - plain_logps(reference, batch).double()
    kl, advantages = estimate(estimator, d), batch["advantages"].double()
    result = torch.zeros_like(d)
    for i, length in enumerate(batch["completion_mask"].sum(1).tolist()):
        for t in range(length):
            own = advantages[i] if advantages.ndim == 1 else advantages[i, t]
            result[i, t] = own - KL * sum(kl[i, s] for s in range(t, length))
    tokens = result[in_loss(batch)]
    if whiten:
        mean = tokens.sum() / len(tokens)
        variance = float(((tokens - mean) ** 2).sum() / len(tokens))
        tokens = (tokens - mean) / max(variance, 1e-8) ** 0.5
    return tokens, kl[in_loss(batch)].mean()


# ------------------------------------------------------------------------------- the trainer beside them
def compare_losses(monkeypatch, estimator, kl):
    """From the second update on, compare loss and gradient of every type; returns the means of the KL."""
    compute_loss, reference, kl_means = GroupTrainer.compute_loss, load_model(POCKET.model), []

    def spy(self, model, batch, *args, **kwargs):
        if self.state.global_step == 0:  # the model is still the starting model
            return compute_loss(self, model, batch, *args, **kwargs)
        weights = [weight for weight in model.parameters() if weight.requires_grad]
        tokens = sum(int(in_loss(part).sum()) for part in self._buffered_inputs)
        own_type = self.loss_type
        for loss in LOSSES:
            self.loss_type = loss
            expected = written_loss(model, reference, batch, tokens, loss=loss, estimator=estimator, kl=kl)
            actual = compute_loss(self, model, batch, *args, **kwargs)
            assert actual.item() == pytest.approx(expected.item(), rel=1e-4, abs=1e-6), loss
            pairs = zip(
                torch.autograd.grad(actual, weights), torch.autograd.grad(expected, weights), strict=True
            )
            difference, size = np.sum([[(a - b).norm() ** 2, b.norm() ** 2] for a, b in pairs], axis=0) ** 0.5
            assert difference <= 1e-3 * size + 1e-7, (loss, difference, size)
        self.loss_type = own_type
        with torch.no_grad():
            of_tokens = kl_in_loss(plain_logps(model, batch), plain_logps(reference, batch), batch, estimator)
        kl_sum, count = of_tokens[in_loss(batch)].sum(), in_loss(batch).sum()
        kl_means.append((self.state.global_step + 1, float(kl_sum / max(1, count))))
        return compute_loss(self, model, batch, *args, **kwargs)

    monkeypatch.setattr(GroupTrainer, "compute_loss", spy)
    return kl_means


@pytest.mark.long
@pytest.mark.parametrize("estimator", [*ESTIMATORS, "k3, corrected"])
def test_kl_in_the_loss(easy, tmp_path, monkeypatch, estimator):
    """Every type of loss, two micro-batches per update, masked rollouts, off-policy updates."""
    kl_means = compare_losses(monkeypatch, estimator, KL)
    settings = dict(kl_estimator=estimator[:2] if "k3" in estimator else estimator)
    if estimator == "k3":
        settings["kl_bias_correction"] = False
    metrics = run(easy, tmp_path / "r", **settings).metrics.set_index("step")
    assert metrics["masked"].max() > 0
    assert len(kl_means) == 6
    for step in (2, 3, 4):
        of_step = [value for at, value in kl_means if at == step]
        assert metrics["kl"][step] == pytest.approx(np.mean(of_step), rel=1e-2, abs=1e-6)
    assert abs(metrics["kl"][4]) > 1e-4


@pytest.mark.long
@pytest.mark.parametrize(
    ("estimator", "whiten", "design"),
    [
        ("k1", True, "kimi"),
        ("k2", False, "truncation"),
        ("k3", False, "truncation"),
        ("mse", True, "kimi"),
        ("k1", False, "reo_rl"),  # advantages by segment
    ],
)
def test_kl_in_the_reward(easy, tmp_path, monkeypatch, estimator, whiten, design):
    """The advantages by the equations, and a loss without a KL term."""
    with_kl, reference, kl_means = GroupTrainer._with_kl_in_reward, load_model(POCKET.model), []

    def spy(self, batch, kl):
        expected, mean = written_advantages(self.model, reference, batch, estimator, whiten)
        out = with_kl(self, batch, kl)
        assert torch.allclose(out["advantages"][in_loss(batch)].double(), expected, atol=2e-4)
        kl_means.append(float(mean))
        return out

    monkeypatch.setattr(GroupTrainer, "_with_kl_in_reward", spy)
    if design != "reo_rl":
        compare_losses(monkeypatch, estimator, 0.0)
    options = dict(kl_estimator=estimator, kl_place="reward", design_params={"whiten": whiten})
    metrics = run(easy, tmp_path / "r", design, **options).metrics.set_index("step")
    assert len(kl_means) == 2
    assert metrics["kl"][1] == pytest.approx(0, abs=1e-6)
    assert metrics["kl"][3] == pytest.approx(kl_means[1], rel=1e-2, abs=1e-6)
    assert abs(kl_means[1]) > 1e-4
    assert metrics["kl"][[2, 4]].isna().all()  # it is a number of the round


@pytest.mark.long
@pytest.mark.parametrize("place", ["loss", "reward"])
def test_with_lora_the_reference_is_the_model_without_adapters(easy, tmp_path, monkeypatch, place):
    pytest.importorskip("peft", reason="peft is not installed (extra lora)")
    compare_losses(monkeypatch, "k2", KL if place == "loss" else 0.0)
    settings = dict(kl_estimator="k2", kl_place=place, lora_rank=4, learning_rate=2e-2)
    metrics = run(easy, tmp_path / "r", **settings).metrics.set_index("step")
    assert metrics["kl"][1] == pytest.approx(0, abs=1e-6)
    assert metrics["kl"][3] > 1e-5


def test_without_a_kl_in_the_reward_the_designs_own_whitening_counts(easy, tmp_path, monkeypatch):
    with_advantages, pairs = GroupTrainer._with_advantages, []

    def spy(self, out, rollouts, advantage, mask, edges):
        batch = with_advantages(self, out, rollouts, advantage, mask, edges)
        own = self.design.advantage(self.collector.group(rollouts))
        pairs.append((batch["advantages"], torch.tensor([own[row] for row in rollouts.local])))
        return batch

    monkeypatch.setattr(GroupTrainer, "_with_advantages", spy)
    options = dict(steps=1, save_every=1, updates_per_round=1, micro_batch=8, kl=0.0)
    run(easy, tmp_path / "r", "kimi", design_params={"whiten": True}, **options)
    ((used, own),) = pairs
    assert torch.equal(used, own.float())


# ------------------------------------------------------------------------------- parts, by hand
def test_estimators_by_hand():
    logps, reference = torch.tensor([[math.log(0.5), math.log(0.1)]]), torch.tensor([[math.log(0.25), 0.0]])
    d = [math.log(2), math.log(0.1)]
    by_hand = {
        "k1": d,
        "k2": [d[0] ** 2 / 2, d[1] ** 2 / 2],
        "mse": [d[0] ** 2 / 2, d[1] ** 2 / 2],
        "k3": [0.5 - 1 + d[0], 10 - 1 + d[1]],
    }
    for estimator, values in by_hand.items():
        kl = objective.kl_per_token(logps, reference, estimator)
        assert kl[0].tolist() == pytest.approx(values, rel=1e-6), estimator


def test_returns_and_whitening_by_hand():
    class OneProcess:
        def reduce(self, tensor, reduction):
            assert reduction == "sum"
            return tensor

    values = torch.tensor([[1.0, 2.0, 3.0], [4.0, 0.0, 0.0]], dtype=torch.float64)
    assert objective.returns_to_go(values).tolist() == [[6, 5, 3], [4, 0, 0]]
    mask = torch.tensor([[1, 1, 0], [1, 0, 0]])
    # of 1, 2 and 4: mean 7/3, population variance 14/9
    white = objective.whiten(values, mask, OneProcess())
    expected = [[-4 / 3, -1 / 3, 0], [5 / 3, 0, 0]]
    assert white.numpy() == pytest.approx(np.array(expected) / math.sqrt(14 / 9), rel=1e-12)
    assert not objective.whiten(values, 0 * mask, OneProcess()).any()  # every rollout is masked
    assert not objective.whiten(torch.ones(2, 3), mask, OneProcess()).any()  # no variance


# ------------------------------------------------------------------------------- the optimizer
def optimizer_of(easy, folder, monkeypatch, **settings):
    """(the optimizer's settings, the learning rate of each update) of a run that does not train."""
    optimizers = []

    def without_training(self, **_):
        self.create_optimizer_and_scheduler(num_training_steps=self.args.max_steps)
        rates = []
        for _ in range(self.args.max_steps):
            rates.append(self.optimizer.param_groups[0]["lr"])
            self.optimizer.step()
            self.lr_scheduler.step()
        optimizers.append((self.optimizer.param_groups[0], rates))

    monkeypatch.setattr(GroupTrainer, "train", without_training)
    run(easy, folder, "kimi", steps=8, updates_per_round=1, kl=0.0, **settings)
    return optimizers[0]


def test_adam_settings_reach_the_optimizer(easy, tmp_path, monkeypatch):
    settings = dict(adam_beta1=0.8, adam_beta2=0.95, adam_eps=1e-5, weight_decay=0.05)
    group, _ = optimizer_of(easy, tmp_path / "r", monkeypatch, **settings)
    assert group["betas"] == (0.8, 0.95)
    assert (group["eps"], group["weight_decay"]) == (1e-5, 0.05)


@pytest.mark.parametrize(
    ("schedule", "after_warmup"),
    [
        ("constant", [1] * 6),
        ("linear", [1 - i / 6 for i in range(6)]),
        ("cosine", [(1 + math.cos(math.pi * i / 6)) / 2 for i in range(6)]),
    ],
)
def test_schedules(easy, tmp_path, monkeypatch, schedule, after_warmup):
    options = dict(schedule=schedule, warmup_steps=2, learning_rate=1e-3)
    _, rates = optimizer_of(easy, tmp_path / "r", monkeypatch, **options)
    assert rates == pytest.approx([1e-3 * share for share in [0, 0.5, *after_warmup]])


# ------------------------------------------------------------------------------- resume and identity
@pytest.mark.long
@pytest.mark.parametrize(
    "settings",
    [
        {"kl_estimator": "mse", "schedule": "cosine", "warmup_steps": 1},
        {"kl_estimator": "k1", "kl_place": "reward", "schedule": "linear", "design_params": {"whiten": True}},
        {"adam_beta1": 0.8, "adam_beta2": 0.95, "adam_eps": 1e-5},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_a_resumed_run_ends_in_the_same_weights(easy, tmp_path, monkeypatch, settings):
    from safetensors.numpy import load_file

    options = dict(settings, design="kimi", updates_per_round=1, micro_batch=8, save_every=2)
    whole = run(easy, tmp_path / "whole", **options)
    collect = Collector.collect

    def stopped(self, trainer, number):
        if number == 3:  # one step after the checkpoint
            raise RuntimeError("killed")
        return collect(self, trainer, number)

    with monkeypatch.context() as patch:
        patch.setattr(Collector, "collect", stopped)
        with pytest.raises(RuntimeError, match="killed"):
            run(easy, tmp_path / "killed", **options)
    resumed = run(easy, tmp_path / "killed", **options)
    assert resumed.metrics["step"].tolist() == [1, 2, 3, 4]
    weights = [load_file(f"{result.model}/model.safetensors") for result in (whole, resumed)]
    for name, value in weights[0].items():
        assert np.array_equal(value, weights[1][name]), name


def test_identity_names_new_settings_only_where_they_differ_from_older_runs(easy, tmp_path):
    options = dict(design="kimi", steps=1, save_every=1, updates_per_round=1, micro_batch=8, kl=0.0)
    result = run(easy, tmp_path / "r", **options)
    identity = json.loads((tmp_path / "r" / "config.json").read_text())["train"]["identity"]
    assert not set(ADDED_SETTINGS) & set(identity["settings"])
    assert "whiten" not in identity["design"]
    before = result.metrics
    assert run(easy, tmp_path / "r", **options, **ADDED_SETTINGS).metrics.equals(before)
    others = {
        "kl_estimator": "k1",
        "kl_place": "reward",
        "kl_bias_correction": False,
        "schedule": "cosine",
        "adam_beta1": 0.8,
        "adam_beta2": 0.95,
        "adam_eps": 1e-5,
    }
    assert set(others) == set(ADDED_SETTINGS)
    for name, value in others.items():
        with pytest.raises(IdentityError, match=rf"settings\.{name}"):
            run(easy, tmp_path / "r", **options, **{name: value})
    with pytest.raises(IdentityError, match=r"design\.whiten"):
        run(easy, tmp_path / "r", **options, design_params={"whiten": True})


def test_estimator_and_place_without_a_kl_change_nothing(easy, tmp_path):
    options = dict(design="kimi", steps=1, save_every=1, updates_per_round=1, micro_batch=8, kl=0.0)
    plain = run(easy, tmp_path / "a", **options).metrics
    placed = run(easy, tmp_path / "b", **options, kl_place="reward", kl_estimator="k1").metrics
    for name in ("loss", "grad_norm"):
        assert plain[name].equals(placed[name])
    assert "kl" not in placed
