"""The trainer on the pocket model: the same numbers as TRL, groups, masks, resume, stages, bad input."""

import json
from pathlib import Path

import numpy as np
import pytest

from effwb import problems, profiles, rollouts
from effwb.designs import DESIGNS, fit_design, make_design
from effwb.errors import ConfigError, DataError, IdentityError, TrainingError
from effwb.training import (
    Stage,
    preview,
    read_metrics,
    reference_statistics,
    score,
    spread,
    train,
    train_stages,
)
from effwb.training.record import Record
from effwb.training.rounds import PromptSchedule

SMALL = dict(steps=2, problems_per_round=2, group_size=4, micro_batch=8, max_tokens=96, watch="none")
POCKET = profiles.profile("pocket")


@pytest.fixture(scope="module")
def easy():
    """Sixteen training problems."""
    return problems.load("pocket", 16, split="train")


def small(design, easy, run_dir, **options):
    return train(design, easy, run_dir=run_dir, profile=POCKET, **{**SMALL, **options})


def weights(result):
    from safetensors.numpy import load_file

    return load_file(f"{result.model}/model.safetensors")


def probed_in_a_second_call(collector, trainer, rollouts):
    """The outcomes of a round, its forced answers asked for after all rollouts have ended."""
    from effwb.probes import ProbeTarget, cuts_of
    from effwb.verifiers import verify

    batch, outcomes = rollouts.prompts, []
    with collector.engine.sampler(trainer) as sampler:
        for row, completion in rollouts.completions.items():
            p, ids = row // rollouts.group_size, completion.token_ids
            decode = trainer.processing_class.decode
            budgets = collector.design.probe_points(batch.problem_ids_P[p], ids, collector.cap, decode)
            cuts = [b for b in cuts_of(len(ids), completion.finish_reason, budgets) if b < collector.cap]
            n_budgets = len(cuts)
            if collector.design.forces_at_cap and completion.finish_reason == "length":
                cuts.append(len(ids))
            target = ProbeTarget(batch.prompt_ids_P[p], ids, batch.opened_P[p], cuts)
            (answers,) = collector.prober.answers(sampler, [target])
            golds = [batch.answers_P[p]] * len(answers)
            statuses = [verdict.status for verdict in verify([a.text for a in answers], golds)]
            outcome = rollouts.outcomes[row]
            correct, unparsed = ([s == name for s in statuses] for name in ("correct", "unparsed"))
            at_cap = outcome.correct and outcome.finished
            if len(cuts) > n_budgets:
                at_cap = correct[-1]
                outcome = outcome._replace(correct=at_cap)
            correct = correct[:n_budgets] + [at_cap] * (len(budgets) - n_budgets)
            outcomes.append(outcome._replace(probe_budgets=budgets, probe_correct=correct, unparsed=unparsed))
    return outcomes


