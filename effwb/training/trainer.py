"""TRL's GRPOTrainer with effwb's rollouts and advantages, and a forward pass that skips padding.

TRL keeps the loss, clipping, LoRA, accelerate with DDP, FSDP and DeepSpeed, its vLLM, and checkpoints.
Three things are replaced: the rollouts of a round (`rounds`), the advantages (a `Design`), and the forward
pass (`forward`). One is added: the KL terms that TRL does not have (`objective`). The private methods
overridden here are listed in `effwb._internal.private_trl`.
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
from effwb.designs.segments import per_token
from effwb.errors import TrainingError
from effwb.runs import write_parquet
from effwb.samplers.transformers.cache import left_pad
from effwb.training import objective
from effwb.training.checkpoints import seal, sealed, writing
from effwb.training.forward import log_probs
from effwb.training.interrupts import Interrupts
from effwb.training.round_metrics import round_metrics
from effwb.training.rounds import Collector, Round

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
        place, estimator = self.settings.kl_place if self.settings.kl else None, self.settings.kl_estimator
        self.kl_in_reward = place == "reward"
        self.own_kl_in_loss = place == "loss" and estimator != "k3"  # "k3" in the loss is TRL's own
        self.logps: Any = None  # of the micro-batch whose loss is being computed, if the own KL needs them
        self.interrupts = Interrupts(self)
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
        self.add_callback(self.interrupts)

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
        self.interrupts.begin_sampling()
        monitor_tokens = self._sample_monitor(number)
        rollouts = self.round = self.collector.collect(self, number)
        self.interrupts.end_sampling()
        group = self.collector.group(rollouts)
        whiten_here = design.whiten and self.kl_in_reward  # the KL comes before the whitening
        advantage = design.unwhitened(group) if whiten_here else design.advantage(group)
        mask = design.mask(group)
        metrics = round_metrics(rollouts, group, design.reward(group), advantage, mask)
        self.round_metrics = metrics
        metrics["tokens"] += monitor_tokens
        metrics |= {f"state/{name}": float(value) for name, value in design.diagnostics(group).items()}
        design.observe(group)
        closing = self.collector.schedule.closing
        if closing is not None:
            p_empty_P = self._p_empty(rollouts, closing)
            metrics["modes/p_empty"] = float(p_empty_P.mean())
        out = self._scored(inputs)
        kl = self._kl_of_reward(out) if self.kl_in_reward else None
        if design.forced_share is not None:
            out["old_per_token_logps"] = self._old_logps(out, rollouts, p_empty_P)
        batch = self._with_advantages(out, rollouts, advantage, mask, design.edges(group))
        return batch if kl is None else self._with_kl_in_reward(batch, kl)

    def _scored(self, inputs) -> dict:
        """TRL's batch; its loss has a KL term only where that is the one that the settings ask for."""
        self.beta = self.settings.kl  # not 0: TRL computes the log-probabilities of the starting model
        out = super()._generate_and_score_completions(inputs)
        if self.kl_in_reward or self.own_kl_in_loss:
            self.beta = 0.0
        return out

    def _sample_monitor(self, number: int) -> int:
        """Every `design.every` rounds, show laser_d its monitoring set; returns the tokens sampled.

        The monitoring set is never trained on.
        """
        if self.monitor is None or not number or number % self.design.every:
            return 0
        schedule = self.monitor.schedule
        batch = schedule.render(list(range(len(schedule.ids))), np.random.default_rng(number))
        rollouts = self.monitor.sample(self, number, batch)
        self.interrupts.end_sampling()
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
        old = self._sampling_logps(out)
        old, log_share = old.clone(), np.log(self.design.forced_share)
        for i, row in enumerate(rollouts.completions):
            p = row // rollouts.group_size
            empty = rollouts.outcomes[row].empty
            old[i, 0] = log_share + (0.0 if empty else old[i, 0] - torch.log1p(-p_empty_P[p]))
        return old

    @torch.no_grad()
    def _sampling_logps(self, out: dict) -> torch.Tensor:
        """Log-probabilities (B, T) of the rollouts under the model that drew them: the present one."""
        if "old_per_token_logps" in out:
            return out["old_per_token_logps"]
        ids = torch.cat([out["prompt_ids"], out["completion_ids"]], dim=1)
        mask = torch.cat([out["prompt_mask"], out["completion_mask"]], dim=1)
        width, rows = out["completion_ids"].shape[1], self.args.per_device_train_batch_size
        return self._get_per_token_logps_and_entropies(self.model, ids, mask, width, batch_size=rows)[0]

    def _kl_of_reward(self, out: dict) -> torch.Tensor:
        """The KL estimate of each token as the reward has it, float64 (B, T), 0 on padding."""
        logps, reference = self._sampling_logps(out).double(), out.pop("ref_per_token_logps").double()
        kl = objective.kl_per_token(logps, reference, self.settings.kl_estimator)
        return kl * out["completion_mask"]

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

    def _with_kl_in_reward(self, batch: dict, kl: torch.Tensor) -> dict:
        """The batch with the KL in the reward of each token, and then whitened if the design whitens.

        The reward of token t is less by `Training.kl` times its KL, so its advantage is less by the sum of
        that over t and all later tokens (gamma 1). The baseline of the group is taken before that and the
        whitening after it, over all tokens of the round, as in the code of Arora & Zanette (2502.04463).
        Whitening then shifts groups whose rewards are all equal like all others, which `Design.whitened` does
        not: with a KL they have a gradient.

        Args:
            batch: TRL's batch with the design's advantages, (B,) or (B, T), not whitened.
            kl: The KL of each token, float64 (B, T), 0 on padding.
        """
        mask, advantage = objective.loss_mask(batch), batch["advantages"].double()
        self.round_metrics["kl"] = float(objective.token_mean(kl, mask, self.accelerator))
        if advantage.ndim == 1:
            advantage = advantage[:, None]
        advantage = advantage - self.settings.kl * objective.returns_to_go(kl)
        if self.design.whiten:
            advantage = objective.whiten(advantage, mask, self.accelerator)
        return batch | {"advantages": advantage.float()}

    def _get_per_token_logps_and_entropies(self, model, input_ids, attention_mask, logits_to_keep, **options):
        values = self._log_probs(model, input_ids, attention_mask, logits_to_keep, **options)
        if self.own_kl_in_loss and torch.is_grad_enabled():
            self.logps = values[0]
        return values

    def _log_probs(self, model, input_ids, attention_mask, logits_to_keep, **options):
        images = any(value is not None for name, value in options.items() if name not in TEXT_OPTIONS)
        if images or options.get("compute_aux_loss"):  # this forward pass is for text alone
            return super()._get_per_token_logps_and_entropies(
                model, input_ids, attention_mask, logits_to_keep, **options
            )
        rows, alone = options.get("batch_size") or len(input_ids), self.accelerator.num_processes == 1
        if not alone and len(input_ids) > rows:  # a whole round, `rows` rollouts at a time
            options["batch_size"] = rows
            parts = [
                self._log_probs(model, ids, mask, logits_to_keep, **options)
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
        """TRL's loss, and a KL term that TRL does not have; raises `TrainingError` where it is not finite."""
        loss = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        if self.own_kl_in_loss:
            loss = loss + self.settings.kl * self._kl_of_loss(inputs)
        if not torch.isfinite(loss):
            self._fail(f"the loss is {loss.item()}", inputs["row"].tolist())
        return loss

    def _kl_of_loss(self, batch: dict) -> torch.Tensor:
        """The KL of a micro-batch by the estimator of the settings, summed as the loss sums over tokens."""
        logps, self.logps = self.logps, None
        kl = objective.kl_per_token(logps, batch["ref_per_token_logps"], self.settings.kl_estimator)
        mean = objective.token_mean(kl.detach(), objective.loss_mask(batch), self.accelerator)
        private_trl.add_to_log(self, "kl", float(mean))
        return objective.as_in_loss(self, batch, kl)

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
        step = self.state.global_step
        folder = Path(self.args.output_dir) / f"checkpoint-{step}"
        with self.phase("save"), writing(folder):
            private_trl.save_checkpoint(self, model, trial)
            self.accelerator.wait_for_everyone()  # every process has files of its own in it
            if self.args.should_save:
                seal(folder, step=step, design=self.design.state())
