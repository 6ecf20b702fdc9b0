"""Training with two modes: forced openings, the ratio of the first token, the warm start before it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from effwb import problems, profiles, prompts
from effwb.designs import make_design
from effwb.errors import ConfigError, IdentityError
from effwb.rollouts import sample
from effwb.samplers import SamplingParams, open_sampler
from effwb.training import preview, sft_warm_start, train
from effwb.training.rounds import Collector

SMALL = dict(steps=1, save_every=1, problems_per_round=2, group_size=4, micro_batch=8, max_tokens=96)
QUIET = dict(profile=profiles.profile("pocket"), watch="none")
SFT = dict(n=4, epochs=6, batch_size=4, learning_rate=2e-3)
POCKET = profiles.profile("pocket")


@pytest.fixture(scope="module")
def easy():
    return problems.load("pocket", 16, split="train")


@pytest.fixture(scope="module")
def reference(easy):
    return {pid: {"length": 40.0, "accuracy": 0.5} for pid in easy["problem_id"]}


@pytest.fixture
def rounds(monkeypatch):
    """The rounds that were collected."""
    collected, collect = [], Collector.collect

    def spy(self, *args):
        collected.append(collect(self, *args))
        return collected[-1]

    monkeypatch.setattr(Collector, "collect", spy)
    return collected


def test_half_of_a_group_is_forced_into_each_mode(easy, tmp_path, rounds):
    metrics = train("hgpo", easy, run_dir=tmp_path / "r", **QUIET, **SMALL).metrics.iloc[0]
    (rollouts,) = rounds
    closing = prompts.closing_id(open_sampler("pocket").tokenizer)
    assert rollouts.empty_PG.tolist() == [[False, False, True, True]] * 2
    for (_, g), completion in zip(rollouts.local, rollouts.completions.values(), strict=True):
        assert (completion.token_ids[0] == closing) == (g >= 2)
        assert completion.text.startswith("</think>") == (g >= 2)
        assert len(completion.token_ids) <= 96
    assert metrics["modes/empty"] == 0.5
    assert metrics["length/empty"] < metrics["length/think"]
    assert 0 < metrics["modes/p_empty"] < 0.01  # the pocket model never chose it before


def test_thinkless_forces_nothing(easy, tmp_path, rounds):
    metrics = train("thinkless", easy, run_dir=tmp_path / "r", **QUIET, **SMALL).metrics.iloc[0]
    assert not rounds[0].empty_PG.any()
    assert metrics["modes/empty"] == 0
    assert np.isnan(metrics["accuracy/empty"])


def test_the_first_token_of_adapt_think_counts_as_drawn_with_one_half(easy, reference, tmp_path, monkeypatch):
    from effwb.training.trainer import GroupTrainer

    captured, original = {}, GroupTrainer._old_logps

    def spy(self, out, rollouts, p_empty_P):
        captured["old"] = original(self, out, rollouts, p_empty_P)
        captured["args"], captured["p"] = self.args, p_empty_P.repeat_interleave(4)
        ids = torch.cat([out["prompt_ids"], out["completion_ids"]], 1)
        mask = torch.cat([out["prompt_mask"], out["completion_mask"]], 1)
        with torch.no_grad():
            captured["new"], *_ = self._get_per_token_logps_and_entropies(
                self.model, ids, mask, out["completion_ids"].shape[1]
            )
        return captured["old"]

    monkeypatch.setattr(GroupTrainer, "_old_logps", spy)
    train("adapt_think", easy, run_dir=tmp_path / "r", reference=reference, loss="grpo", **QUIET, **SMALL)
    assert captured["args"].importance_sampling_level == "sequence"
    assert torch.allclose(captured["old"][:, 1:], captured["new"][:, 1:], atol=1e-5)
    empty = torch.arange(8) % 4 >= 2
    assert captured["old"][empty, 0].tolist() == pytest.approx([np.log(0.5)] * 4)
    ratio = (captured["new"] - captured["old"])[~empty, 0].exp()  # of the mode alone, whatever word began it
    assert torch.allclose(ratio, (1 - captured["p"][~empty]) / 0.5, atol=1e-4)
    assert (captured["new"][empty, 0] < np.log(0.01)).all()  # and would be drawn almost never


def test_refill_and_two_updates_per_round(easy, reference, tmp_path):
    settings = {**SMALL, "steps": 2, "save_every": 2, "updates_per_round": 2, "micro_batch": 4}
    options = {"reference": reference, "loss": "grpo"}
    table = train("adapt_think", easy, run_dir=tmp_path / "a", **options, **QUIET, **settings).metrics
    assert np.isfinite(table["loss"]).all()
    # without the choice a group has no spread as soon as each mode's rollouts are equally good
    alone = {"design_params": {"alpha": 0.0}, "refill_rounds": 1, "problems_per_round": 4}
    table = train("hgpo", easy, run_dir=tmp_path / "h", **QUIET, **{**settings, **alone}).metrics
    assert np.isfinite(table["loss"]).all()
    assert table["refilled"].sum() > 0


def test_the_losses_of_the_papers(easy, reference, tmp_path, monkeypatch):
    """What TRL makes of our advantages, against the formulas, on the log-probabilities it saw."""
    from effwb.training.trainer import GroupTrainer

    captured, original, compute = {}, GroupTrainer._with_advantages, GroupTrainer.compute_loss

    def spy(self, out, rollouts, *options):
        captured.update(rollouts=rollouts, group=self.collector.group(rollouts))
        return original(self, out, rollouts, *options)

    def loss_of(self, model, inputs, *args, **options):
        ids = torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], 1)
        mask = torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], 1)
        with torch.no_grad():
            width = inputs["completion_ids"].shape[1]
            captured["new"], *_ = self._get_per_token_logps_and_entropies(self.model, ids, mask, width)
        captured["inputs"], captured["loss"] = inputs, compute(self, model, inputs, *args, **options)
        return captured["loss"]

    monkeypatch.setattr(GroupTrainer, "_with_advantages", spy)
    monkeypatch.setattr(GroupTrainer, "compute_loss", loss_of)

    train("thinkless", easy, run_dir=tmp_path / "t", **QUIET, **SMALL)
    order, mask = captured["inputs"]["row"], captured["inputs"]["completion_mask"].bool()
    A = torch.tensor(make_design("thinkless", split=False).advantage(captured["group"])[..., 0]).ravel()[
        order
    ]
    per_token = -A[:, None].expand(mask.shape)  # on-policy: every ratio is 1
    expected = 0.001 * per_token[:, 0].mean() + per_token[:, 1:][mask[:, 1:]].mean()
    assert captured["loss"].item() == pytest.approx(expected.item(), abs=1e-5)

    train("adapt_think", easy, run_dir=tmp_path / "a", reference=reference, loss="grpo", **QUIET, **SMALL)
    order, mask = captured["inputs"]["row"], captured["inputs"]["completion_mask"].bool()
    A = torch.tensor(make_design("adapt_think").advantage(captured["group"])).ravel()[order]
    old, new = captured["inputs"]["old_per_token_logps"], captured["new"]
    r = (((new - old) * mask).sum(1) / mask.sum(1)).exp()
    expected = -torch.minimum(r * A, r.clamp(0.8, 1.2) * A).mean()
    assert captured["loss"].item() == pytest.approx(expected.item(), abs=1e-5)
    empty = torch.tensor(captured["rollouts"].empty_PG.ravel())[order]
    assert (r[empty] < 0.8).all()  # the pocket model never chose it, so what was wrong there is clipped away


@pytest.mark.parametrize(
    ("design", "change", "says"),
    [
        ("hgpo", {"group_size": 3}, "even"),
        ("hgpo", {"engine": "trl"}, "engine 'trl' cannot"),
        ("adapt_think", {"loss": "dapo"}, "loss='grpo'"),
        ("thinkless", {"loss": "grpo"}, "loss='dapo'"),
    ],
)
def test_what_cannot_be_trained(easy, reference, tmp_path, design, change, says):
    with pytest.raises(ConfigError, match=says):
        train(design, easy, run_dir=tmp_path / "r", reference=reference, **QUIET, **{**SMALL, **change})


def test_a_template_that_opens_no_thinking_is_refused(easy, tmp_path, monkeypatch):
    monkeypatch.setattr(prompts, "opens_thinking", lambda *texts: False)
    with pytest.raises(ConfigError, match="opening <think>"):
        train("thinkless", easy, run_dir=tmp_path / "r", **QUIET, **SMALL)


def test_neither_are_openings_nor_a_warm_start(easy, tmp_path, monkeypatch):
    monkeypatch.setattr(prompts, "opens_thinking", lambda *texts: False)
    with open_sampler("pocket") as sampler, pytest.raises(ConfigError, match="opening <think>"):
        sample(easy, sampler, 2, run_dir=tmp_path / "s", prompting=POCKET.prompting(opening="think"))
    with pytest.raises(ConfigError, match="opening <think>"):
        sft_warm_start(POCKET, easy, run_dir=tmp_path / "w", n=2)


def test_openings_of_rollouts(easy, tmp_path):
    from effwb.analysis.thinking_modes import not_thinking

    profile = POCKET.override(max_tokens=48)
    with open_sampler("pocket") as sampler:
        closing, found = prompts.closing_id(sampler.tokenizer), {}
        for opening in ("think", "empty"):
            how = dict(sampling=profile.sampling(), prompting=profile.prompting(opening=opening))
            found[opening] = sample(easy, sampler, 2, run_dir=tmp_path / opening, progress=False, **how)
    assert not not_thinking(found["think"], closing).any()
    assert not_thinking(found["empty"], closing).all()
    assert found["empty"]["text"].str.startswith("</think>").all()
    assert max(t["length"].max() for t in found.values()) <= 48
    assert (found["empty"]["length"] == found["empty"]["completion_ids"].map(len)).all()
    for bad in ({"opening": "closed"}, {"thinking": "False"}):
        with pytest.raises(ConfigError):
            profile.prompting(**bad)


def test_a_model_without_a_closing_token_is_refused():
    class Bare:
        unk_token_id = 0

        def encode(self, text, **_):
            return [5, 6, 7]

    with pytest.raises(ConfigError, match="</think>"):
        prompts.closing_id(Bare())


def test_preview_forces_as_training_does(easy, tmp_path):
    profile = POCKET.override(max_tokens=96)
    with open_sampler("pocket") as sampler:
        table = preview(
            make_design("hgpo"), easy, sampler, profile, run_dir=tmp_path, n_problems=3, progress=False
        )
    G = profile.training.group_size
    assert table["sample"].tolist() == [*range(G)] * 3
    assert list(dict.fromkeys(table["problem_id"])) == list(easy["problem_id"][:3])
    thinking = table["sample"] < G // 2
    assert table[~thinking]["length"].max() < table[thinking]["length"].median()
    assert {"advantage", "advantage, first", "reward/inter", "reward/intra"} <= set(table)


def test_no_completion_begins_with_what_is_ruled_out(easy):
    with open_sampler("pocket") as sampler:
        text = "<|user|>1+2=?<|end|><|assistant|><think>"
        prompt = sampler.tokenizer.encode(text, add_special_tokens=False)
        params = SamplingParams(1, 1.0, n=64)
        free = [c.token_ids[0] for c in sampler.generate([prompt], params, [list(range(64))])[0]]
        common = max(set(free), key=free.count)
        ruled = SamplingParams(1, 1.0, n=64, banned_first_tokens=(common,))
        other = [c.token_ids[0] for c in sampler.generate([prompt], ruled, [list(range(64))])[0]]
    assert common not in other


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    folder, profile = tmp_path_factory.mktemp("warm"), POCKET.override(max_tokens=96)
    simple = problems.load("pocket", 64, split="train")
    simple = simple.filter(lambda p: int(p["level"]) <= 3)
    return folder, simple, profile, sft_warm_start(profile, simple, run_dir=folder, **SFT)


@pytest.mark.long
class TestWarmStart:
    def test_the_model_knows_both_modes(self, warm):
        folder, simple, profile, model = warm
        with open_sampler(model) as sampler:
            how = dict(sampling=profile.sampling(), prompting=profile.prompting(), progress=False)
            table = sample(simple, sampler, 4, run_dir=folder / "eval", **how)
            closing = prompts.closing_id(sampler.tokenizer)
        empty = np.mean([ids[0] == closing for ids in table["completion_ids"]])
        assert 0.02 < empty < 0.98

    def test_a_kill_while_it_saves_loses_at_most_an_epoch(self, warm, tmp_path, monkeypatch):
        import shutil

        from effwb.training import fine_tuning as module

        folder, simple, profile, model = warm
        for mode in ("think", "empty"):
            shutil.copytree(folder / mode, tmp_path / mode)
        whole = module.newest_whole

        def half_written(where, steps):
            (where / "checkpoint-9999").mkdir(parents=True)
            (where / "checkpoint-9999/trainer_state.json").write_text('{"epoch":')
            (where / "checkpoint-10000").mkdir()
            return whole(where, steps)

        monkeypatch.setattr(module, "newest_whole", half_written)
        again = sft_warm_start(profile, simple, run_dir=tmp_path, **SFT)
        assert not (tmp_path / "warm_start/checkpoints").exists()
        whole_bytes, resumed_bytes = (Path(path, "model.safetensors").read_bytes() for path in (model, again))
        assert whole_bytes == resumed_bytes

    def test_other_sampling_is_another_warm_start(self, warm):
        folder, simple, profile, _ = warm
        for change in ({"max_tokens": 64}, {"template": "boxed"}):
            with pytest.raises(IdentityError, match=next(iter(change))):
                sft_warm_start(profile.override(**change), simple, run_dir=folder, **SFT)

    def test_it_is_read_back_and_another_is_refused(self, warm, monkeypatch):
        folder, simple, profile, model = warm
        monkeypatch.setattr("effwb.training.two_modes.FineTuning", lambda **_: pytest.fail("trained again"))
        assert sft_warm_start(profile, simple, run_dir=folder, **SFT) == model
        with pytest.raises(IdentityError, match="epochs"):
            sft_warm_start(profile, simple, run_dir=folder, **{**SFT, "epochs": 3})

    def test_half_of_the_examples_are_of_each_mode(self, warm):
        from effwb.training.offline_trainers import supervised_row
        from effwb.training.two_modes import _examples

        folder, simple, profile, _ = warm
        closing = prompts.closing_id(open_sampler("pocket").tokenizer)
        rows = _examples(
            profile.as_in_training().override(n_samples=4), simple, "pocket", folder, 0, progress=False
        )
        learnt = [row["completion_ids"] for row in rows]
        assert sum(t[0] == closing for t in learnt) * 2 == len(rows)
        for row, ids in zip(rows, learnt, strict=True):
            learned = supervised_row(row["prompt_ids"], row["completion_ids"])
            assert learned["input_ids"][-len(ids) :] == ids
            assert [token for token in learned["labels"] if token != -100] == ids

    def test_bad_input(self, tmp_path, easy):
        with pytest.raises(ConfigError, match="epochs=0"):
            sft_warm_start(POCKET, easy, run_dir=tmp_path, epochs=0)