class TestForward:
    """Sorted, packed batches give TRL's log-probabilities and gradients."""

    @pytest.fixture
    def batch(self):
        import torch
        from trl.trainer.utils import add_fused_lm_head

        from effwb.models import load_model

        model = load_model("pocket").train()
        add_fused_lm_head(model, outputs=("log_probs", "entropy"))
        rng = np.random.default_rng(0)
        prompt, done = rng.integers(3, 9, 12), rng.integers(1, 40, 12)
        ids, mask = torch.zeros((12, 48), dtype=torch.long), torch.zeros((12, 48), dtype=torch.long)
        for row, (p, c) in enumerate(zip(prompt, done, strict=True)):
            ids[row, 8 - p : 8 + c] = torch.from_numpy(rng.integers(1, 40, p + c))
            mask[row, 8 - p : 8 + c] = 1
        return model, ids, mask

    @staticmethod
    def plain(model, ids, mask):
        labels = ids.masked_fill(mask == 0, -100)
        labels[:, :8] = -100
        out = model(input_ids=ids, attention_mask=mask, labels=labels, fused_lm_head=True)
        return out.log_probs[:, -40:], out.entropy[:, -40:]

    @pytest.mark.parametrize("tokens", [1, 100, 10_000])
    def test_values_and_gradients(self, batch, tokens):
        import contextlib

        import torch

        from effwb.training.forward import log_probs

        model, ids, mask = batch
        results = []
        for ours in (True, False):
            model.zero_grad()
            logps, entropy = (
                log_probs(model, ids, mask, 40, tokens=tokens, autocast=contextlib.nullcontext, entropy=True)
                if ours
                else self.plain(model, ids, mask)
            )
            (logps * torch.linspace(-1, 1, 40)).sum().backward()
            results.append((logps.detach(), entropy.detach(), model.model.embed_tokens.weight.grad.clone()))
        for packed, padded in zip(*results, strict=True):
            assert torch.allclose(packed, padded, atol=2e-4, rtol=1e-4), (packed - padded).abs().max()

    def test_batches_hold_the_bound_and_every_row_once(self, batch):
        from effwb.training.forward import by_length

        _, _, mask = batch
        batches = by_length(mask, 100)
        assert sorted(int(r) for rows in batches for r in rows) == list(range(12))
        for rows in batches:
            assert len(rows) == 1 or len(rows) * int(mask[rows].sum(1).max()) <= 100


class TestPromptSchedule:
    @pytest.fixture
    def schedule(self, easy, pocket):
        from effwb.prompts import template

        form = template("pocket")
        return lambda seed=0, design="vanilla", per_round=4: PromptSchedule(
            easy, pocket.tokenizer, form, fit_design(design, 128), per_round=per_round, seed=seed
        )

    def test_an_epoch_has_every_problem_once(self, schedule):
        plain = schedule()
        first = [row for number in range(4) for row in plain.batch(number).rows_P]
        second = [row for number in range(4, 8) for row in plain.batch(number).rows_P]
        assert sorted(first) == sorted(second) == list(range(16))
        assert first != second

    def test_depends_on_seed_and_round_alone(self, schedule):
        first, second = schedule(design="l1_exact"), schedule(design="l1_exact")
        second.batch(3)
        assert first.batch(5).prompt_ids_P == second.batch(5).prompt_ids_P
        assert first.batch(5).hint_tokens_P.tolist() == second.batch(5).hint_tokens_P.tolist()
        assert schedule(seed=1).batch(5).rows_P != schedule(seed=0).batch(5).rows_P

    def test_hints_are_in_the_prompt(self, schedule, pocket):
        batch = schedule(design="l1_max").batch(0)
        for ids, n in zip(batch.prompt_ids_P, batch.hint_tokens_P, strict=True):
            text = pocket.tokenizer.decode(ids).replace(" ", "")
            assert f"Thinkformaximum{n}tokens." in text

    def test_replacements_are_other_problems(self, schedule):
        plain = schedule()
        used = plain.batch(0).rows_P
        fresh = plain.replacements(0, 1, 3, used)
        assert not set(fresh.rows_P) & set(used)
        assert len(plain.replacements(0, 1, 99, used).rows_P) == 12

    def test_too_few_problems(self, schedule):
        with pytest.raises(ConfigError, match="16 problems cannot fill a round of 17"):
            schedule(per_round=17)


