"""TRL's GRPOTrainer with our rounds, our advantages, and nothing computed on padding.

What is TRL's stays TRL's: the loss, clipping, KL, LoRA, accelerate with DDP, FSDP and DeepSpeed, its vLLM,
checkpoints. Replaced are three things: what a round of rollouts is (`collect`), the advantages (`Design`),
and the forward pass (`forward`).
"""

import json
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset
from trl import GRPOTrainer

from effwb.designs.segments import per_token
from effwb.errors import TrainingError
from effwb.runs import write_atomic, write_parquet
from effwb.samplers.transformers.cache import left_pad
from effwb.training.collect import Collector, Round
from effwb.training.forward import log_probs

STATE = "effwb.json"  # written last into a checkpoint: without it the checkpoint is not whole


class GroupTrainer(GRPOTrainer):
    """GRPO whose advantages come from a `Design`. Made by `effwb.training.train`."""

    def __init__(self, model, args, tokenizer, design, collector: Collector, settings, *, cap, **more):
        self.design, self.collector, self.settings, self.cap = design, collector, settings, cap
        self.reference, self.monitor, self.forcer = (
            more.pop(name) for name in ("reference", "monitor", "forcer")
        )
        self.measured, self.ready = {}, None
        self.updates = settings.updates_per_round * settings.iterations
        rounds = -(-args.max_steps // self.updates)
        super().__init__(
            model=model,
            args=args,
            processing_class=tokenizer,
            reward_funcs=[self.accuracy],
            rollout_func=self.hand_over,
            # TRL wants a row per prompt; which prompts they are is decided in `Rounds`
            train_dataset=Dataset.from_dict({"prompt": [""] * (rounds * settings.problems_per_round)}),
            **more,
        )

    def hand_over(self, prompts, trainer) -> dict:
        """TRL asks for rollouts; they are there."""
        asked = self.ready.asked
        prompt_ids = [asked.prompt_ids_P[p] for p, _ in self.ready.local]
        logprobs = None if self.ready.logprobs[0] is None else self.ready.logprobs
        return {"prompt_ids": prompt_ids, "completion_ids": self.ready.completion_ids, "logprobs": logprobs}

    def accuracy(self, prompts, **_) -> list[float]:
        """TRL asks for rewards; it logs these, and its advantages from them are replaced."""
        return [float(self.ready.correct_PG[p, g]) for p, g in self.ready.local]

    def _generate_and_score_completions(self, inputs):
        number = self.state.global_step // self.updates
        watched = self._observe_monitor(number)
        made = self.ready = self._collect(number)
        group = self._group(made)
        advantage, mask = self.design.advantage(group), self.design.mask(group)
        self.measured = _measure(made, group, self.design.reward(group), advantage, mask)
        self.measured["tokens"] += watched
        self.measured |= {f"state/{name}": float(v) for name, v in self.design.diagnostics(group).items()}
        self.design.observe(group)
        if made.empty_PG is not None:
            p_empty_P = self._p_empty(made)
            self.measured["modes/p_empty"] = float(p_empty_P.mean())
        out = super()._generate_and_score_completions(inputs)
        if self.design.forced_share is not None:
            out["old_per_token_logps"] = self._old_logps(out, made, p_empty_P)
        return self._with_advantages(out, made, advantage, mask, self.design.edges(group))

    def _collect(self, number: int) -> Round:
        """A round: probed where the design asks, groups without spread replaced as often as asked for."""
        made = self.collector.collect(self, number, self.collector.rounds.of(number))
        self._probe(made, list(range(len(made.correct_PG))))
        for attempt in range(1, self.settings.refill_rounds + 1):
            slots = np.flatnonzero(_idle(self.design.advantage(self._group(made)))).tolist()
            if not slots:
                break
            self._probe(made, self.collector.refill(self, made, slots, attempt))
        return made

    def _probe(self, made: Round, slots: list[int]) -> None:
        if self.forcer is not None and slots:
            self.collector.probe(self, made, slots, self.design, self.forcer, self.cap)

    def _group(self, made: Round):
        return made.group(self.collector.rounds.ids, self.cap, self.reference)

    def _observe_monitor(self, number: int) -> int:
        """LASER-D's monitoring set: sampled every so many rounds, never trained on. Returns the tokens."""
        if self.monitor is None or not number or number % self.design.every:
            return 0
        asked = self.monitor.ask(list(range(len(self.monitor.ids))), np.random.default_rng(number))
        made = self.collector.on(self.monitor).collect(self, number, asked)
        self.design.update_targets(made.group(self.monitor.ids, self.cap))
        return made.tokens

    def _load_optimizer_and_scheduler(self, checkpoint):
        """Accelerate calls the CPU of one process among several "cpu:0", a place torch.load does not know."""
        if self.args.device.type == "cpu":
            self.args.__dict__["_setup_devices"] = torch.device("cpu")  # what args.device keeps
        super()._load_optimizer_and_scheduler(checkpoint)

    @torch.no_grad()
    def _p_empty(self, made: Round) -> torch.Tensor:
        """The probability (P,) that the model closes its thinking at once behind each prompt of the round."""
        closing, pad = self.collector.rounds.closing, self.processing_class.pad_token_id
        rows = [[*ids, closing] for ids in made.asked.prompt_ids_P]
        ids, mask = left_pad(rows, pad, self.accelerator.device)
        logps, *_ = self._get_per_token_logps_and_entropies(
            self.model, ids, mask.long(), 1, batch_size=self.args.per_device_train_batch_size
        )
        return logps[:, 0].float().exp()

    @torch.no_grad()
    def _old_logps(self, out: dict, made: Round, p_empty_P: torch.Tensor) -> torch.Tensor:
        """Log-probabilities (B, T) under which the round was drawn: those of the weights that drew it, but of
        the mode, which the first token chooses, the share that the design forces.
        """
        old = out.get("old_per_token_logps")
        if old is None:
            ids = torch.cat([out["prompt_ids"], out["completion_ids"]], dim=1)
            mask = torch.cat([out["prompt_mask"], out["completion_mask"]], dim=1)
            width, rows = out["completion_ids"].shape[1], self.args.per_device_train_batch_size
            old, *_ = self._get_per_token_logps_and_entropies(self.model, ids, mask, width, batch_size=rows)
        old, share = old.clone(), np.log(self.design.forced_share)
        for row, (p, g) in enumerate(made.local):
            within = 0.0 if made.empty_PG[p, g] else old[row, 0] - torch.log1p(-p_empty_P[p])
            old[row, 0] = share + within
        return old

    def _with_advantages(self, out: dict, made: Round, advantage, mask, edges) -> dict:
        """TRL's batch with our advantages, (P, G) or by segment (P, G, K + 1) with `edges` (P, G, K).

        Masked rollouts leave the loss, and its token count where it is a mean over tokens ("dapo", "cispo");
        means over rollouts still divide by all.
        """
        device, rows = out["completion_ids"].device, made.local
        if advantage.ndim == 3:
            width = out["completion_ids"].shape[1]
            local = np.array([per_token(advantage[row], edges[row], width) for row in rows])
        else:
            local = np.array([advantage[row] for row in rows])
        out["advantages"] = torch.as_tensor(local, dtype=torch.float32, device=device)
        out["row"] = torch.arange(len(rows), device=device)  # to name a rollout that gives NaN
        if not mask.all():
            kept = torch.as_tensor(np.array([mask[row] for row in rows]), device=device)
            out["tool_mask"] = kept[:, None].long().expand_as(out["completion_mask"]).contiguous()
            counted = (out["completion_mask"] * out["tool_mask"]).sum()
            out["num_items_in_batch"] = self.accelerator.gather(counted).sum()
        return out

    def _get_per_token_logps_and_entropies(self, model, input_ids, attention_mask, logits_to_keep, **options):
        if options.get("compute_aux_loss") or any(v is not None for v in _beyond_text(options)):
            return super()._get_per_token_logps_and_entropies(
                model, input_ids, attention_mask, logits_to_keep, **options
            )
        rows = options.get("batch_size") or len(input_ids)
        if self.accelerator.num_processes == 1:
            limit = self.settings.tokens_per_forward
        elif len(input_ids) > rows:
            return self._by_rows(model, input_ids, attention_mask, logits_to_keep, rows, options)
        else:  # sharded models need the same number of forward passes on every process
            limit = input_ids.numel()
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

    def _by_rows(self, model, ids, mask, logits_to_keep: int, rows: int, options: dict):
        """The log-probabilities of a whole round, `rows` rollouts at a time."""
        options = {**options, "batch_size": rows}
        parts = [
            self._get_per_token_logps_and_entropies(model, i, m, logits_to_keep, **options)
            for i, m in zip(ids.split(rows), mask.split(rows), strict=True)
        ]
        logps, entropies, _ = zip(*parts, strict=True)
        return torch.cat(logps), None if entropies[0] is None else torch.cat(entropies), None

    def log(self, logs: dict, start_time: float | None = None) -> None:
        """TRL's log with the round's numbers; TRL's own rewards are only the accuracy and are left out."""
        for name in [n for n in self._metrics["train"] if n.startswith(("reward", "frac_reward"))]:
            del self._metrics["train"][name]
        super().log({**logs, **self.measured} if "loss" in logs else logs, start_time)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        loss = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        if not torch.isfinite(loss):
            self._stop(f"the loss is {loss.item()}", inputs["row"].tolist())
        return loss

    def _get_grad_norm(self, model, grad_norm=None):
        norm = super()._get_grad_norm(model, grad_norm)
        if not np.isfinite(float(norm)):
            self._stop(f"the gradient norm is {float(norm)}", range(len(self.ready.texts)))
        return norm

    def _stop(self, why: str, rows) -> None:
        """Keep the round that led here, and raise."""
        import pandas as pd

        made, step = self.ready, self.state.global_step + 1
        ids, local, rank = self.collector.rounds.ids, made.local, self.accelerator.process_index
        names = [ids[made.asked.rows_P[local[r][0]]] for r in rows]
        table = pd.DataFrame({"problem_id": names, "text": [made.texts[r] for r in rows]})
        table["completion_ids"] = [made.completion_ids[r] for r in rows]
        output = Path(self.args.output_dir)
        file = output.parent / f"failed-step-{step:05d}-process-{rank}.parquet"
        write_parquet(file, table)
        saved = last_checkpoint(output)
        raise TrainingError(
            f"step {step}: {why}, in rollouts of {', '.join(sorted(set(names))[:3])} ...; no update was made "
            f"from it. The rollouts are in {file}, the last saved state is {saved or 'the starting model'}"
        )

    def _save_checkpoint(self, model, trial):
        with self.collector.phase("save"):
            super(GRPOTrainer, self)._save_checkpoint(model, trial)  # without TRL's model card
            if self.args.should_save:
                state = {"step": self.state.global_step, "design": self.design.state()}
                folder = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
                write_atomic(folder / STATE, json.dumps(state).encode())


def last_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that is whole."""
    whole = [path.parent for path in folder.glob(f"checkpoint-*/{STATE}")]
    return max(whole, key=lambda p: int(p.name.removeprefix("checkpoint-")), default=None)


def _beyond_text(options: dict):
    """What only a vision model's batch has; our forward pass is for text."""
    return [
        v for name, v in options.items() if name not in ("batch_size", "compute_entropy", "compute_aux_loss")
    ]


def _idle(advantage: np.ndarray) -> np.ndarray:
    """Bool (P,): groups in which no rollout has an advantage, so that they teach nothing."""
    return (advantage == 0).reshape(len(advantage), -1).all(axis=1)


def _measure(made: Round, group, rewards: dict, advantage: np.ndarray, mask: np.ndarray) -> dict[str, float]:
    """The round in numbers, named as in metrics.jsonl. A truncated rollout is not accurate."""
    length, right = group.length_PG, group.correct_PG & group.finished_PG
    found = {
        "accuracy": right.mean(),
        "length/mean": length.mean(),
        "length/correct": length[right].mean() if right.any() else np.nan,
        "length/wrong": length[~right].mean() if not right.all() else np.nan,
        "truncated": 1 - group.finished_PG.mean(),
        **{f"reward/{name}": part.mean() for name, part in rewards.items()},
        "spread": rewards["total"].std(axis=1).mean(),
        "zero_variance": _idle(advantage).mean(),
        "masked": 1 - mask.mean(),
        "refilled": made.refilled,
        "tokens": made.tokens,
        **_measure_probes(made),
        **_measure_modes(group),
    }
    return {name: float(value) for name, value in found.items()}


def _measure_modes(group) -> dict[str, float]:
    """Share, accuracy and length of the rollouts that think and of those that do not."""
    if group.empty_PG is None:
        return {}
    right, found = group.correct_PG & group.finished_PG, {"modes/empty": group.empty_PG.mean()}
    for name, members in (("think", ~group.empty_PG), ("empty", group.empty_PG)):
        some = members.any()
        found[f"accuracy/{name}"] = right[members].mean() if some else np.nan
        found[f"length/{name}"] = group.length_PG[members].mean() if some else np.nan
    return found


def _measure_probes(made: Round) -> dict[str, float]:
    """Accuracy at every budget that all rollouts share, and the share of forced answers nobody could read."""
    if made.points_PGK is None:
        return {}
    points, right = made.points_PGK, made.probe_correct_PGK
    shared = points[0, 0] if (points == points[0, 0]).all() else []
    by_budget = {f"probe/{b}": right[..., k].mean() for k, b in enumerate(shared)}
    return {**by_budget, "probe_unparsed": made.unparsed, "probe_mean": right.mean()}
