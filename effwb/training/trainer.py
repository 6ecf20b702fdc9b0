"""TRL's GRPOTrainer with effwb's rollouts and advantages, and a forward pass that skips padding.

TRL keeps the loss, clipping, KL, LoRA, accelerate with DDP, FSDP and DeepSpeed, its vLLM, and checkpoints.
Three things are replaced: the rollouts of a round (`rounds`), the advantages (a `Design`), and the forward
pass (`forward`). The private methods overridden here are listed in `effwb._internal.private_trl`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from trl import GRPOTrainer

from effwb._internal import private_trl
from effwb.designs import Group
from effwb.designs.segments import per_token
from effwb.errors import TrainingError
from effwb.runs import write_parquet
from effwb.samplers.transformers.cache import left_pad
from effwb.training.checkpoints import seal, sealed
from effwb.training.forward import log_probs
from effwb.training.rounds import Collector, Round, without_advantage

TEXT_OPTIONS = ("batch_size", "compute_entropy", "compute_aux_loss")  # of a forward pass on text


class GroupTrainer(GRPOTrainer):
    """GRPO whose advantages come from a `Design`; built by `effwb.training.train`.

    Args:
        model: The model to train.
        args: A `trl.GRPOConfig`, see `trl_config.grpo_config`.
        tokenizer: The model's tokenizer.
        collector: Samples the rounds; it knows the design and the training settings.
        monitor: Samples the monitoring set of laser_d; None for all other designs.
        **options: For `trl.GRPOTrainer`, such as `callbacks` and `peft_config`.
    """

    def __init__(
        self, model, args, tokenizer, collector: Collector, monitor: Collector | None = None, **options
    ):
        self.collector, self.monitor = collector, monitor
        self.settings = collector.settings
        self.design: Any = collector.design  # some have methods that only the trainer knows of
        self.clock: dict[str, float] = {}  # seconds by phase, until the next row of metrics.jsonl
        self.round_metrics: dict[str, float] = {}  # of the round, until the next row
        self.round: Any = None  # the `Round` that is being trained on
        self.updates = self.settings.updates_per_round * self.settings.iterations
        rounds = -(-args.max_steps // self.updates)
        super().__init__(
            model=model,
            args=args,
            processing_class=tokenizer,
            reward_funcs=[self.accuracy],
            rollout_func=self.give_rollouts,
            # TRL wants a row per prompt; `PromptSchedule` decides which prompts they are
            train_dataset=Dataset.from_dict({"prompt": [""] * (rounds * self.settings.problems_per_round)}),
            **options,
        )

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the seconds spent inside to `clock[name]`."""
        start = time.perf_counter()
        yield
        self.clock[name] = self.clock.get(name, 0.0) + time.perf_counter() - start

    def give_rollouts(self, prompts, trainer) -> dict:
        """What TRL calls to get rollouts: those of the round that was just collected."""
        return {
            "prompt_ids": [self.round.prompts.prompt_ids_P[p] for p, _ in self.round.local],
            "completion_ids": [c.token_ids for c in self.round.completions.values()],
            "logprobs": list(self.round.logprobs.values()) or None,
        }

    def accuracy(self, prompts, **_) -> list[float]:
        """What TRL calls to get rewards; the advantages that it makes from them are replaced."""
        return [float(self.round.outcomes[row].correct) for row in self.round.completions]

    def _generate_and_score_completions(self, inputs):
        number, design = self.state.global_step // self.updates, self.design
        monitor_tokens = self._sample_monitor(number)
        rollouts = self.round = self.collector.collect(self, number)
        group = self.collector.group(rollouts)
        advantage, mask = design.advantage(group), design.mask(group)
        self.round_metrics = metrics = _metrics(rollouts, group, design.reward(group), advantage, mask)
        metrics["tokens"] += monitor_tokens
        metrics |= {f"state/{name}": float(value) for name, value in design.diagnostics(group).items()}
        design.observe(group)
        closing = self.collector.schedule.closing
        if closing is not None:
            p_empty_P = self._p_empty(rollouts, closing)
            metrics["modes/p_empty"] = float(p_empty_P.mean())
        out = super()._generate_and_score_completions(inputs)
        if design.forced_share is not None:
            out["old_per_token_logps"] = self._old_logps(out, rollouts, p_empty_P)
        return self._with_advantages(out, rollouts, advantage, mask, design.edges(group))

    def _sample_monitor(self, number: int) -> int:
        """Every `design.every` rounds, show laser_d its monitoring set; returns the tokens sampled.

        The monitoring set is never trained on.
        """
        if self.monitor is None or not number or number % self.design.every:
            return 0
        schedule = self.monitor.schedule
        batch = schedule.render(list(range(len(schedule.ids))), np.random.default_rng(number))
        rollouts = self.monitor.sample(self, number, batch)
        self.design.update_targets(self.monitor.group(rollouts))
        return rollouts.tokens

    @torch.no_grad()
    def _p_empty(self, rollouts: Round, closing: int) -> torch.Tensor:
        """The probability that the model closes its thinking right after each prompt, (P,)."""
        rows = [[*ids, closing] for ids in rollouts.prompts.prompt_ids_P]
        ids, mask = left_pad(rows, self.processing_class.pad_token_id, self.accelerator.device)
        logps, *_ = self._get_per_token_logps_and_entropies(
            self.model, ids, mask.long(), 1, batch_size=self.args.per_device_train_batch_size
        )
        return logps[:, 0].float().exp()

    @torch.no_grad()
    def _old_logps(self, out: dict, rollouts: Round, p_empty_P: torch.Tensor) -> torch.Tensor:
        """Log-probabilities (B, T) with which the rollouts were drawn.

        They are those of the model that drew them, except for the mode. The first token chooses the mode, and
        the design forces the share of each.
        """
        old = out.get("old_per_token_logps")
        if old is None:
            ids = torch.cat([out["prompt_ids"], out["completion_ids"]], dim=1)
            mask = torch.cat([out["prompt_mask"], out["completion_mask"]], dim=1)
            width, rows = out["completion_ids"].shape[1], self.args.per_device_train_batch_size
            old, *_ = self._get_per_token_logps_and_entropies(self.model, ids, mask, width, batch_size=rows)
        old, log_share = old.clone(), np.log(self.design.forced_share)
        for i, row in enumerate(rollouts.completions):
            p = row // rollouts.group_size
            empty = rollouts.outcomes[row].empty
            old[i, 0] = log_share + (0.0 if empty else old[i, 0] - torch.log1p(-p_empty_P[p]))
        return old

    def _with_advantages(
        self, out: dict, rollouts: Round, advantage: np.ndarray, mask: np.ndarray, edges: np.ndarray | None
    ) -> dict:
        """TRL's batch with the design's advantages.

        Masked rollouts leave the loss, and its token count where it is a mean over tokens ("dapo", "cispo");
        means over rollouts still divide by all.

        Args:
            out: TRL's batch, of this process.
            rollouts: The round.
            advantage: (P, G), or (P, G, K + 1) by segment.
            mask: Bool (P, G); False leaves the loss.
            edges: Where the segments end, int (P, G, K); None for advantages (P, G).
        """
        device, rows = out["completion_ids"].device, rollouts.local
        if advantage.ndim == 3:
            assert edges is not None, f"{self.design.NAME} has advantages by segment but no edges"
            width = out["completion_ids"].shape[1]
            local = np.array([per_token(advantage[row], edges[row], width) for row in rows])
        else:
            local = np.array([advantage[row] for row in rows])
        out["advantages"] = torch.as_tensor(local, dtype=torch.float32, device=device)
        out["row"] = torch.arange(len(rows), device=device)  # to name a rollout that gives NaN
        if not mask.all():
            unmasked = torch.as_tensor(np.array([mask[row] for row in rows]), device=device)
            out["tool_mask"] = unmasked[:, None].long().expand_as(out["completion_mask"]).contiguous()
            count = (out["completion_mask"] * out["tool_mask"]).sum()
            out["num_items_in_batch"] = self.accelerator.gather(count).sum()
        return out

    def _get_per_token_logps_and_entropies(self, model, input_ids, attention_mask, logits_to_keep, **options):
        images = any(value is not None for name, value in options.items() if name not in TEXT_OPTIONS)
        if images or options.get("compute_aux_loss"):  # this forward pass is for text alone
            return super()._get_per_token_logps_and_entropies(
                model, input_ids, attention_mask, logits_to_keep, **options
            )
        rows, alone = options.get("batch_size") or len(input_ids), self.accelerator.num_processes == 1
        if not alone and len(input_ids) > rows:  # a whole round, `rows` rollouts at a time
            options["batch_size"] = rows
            parts = [
                self._get_per_token_logps_and_entropies(model, ids, mask, logits_to_keep, **options)
                for ids, mask in zip(input_ids.split(rows), attention_mask.split(rows), strict=True)
            ]
            logps, entropies, _ = zip(*parts, strict=True)
            return torch.cat(logps), None if entropies[0] is None else torch.cat(entropies), None
        # sharded models need the same number of forward passes on every process
        limit = self.settings.tokens_per_forward if alone else input_ids.numel()
        logps, entropies = log_probs(
            model,
            input_ids,
            attention_mask,
            logits_to_keep,
            tokens=limit,
            autocast=self.accelerator.autocast,
            entropy=options.get("compute_entropy", False),
        )
        return logps, entropies, None

    def log(self, logs: dict, start_time: float | None = None) -> None:
        """TRL's log with the numbers of the round instead of TRL's rewards, which are only the accuracy."""
        private_trl.drop_rewards_from_log(self)
        super().log({**logs, **self.round_metrics} if "loss" in logs else logs, start_time)

    def compute_loss(
        self, model, inputs, return_outputs: bool = False, num_items_in_batch=None
    ) -> torch.Tensor:
        """TRL's loss; raises `TrainingError` where it is not finite."""
        loss = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        if not torch.isfinite(loss):
            self._fail(f"the loss is {loss.item()}", inputs["row"].tolist())
        return loss

    def _get_grad_norm(self, model, grad_norm=None):
        norm = super()._get_grad_norm(model, grad_norm)
        if not np.isfinite(float(norm)):
            self._fail(f"the gradient norm is {float(norm)}", range(len(self.round.completions)))
        return norm

    def _fail(self, reason: str, places: Iterable[int]) -> None:
        """Save the rollouts at these places among the local ones, and raise `TrainingError`."""
        import pandas as pd

        step, rank = self.state.global_step + 1, self.accelerator.process_index
        local, completions = self.round.local, list(self.round.completions.values())
        names = [self.round.prompts.problem_ids_P[local[i][0]] for i in places]
        table = pd.DataFrame({"problem_id": names, "text": [completions[i].text for i in places]})
        table["completion_ids"] = [completions[i].token_ids for i in places]
        output = Path(self.args.output_dir)
        file = output.parent / f"failed-step-{step:05d}-process-{rank}.parquet"
        write_parquet(file, table)
        saved = next(iter(sealed(output)), None)
        raise TrainingError(
            f"step {step}: {reason}, in rollouts of {', '.join(sorted(set(names))[:3])} ...; the model was "
            f"not updated with it. The rollouts are in {file}, the last saved state is "
            f"{saved or 'the starting model'}"
        )

    def _load_optimizer_and_scheduler(self, checkpoint):
        private_trl.name_cpu_without_index(self)
        super()._load_optimizer_and_scheduler(checkpoint)

    def _save_checkpoint(self, model, trial):
        with self.phase("save"):
            private_trl.save_checkpoint(self, model, trial)
            self.accelerator.wait_for_everyone()  # every process has files of its own in it
            if self.args.should_save:
                step = self.state.global_step
                folder = Path(self.args.output_dir) / f"checkpoint-{step}"
                seal(folder, step=step, design=self.design.state())