class TestTraining:
    def test_runs_and_is_read_back(self, easy, tmp_path):
        result = small("kimi", easy, tmp_path / "r")
        table = result.metrics
        assert table["step"].tolist() == [1, 2]
        for name in ("accuracy", "length/mean", "reward/total", "entropy", "zero_variance", "truncated"):
            assert np.isfinite(table[name]).all(), name
        assert (table["time/sample"] > 0).all()
        assert table["tokens"].iloc[0] == round(table["length/mean"].iloc[0] * 8)
        before = Path(result.model, "model.safetensors").stat().st_mtime_ns
        assert small("kimi", easy, tmp_path / "r").metrics.equals(table)
        assert Path(result.model, "model.safetensors").stat().st_mtime_ns == before

    def test_the_trained_model_opens_under_the_name_of_its_run(self, easy, tmp_path):
        from effwb.samplers import open_sampler

        result = small("kimi", easy, tmp_path / "kimi-seed0", steps=1, save_every=1)
        with open_sampler(result.model) as sampler:
            assert sampler.identity()["model"] == "kimi-seed0"

    def test_a_design_given_as_an_object_does_not_learn(self, easy, tmp_path):
        design = make_design("hapo")
        first = small(design, easy, tmp_path / "a", steps=1, save_every=1)
        assert first.state["minima"]
        assert not design.state()["minima"]
        assert not first.design.state()["minima"]
        assert small(design, easy, tmp_path / "a", steps=1, save_every=1).metrics.equals(first.metrics)

    def test_tensorboard_outlives_the_checkpoints(self, easy, tmp_path):
        small("kimi", easy, tmp_path / "r", steps=1, save_every=1, report_to=["tensorboard"])
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        (file,) = (tmp_path / "r" / "train").rglob("events.out.*")
        logged = EventAccumulator(str(file)).Reload().Tags()["scalars"]
        assert "train/reward/length" in logged
        assert "train/length/mean" in logged
        assert not any("frac_reward" in name or "rewards/" in name for name in logged)

    def test_the_trainer_has_the_private_attributes(self, easy, tmp_path, monkeypatch):
        from effwb._internal.private_trl import BORROWED_ATTRIBUTES
        from effwb.training.trainer import GroupTrainer

        names = set()
        monkeypatch.setattr(GroupTrainer, "train", lambda self, **_: names.update(vars(self)))
        small("vanilla", easy, tmp_path / "r")
        assert set(BORROWED_ATTRIBUTES) <= names

    def test_masked_rollouts_leave_the_token_count(self, easy, tmp_path, monkeypatch):
        from effwb.training import trainer as ours

        counts = []
        original = ours.GroupTrainer._with_advantages

        def spy(self, out, rollouts, advantage, mask, edges):
            batch = original(self, out, rollouts, advantage, mask, edges)
            lengths = [len(completion.token_ids) for completion in rollouts.completions.values()]
            unmasked = sum(n for (p, g), n in zip(rollouts.local, lengths, strict=True) if mask[p, g])
            counts.append((int(batch["num_items_in_batch"]), unmasked))
            return batch

        monkeypatch.setattr(ours.GroupTrainer, "_with_advantages", spy)
        small(
            "truncation", easy, tmp_path / "r", design_params={"target": 40, "variant": "-I"}, max_tokens=64
        )
        assert len(counts) == 2
        assert all(in_loss == unmasked for in_loss, unmasked in counts)

    @pytest.mark.long
    @pytest.mark.parametrize("design", DESIGNS)
    def test_every_design_trains(self, easy, tmp_path, design):
        options = {"design_params": {"k": 2}} if design == "gfpo" else {}
        if DESIGNS[design].needs_reference:
            options = {"reference": {pid: {"length": 40.0, "accuracy": 0.5} for pid in easy["problem_id"]}}
        if DESIGNS[design].losses:
            options["loss"] = DESIGNS[design].losses[0]
        if design == "lapo_internalization":
            options = {
                "state": {"design": "lapo_discovery", "lengths": dict.fromkeys(easy["problem_id"], 40.0)}
            }
        table = small(design, easy, tmp_path / "r", steps=1, save_every=1, **options).metrics
        assert np.isfinite(table[["loss", "grad_norm", "reward/total"]]).all(axis=None)

    @pytest.mark.parametrize(
        ("design", "params", "settings"),
        [
            ("length_group_norm", {"reading": "released"}, {"loss": "grpo"}),
            ("reo_rl", {}, {}),
            ("grpo_lambda", {"lam": 0.5}, {}),
        ],
    )
    def test_whitened_advantages_reach_the_loss(self, easy, tmp_path, monkeypatch, design, params, settings):
        from effwb.training import trainer as ours

        values, original = [], ours.GroupTrainer._with_advantages

        def spy(self, out, *args):
            batch = original(self, out, *args)
            mask, advantages = batch["completion_mask"].bool(), batch["advantages"].double()
            values.append(
                (advantages if advantages.ndim == 2 else advantages[:, None]).expand(mask.shape)[mask]
            )
            return batch

        monkeypatch.setattr(ours.GroupTrainer, "_with_advantages", spy)
        settings = dict(steps=1, save_every=1, problems_per_round=4, **settings)
        for whiten in (False, True):
            small(
                design, easy, tmp_path / f"{whiten}", design_params={**params, "whiten": whiten}, **settings
            )
        plain, whitened = values
        expected = (plain - plain.mean()) / plain.std(unbiased=False)
        if design == "length_group_norm":
            assert np.allclose(whitened, expected, atol=1e-5)
        else:  # what has no advantage keeps 0
            assert np.allclose(whitened, np.where(plain == 0, 0.0, expected), atol=1e-5)

    def test_loss_and_gradient_are_trls(self, easy, tmp_path, monkeypatch):
        """`vanilla` with TRL's eps is TRL's own GRPO on the same rollouts."""
        from trl import GRPOTrainer

        from effwb.training import trainer as ours

        design = make_design("vanilla", eps=1e-4)
        metrics = small(design, easy, tmp_path / "a", steps=1, save_every=1).metrics
        monkeypatch.setattr(
            ours.GroupTrainer, "_with_advantages", lambda self, out, *_: out | {"row": out["advantages"]}
        )
        for name in ("_get_per_token_logps_and_entropies", "compute_loss"):
            monkeypatch.setattr(ours.GroupTrainer, name, getattr(GRPOTrainer, name))
        build = ours.GRPOTrainer.__init__

        def scaled(self, *args, **kwargs):
            kwargs["args"].scale_rewards = "group"
            build(self, *args, **kwargs)

        monkeypatch.setattr(ours.GRPOTrainer, "__init__", scaled)
        trl_metrics = small(design, easy, tmp_path / "b", steps=1, save_every=1).metrics
        assert metrics["accuracy"].iloc[0] == trl_metrics["accuracy"].iloc[0]
        for name in ("loss", "grad_norm", "entropy"):
            assert metrics[name].iloc[0] == pytest.approx(trl_metrics[name].iloc[0], rel=2e-4, abs=2e-6), name
        assert metrics["grad_norm"].iloc[0] > 0

    @pytest.mark.long
    @pytest.mark.parametrize(
        "settings",
        [
            {"updates_per_round": 2, "steps": 4, "save_every": 4},
            {"iterations": 2, "save_every": 2},
            {"micro_batch": 4},
            {"kl": 0.01, "loss": "grpo"},
            {"precision": "bfloat16", "clip_high": 0.28},
            {"engine": "trl", "temperature": 0.7, "top_p": 0.9},
        ],
        ids=lambda s: next(iter(s)),
    )
    def test_settings(self, easy, tmp_path, settings):
        table = small("kimi", easy, tmp_path / "r", **settings).metrics
        assert len(table) == settings.get("steps", 2)
        assert np.isfinite(table[["loss", "grad_norm"]]).all(axis=None)

    def test_micro_batches_change_nothing(self, easy, tmp_path):
        large, small_batches = (
            small("kimi", easy, tmp_path / str(m), micro_batch=m, steps=1, save_every=1).metrics
            for m in (8, 2)
        )
        assert large["grad_norm"].iloc[0] == pytest.approx(small_batches["grad_norm"].iloc[0], rel=1e-3)

    def test_masked_rollouts_leave_the_loss(self, easy, tmp_path):
        result = small(
            "truncation", easy, tmp_path / "r", design_params={"target": 40, "variant": "-I"}, max_tokens=64
        )
        assert result.metrics["masked"].max() > 0
        assert np.isfinite(result.metrics["loss"]).all()

    def test_refill_samples_and_probes_the_new_groups_alone(self, easy, tmp_path, monkeypatch):
        from effwb.training.rounds import Collector

        fill, filled = Collector._fill, []

        def spy(self, trainer, rollouts, groups, attempt):
            fill(self, trainer, rollouts, groups, attempt)
            filled.append(groups)
            assert probed_in_a_second_call(self, trainer, rollouts) == list(rollouts.outcomes.values())

        monkeypatch.setattr(Collector, "_fill", spy)
        idle = np.array([True, False, True, False])
        monkeypatch.setattr("effwb.training.rounds.without_advantage", lambda advantage: idle)
        settings = dict(steps=1, save_every=1, problems_per_round=4, refill_rounds=2)
        small("reo_rl", easy, tmp_path / "a", **settings)
        assert filled == [[0, 1, 2, 3], [0, 2], [0, 2]]

    @pytest.mark.long
    @pytest.mark.parametrize("design", ["reo_rl", "mrt", "brpo"])
    def test_one_call_gives_what_two_calls_give(self, easy, tmp_path, monkeypatch, design):
        """Tokens, verdicts, metrics and weights; also where rollouts are truncated and asked at the cap."""
        from effwb.training.engines import ModelEngine

        one_call = small(design, easy, tmp_path / "one", max_tokens=48)
        assert (one_call.metrics["truncated"] > 0).all()

        def in_two_calls(self, trainer, prompt_ids, seeds, prober, target_of):
            completions, logprobs = self.sample(trainer, prompt_ids, seeds)
            targets = [target_of(i, completion) for i, completion in enumerate(completions)]
            with self.sampler(trainer) as sampler:
                return completions, logprobs, prober.answers(sampler, targets)

        monkeypatch.setattr(ModelEngine, "sample_and_probe", in_two_calls)
        two_calls = small(design, easy, tmp_path / "two", max_tokens=48)
        metrics = [
            result.metrics.drop(columns=[c for c in result.metrics if c.startswith("time/")])
            for result in (one_call, two_calls)
        ]
        assert metrics[0].equals(metrics[1])
        for name, value in weights(one_call).items():
            assert np.array_equal(value, weights(two_calls)[name]), name

    def test_refill_replaces_groups_without_spread(self, easy, tmp_path):
        settings = dict(steps=3, save_every=3, max_tokens=32, group_size=2, micro_batch=4)
        plain = small("vanilla", easy, tmp_path / "a", **settings).metrics
        refilled = small("vanilla", easy, tmp_path / "b", **settings, refill_rounds=4).metrics
        assert plain["refilled"].sum() == 0
        assert plain["zero_variance"].sum() > refilled["zero_variance"].sum()
        assert refilled["refilled"].sum() > 0
        assert refilled["tokens"].sum() > plain["tokens"].sum()

    def test_lora(self, easy, tmp_path):
        pytest.importorskip("peft", reason="peft is not installed (extra lora)")
        result = small("kimi", easy, tmp_path / "r", lora_rank=4)
        base = POCKET.model
        from effwb.models import load_model

        fresh, trained = load_model(base).state_dict(), weights(result)
        moved = [n for n, w in trained.items() if not np.allclose(w, fresh[n].numpy(), atol=1e-7)]
        assert moved
        assert set(trained) <= set(fresh), "adapters are merged into plain weights"
        assert not any("embed" in n or "norm" in n for n in moved)

    def test_length_harmonizing_with_its_reference(self, easy, pocket, tmp_path):
        table = rollouts.sample(
            easy, pocket, 4, run_dir=tmp_path / "ref", sampling=POCKET.sampling(max_tokens=96), progress=False
        )
        result = small("length_harmonizing", easy, tmp_path / "r", reference=reference_statistics(table, 96))
        assert np.isfinite(result.metrics["reward/length"]).all()

    def test_laser_d_with_a_monitoring_set(self, easy, tmp_path):
        result = small(
            "laser_d", easy, tmp_path / "r", steps=3, save_every=3, monitor=easy.select(range(4)),
            design_params={"monitor": "held_out", "every": 2},
        )  # fmt: skip
        first_targets = result.design.fresh_state()["targets"]
        assert result.state["targets"] != first_targets
        assert result.metrics["state/target_easy"].iloc[0] == first_targets["easy"]

    def test_l1_with_hints(self, easy, tmp_path):
        assert np.isfinite(small("l1_exact", easy, tmp_path / "r").metrics["reward/total"]).all()

    @pytest.mark.parametrize("design", ["reo_rl", "mrt", "brpo"])
    def test_forced_answers_in_training(self, easy, tmp_path, design):
        table = small(design, easy, tmp_path / "r").metrics
        assert np.isfinite(table[["loss", "grad_norm", "probe_mean"]]).all(axis=None)
        assert (table["time/probe"] > 0).all()
        assert (table["probe_unparsed"] == 0).all(), "the pocket model answers when it is stopped"
        if design == "reo_rl":
            assert np.isfinite(table[["probe/3", "probe/48"]]).all(axis=None)

    def test_stages(self, easy, tmp_path):
        stages = [Stage("wide", "token_budget"), Stage("narrow", "token_budget", max_tokens=48)]
        common = {k: v for k, v in SMALL.items() if k != "max_tokens"}
        plan = train_stages(stages, easy, run_dir=tmp_path / "p", profile=POCKET, **{**common, "seed": 1})
        table = plan.metrics
        assert table["step"].tolist() == [1, 2, 3, 4]
        assert table["stage"].tolist() == [0, 0, 1, 1]
        assert plan.model.startswith(str(tmp_path / "p" / "1-narrow"))
        config = json.loads((tmp_path / "p" / "1-narrow" / "config.json").read_text())["train"]["identity"]
        assert config["model"] == "0-wide"
        assert config["max_tokens"] == 48


SNIPPET = """
from effwb import problems, profiles, rollouts
from effwb.training import train
easy = problems.load("pocket", 16, split="train")
train("hapo", easy, run_dir={run!r}, profile=profiles.profile("pocket"), steps=6, problems_per_round=2,
      group_size=4, micro_batch=8, max_tokens=96, save_every=2, watch="none")
"""


@pytest.fixture(scope="module")
def whole(easy, tmp_path_factory):
    """A run that nobody killed."""
    return small("hapo", easy, tmp_path_factory.mktemp("whole") / "r", steps=6, save_every=2)


class TestResume:
    """A run that is killed ends in the metrics and weights of one that is not."""

    @pytest.mark.long
    @pytest.mark.parametrize(
        "sign",
        [
            "train/checkpoints/checkpoint-2",
            "train/checkpoints/checkpoint-4/effwb.json",
            "train/metrics.jsonl",
        ],
    )
    def test_killed(self, easy, whole, tmp_path, run_until_killed, sign):
        run = tmp_path / "r"
        assert run_until_killed(SNIPPET.format(run=str(run)), (run / sign).exists), "it ended before the kill"
        resumed = small("hapo", easy, run, steps=6, save_every=2)
        metrics, whole_metrics = resumed.metrics, whole.metrics
        drop = [c for c in metrics if c.startswith("time/")]
        assert metrics.drop(columns=drop).equals(
            whole_metrics.drop(columns=[c for c in whole_metrics if c.startswith("time/")])
        )
        assert resumed.state == whole.state
        for name, value in weights(whole).items():
            assert np.array_equal(value, weights(resumed)[name]), name

    def test_a_killed_run_is_not_continued_with_other_settings(self, easy, tmp_path, run_until_killed):
        run = tmp_path / "r"
        reached = (run / "train/checkpoints/checkpoint-2/effwb.json").exists
        assert run_until_killed(SNIPPET.format(run=str(run)), reached), "it ended before the kill"
        for change in ({"learning_rate": 1e-5}, {"seed": 7}, {"design_params": {"c": -0.1}}):
            with pytest.raises(IdentityError, match=r"learning_rate|seed|design\.c"):
                small("hapo", easy, run, steps=6, save_every=2, **change)
        assert small("hapo", easy, run, steps=6, save_every=2, micro_batch=4).metrics["step"].max() == 6

    def test_a_kill_after_the_marker_leaves_no_checkpoints(self, easy, tmp_path):
        result = small("kimi", easy, tmp_path / "r", steps=1, save_every=1)
        left = tmp_path / "r" / "train" / "checkpoints" / "checkpoint-1"
        left.mkdir(parents=True)
        small("kimi", easy, tmp_path / "r", steps=1, save_every=1)
        assert not left.parent.exists()
        assert Path(result.model).is_dir()

    def test_a_checkpoint_without_its_last_file_is_not_used(self, tmp_path):
        from effwb.training.checkpoints import STATE, newest_whole

        for step, whole in ((2, True), (10, True), (12, False)):
            folder = tmp_path / f"checkpoint-{step}"
            folder.mkdir()
            if whole:
                (folder / STATE).write_text("{}")
        assert newest_whole(tmp_path).name == "checkpoint-10"
        assert newest_whole(tmp_path / "nothing") is None

    def test_half_a_line_is_not_read_and_the_rest_is_cut(self, tmp_path):
        record = Record(tmp_path / "m.jsonl")
        for step in (1, 2, 3):
            record.add({"step": step, "loss": float("nan")})
        with open(record.path, "a") as file:
            file.write('{"step": 4, "lo')
        assert [row["step"] for row in record.rows()] == [1, 2, 3]
        record.cut(2)
        assert read_metrics(record.path)["step"].tolist() == [1, 2]
        assert read_metrics(record.path)["loss"].isna().all()