def _metrics(
    rollouts: Round, group: Group, rewards: dict[str, np.ndarray], advantage: np.ndarray, mask: np.ndarray
) -> dict[str, float]:
    """The numbers of a round, named as in metrics.jsonl. A truncated rollout is not accurate."""
    length, correct = group.length_PG, group.correct_PG & group.finished_PG
    metrics = {
        "accuracy": correct.mean(),
        "length/mean": length.mean(),
        "length/correct": _mean(length[correct]),
        "length/wrong": _mean(length[~correct]),
        "truncated": 1 - group.finished_PG.mean(),
        **{f"reward/{name}": part.mean() for name, part in rewards.items()},
        "spread": rewards["total"].std(axis=1).mean(),
        "zero_variance": without_advantage(advantage).mean(),
        "masked": 1 - mask.mean(),
        "refilled": rollouts.refilled,
        "tokens": rollouts.tokens,
    }
    budgets, at_budget = rollouts.probe_budgets_PGK, rollouts.probe_correct_PGK
    if budgets is not None and at_budget is not None:
        shared = budgets[0, 0] if (budgets == budgets[0, 0]).all() else []  # budgets of all rollouts
        metrics |= {f"probe/{budget}": at_budget[..., k].mean() for k, budget in enumerate(shared)}
        metrics |= {"probe_unparsed": rollouts.unparsed, "probe_mean": at_budget.mean()}
    if group.empty_PG is not None:  # rollouts that think, and those that do not
        metrics["modes/empty"] = group.empty_PG.mean()
        for name, members in (("think", ~group.empty_PG), ("empty", group.empty_PG)):
            metrics[f"accuracy/{name}"] = _mean(correct[members])
            metrics[f"length/{name}"] = _mean(length[members])
    return {name: float(value) for name, value in metrics.items()}


def _mean(values: np.ndarray) -> float:
    return values.mean() if values.size else np.nan