class TestPreview:
    def test_columns_and_numbers(self, easy, pocket, tmp_path):
        profile = POCKET.override(max_tokens=96)
        design = fit_design("kimi", 96)
        table = preview(design, easy, pocket, profile, run_dir=tmp_path / "p", n_problems=4, progress=False)
        assert len(table) == 4 * 8
        assert np.allclose(table["total"], table["reward/correctness"] + table["reward/length"])
        assert spread(table)["slope, right"] < 0
        assert spread(table)["groups"] == 4

    def test_a_dead_reward_is_seen(self, easy, pocket, tmp_path):
        profile = POCKET.override(max_tokens=96)
        design = fit_design("truncation", 96, target=1)
        table = preview(design, easy, pocket, profile, run_dir=tmp_path / "p", n_problems=4, progress=False)
        assert spread(table)["without spread"] == 1.0
        assert (table["advantage"] == 0).all()

    def test_hints_are_asked_for(self, easy, pocket, tmp_path):
        profile = POCKET.override(max_tokens=96)
        design = fit_design("l1_exact", 96)
        table = preview(design, easy, pocket, profile, run_dir=tmp_path / "p", n_problems=4, progress=False)
        assert table.groupby("problem_id")["hint_tokens"].nunique().eq(1).all()

    def test_uneven_groups(self, easy, pocket, tmp_path):
        table = rollouts.sample(
            easy, pocket, 2, run_dir=tmp_path / "p", sampling=POCKET.sampling(max_tokens=96), progress=False
        )
        with pytest.raises(ConfigError, match="same number of rollouts"):
            score(fit_design("kimi", 96), table.iloc[1:], 96)


class TestBadInput:
    @pytest.mark.parametrize(
        ("design", "settings", "message"),
        [
            ("kimmi", {}, "unknown design 'kimmi'.*Did you mean 'kimi'"),
            ("kimi", {"design_params": {"wieght": 1}}, "Did you mean 'weight'"),
            ("length_group_norm", {"design_params": {"alpha": 1.5}}, "alpha=1.5 must be a number in"),
            ("kimi", {"lerning_rate": 1e-4}, "unknown training field 'lerning_rate'.*'learning_rate'"),
            ("kimi", {"group_size": 1}, "group_size=1: rule 'group' compares"),
            ("kimi", {"max_tokens": 4096}, "exceeds the model's context of 2048"),
            ("kimi", {"engine": "vlm"}, "unknown training engine 'vlm'"),
            ("kimi", {"steps": 3, "updates_per_round": 2}, "steps=3 must be a multiple of"),
            ("kimi", {"micro_batch": 3}, "do not divide into micro_batch=3"),
            ("kimi", {"watch": "plot"}, "unknown watch 'plot'"),
            ("gfpo", {"design_params": {"k": 8}}, "gfpo: k=8 of G=4"),
            ("kimi", {"loss": "dapoo"}, "unknown training loss 'dapoo'.*'dapo'"),
            ("kimi", {"temperature": 0.0}, r"temperature=0.0 must lie in \[0.001, 10\]"),
            ("kimi", {"kl": -1.0}, "kl=-1.0 must be at least 0"),
            ("kimi", {"clip_low": 5.0}, r"clip_low=5.0 must lie in \[0, 1\]"),
            ("kimi", {"engine": "trl-vllm-colocate", "top_p": 0.9}, "silence long rollouts"),
            ("kimi", {"engine": "vllm", "lora_rank": 4, "weights": "bfloat16"}, "merges adapters"),
            ("reo_rl", {"design_params": {"budgets": [10, 96]}}, "strictly inside"),
            ("kimi", {"loss": "cispo"}, "clip_high=0.2 with loss='cispo'.*set clip_high above 1, e.g. 5"),
            ("kimi", {"loss": "cispo", "clip_high": 1.0}, "clip_high=1 with loss='cispo'"),
            (
                "adapt_think",
                {"loss": "grpo", "kl": 0.1, "kl_place": "reward"},
                "adapt_think has one ratio for the whole rollout.*use kl_place='loss'",
            ),
            ("kimi", {"warmup_steps": 2}, "warmup_steps=2 must be below steps=2"),
            ("laser_d", {"design_params": {"monitor": "held_out"}}, "needs train\\(monitor="),
        ],
    )
    def test_before_the_first_step(self, easy, tmp_path, design, settings, message):
        with pytest.raises(ConfigError, match=message):
            small(design, easy, tmp_path / "r", **settings)
        assert (
            not list(tmp_path.glob("r/train/metrics.jsonl"))
            or not Record(tmp_path / "r/train/metrics.jsonl").rows()
        )

    def test_a_design_of_another_cap(self, easy, tmp_path):
        with pytest.raises(ConfigError, match="belong to a cap of 16384 tokens, the run has 96"):
            small(make_design("truncation"), easy, tmp_path / "r")

    def test_a_reference_that_misses_problems(self, easy, tmp_path):
        with pytest.raises(DataError, match="compares with a frozen model"):
            small("length_harmonizing", easy, tmp_path / "r")
        incomplete = {easy["problem_id"][0]: {"length": 50.0, "accuracy": 0.5}}
        with pytest.raises(DataError, match="misses 15 of 16 problems"):
            small("length_harmonizing", easy, tmp_path / "r", reference=incomplete)
        without_accuracy = {pid: {"length": 50.0} for pid in easy["problem_id"]}
        with pytest.raises(DataError, match="needs 'length' and 'accuracy'"):
            small("length_harmonizing", easy, tmp_path / "r", reference=without_accuracy)
        assert not (tmp_path / "r").exists()

    def test_the_directory_of_another_design(self, easy, tmp_path):
        small("kimi", easy, tmp_path / "r", steps=1, save_every=1)
        with pytest.raises(IdentityError, match=r"design\.name: 'kimi' on disk, 'vanilla' asked"):
            small("vanilla", easy, tmp_path / "r", steps=1, save_every=1)

    def test_nan_names_step_problems_and_saved_state(self, easy, tmp_path):
        with pytest.raises(
            TrainingError, match=r"step \d: the (loss|gradient norm) is .*pocket-.*saved state"
        ):
            small("kimi", easy, tmp_path / "r", learning_rate=1e30, steps=4, save_every=1)
        assert list(tmp_path.glob("r/train/failed-step-*.parquet"))
