"""The trainers of the offline methods: TRL's own for SFT, SimPO and DPO, and a small one for O1-Pruner.

All learn from token ids; nothing is tokenized again. Every checkpoint is sealed, so a killed run continues.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from datasets import (
    Dataset,
    disable_progress_bars,
    enable_progress_bars,
    is_progress_bar_enabled,
)
from transformers import Trainer, TrainingArguments
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer
from trl.experimental.cpo import CPOConfig, CPOTrainer

from effwb._internal import private_trl
from effwb.errors import TrainingError
from effwb.training.checkpoints import seal, writing
from effwb.training.completion_logps import completion_logps, padded
from effwb.training.offline_losses import o1_pruner_loss, o1_pruner_ratio
from effwb.training.trl_config import lora_config, remove_printers

if TYPE_CHECKING:
    from effwb.training.fine_tuning import FineTuning

IGNORED = -100  # label of a token that is not learned


class OfflineTrainer(Trainer):
    """What all have in common: sealed checkpoints, and no update with a gradient that is not finite."""

    @staticmethod
    def config(run: FineTuning) -> tuple[type[TrainingArguments], dict[str, Any]]:
        """The class of the trainer's config, and the fields that the other trainers do not have."""
        raise NotImplementedError

    def _load_optimizer_and_scheduler(self, checkpoint):
        private_trl.name_cpu_without_index(self)
        super()._load_optimizer_and_scheduler(checkpoint)

    def _save_checkpoint(self, model, trial):
        step = self.state.global_step
        folder = Path(self.args.output_dir) / f"checkpoint-{step}"
        with writing(folder):
            private_trl.save_checkpoint(self, model, trial)
            self.accelerator.wait_for_everyone()  # every process has files of its own in it
            if self.args.should_save:
                seal(folder, step=step)

    def _get_grad_norm(self, model, grad_norm=None):
        norm = super()._get_grad_norm(model, grad_norm)
        if not np.isfinite(float(norm)):
            raise TrainingError(
                f"step {self.state.global_step + 1}: the gradient norm is {float(norm)}; the model was not "
                "updated with it. A smaller learning_rate or weights='float32' may help"
            )
        return norm


class SftTrainer(OfflineTrainer, SFTTrainer):
    """TRL's SFT. Rows: prompt_ids, completion_ids; the completion is learned."""

    def __init__(self, run: FineTuning, model, args, rows):
        data = Dataset.from_list([supervised_row(row["prompt_ids"], row["completion_ids"]) for row in rows])
        options = dict(train_dataset=data, processing_class=run.tokenizer)
        super().__init__(model, args, peft_config=lora_config(run.machine), **options)

    @staticmethod
    def config(run: FineTuning) -> tuple[type[TrainingArguments], dict[str, Any]]:
        """See `OfflineTrainer`."""
        return SFTConfig, {"max_length": None, "trust_remote_code": run.source.trust_remote_code}


def supervised_row(prompt_ids: Sequence[int], completion_ids: Sequence[int]) -> dict[str, list[int]]:
    """`input_ids` and `labels` of an example: the labels of the prompt are ignored."""
    labels = [IGNORED] * len(prompt_ids) + list(completion_ids)
    return {"input_ids": [*prompt_ids, *completion_ids], "labels": labels}


@contextmanager
def no_progress_bars() -> Iterator[None]:
    """Let datasets map without the bars that TRL has no switch for."""
    is_on = is_progress_bar_enabled()
    disable_progress_bars()
    try:
        yield
    finally:
        if is_on:
            enable_progress_bars()


class SimpoTrainer(OfflineTrainer, CPOTrainer):
    """TRL's CPO with the SimPO loss alone (2405.14734). Rows: prompt_ids, chosen_ids, rejected_ids."""

    def __init__(self, run: FineTuning, model, args, rows):
        options = dict(train_dataset=Dataset.from_list(list(rows)), processing_class=run.tokenizer)
        with no_progress_bars():
            super().__init__(model, args, peft_config=lora_config(run.machine), **options)

    @staticmethod
    def config(run: FineTuning) -> tuple[type[TrainingArguments], dict[str, Any]]:
        """See `OfflineTrainer`."""
        loss = {"loss_type": "simpo", "cpo_alpha": 0.0}
        loss |= {"beta": run.settings.beta, "simpo_gamma": run.settings.gamma}
        code = {"trust_remote_code": run.source.trust_remote_code}
        return CPOConfig, {**loss, "max_length": run.longest, **code}

    @staticmethod
    def tokenize_row(feature: dict, model=None) -> dict[str, list[int]]:
        """The columns that TRL makes of texts, from the token ids."""
        columns = {}
        for side in ("chosen", "rejected"):
            row = supervised_row(feature["prompt_ids"], feature[f"{side}_ids"])
            columns[f"{side}_input_ids"], columns[f"{side}_labels"] = row["input_ids"], row["labels"]
            columns[f"{side}_attention_mask"] = [1] * len(row["labels"])
        return columns


class DpoTrainer(OfflineTrainer, DPOTrainer):
    """TRL's DPO. Rows: prompt_ids, chosen_ids, rejected_ids, ref_chosen_logps, ref_rejected_logps."""

    def __init__(self, run: FineTuning, model, args, rows):
        options = dict(train_dataset=Dataset.from_list(list(rows)), processing_class=run.tokenizer)
        super().__init__(model, args=args, peft_config=lora_config(run.machine), **options)

    @staticmethod
    def config(run: FineTuning) -> tuple[type[TrainingArguments], dict[str, Any]]:
        """See `OfflineTrainer`."""
        code = {"trust_remote_code": run.source.trust_remote_code}
        return DPOConfig, dict(beta=run.settings.beta, max_length=None, precompute_ref_log_probs=True, **code)

    def _prepare_dataset(self, dataset, processing_class, args, dataset_name):
        return dataset  # it has the token ids already

    def _precompute_ref_logps(self, dataset, name, batch_size):
        return dataset  # they are stored with the run, so a continued run has the same ones


class O1PrunerTrainer(OfflineTrainer):
    """O1-Pruner (2501.12570). Rows: prompt_ids, completion_ids, weight, ref_logps."""

    def __init__(self, run: FineTuning, model, args, rows):
        self.tokens, self.pad = run.machine.tokens_per_forward, run.pad
        self.loss_options = {"clip": run.settings.clip, **run.loss_options}
        self.ratios: list[tuple[float, float]] = []  # mean, and share beyond the clip, by micro-batch
        private_trl.add_log_prob_head(model)
        options = dict(data_collator=self.collate, processing_class=run.tokenizer)
        data = Dataset.from_list(list(rows))
        super().__init__(with_adapters(model, args, run), args, train_dataset=data, **options)
        self.model_accepts_loss_kwargs = False  # the loss is a mean over examples, not over tokens

    @staticmethod
    def config(run: FineTuning) -> tuple[type[TrainingArguments], dict[str, Any]]:
        """See `OfflineTrainer`."""
        return TrainingArguments, {}

    def collate(self, rows: list[dict]) -> dict[str, torch.Tensor]:
        """A micro-batch."""
        numbers = {n: torch.tensor([row[n] for row in rows]).float() for n in ("weight", "ref_logps")}
        return {**padded(rows, self.pad), **numbers}

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None) -> torch.Tensor:
        """The mean loss of a micro-batch."""
        reference, weight = inputs["ref_logps"], inputs["weight"]
        logps, tokens = completion_logps(model, inputs, self.tokens, self.compute_loss_context_manager)
        losses = o1_pruner_loss(logps, reference, tokens, weight, **self.loss_options)
        reading = self.loss_options["reading"]
        ratio = o1_pruner_ratio(logps, reference, tokens, reading=reading).detach()
        beyond = ((ratio - 1).abs() > self.loss_options["clip"]).float()
        self.ratios.append((float(ratio.mean()), float(beyond.mean())))
        return losses.mean()

    def log(self, logs, start_time=None) -> None:
        """Add the mean ratio, and the share of this process's examples beyond the clip."""
        if self.ratios and "loss" in logs:
            logs["ratio"], logs["clip_ratio"] = map(float, np.mean(self.ratios, axis=0))
            self.ratios.clear()
        super().log(logs, start_time)


def with_adapters(model, args: TrainingArguments, run: FineTuning) -> Any:
    """The model with its LoRA adapters, as TRL's trainers add them."""
    adapters = lora_config(run.machine)
    if adapters is None:
        return model
    from peft import get_peft_model
    from transformers import set_seed

    set_seed(args.seed)
    model = get_peft_model(model, adapters)
    if args.gradient_checkpointing:
        model.enable_input_require_grads()
    return model


TRAINERS: dict[str, type[OfflineTrainer]] = {
    "sft": SftTrainer,
    "simpo": SimpoTrainer,
    "dpo": DpoTrainer,
    "o1_pruner": O1PrunerTrainer,
}


def make_trainer(run: FineTuning, model, rows: Sequence[dict], folder: Path, report_to: Sequence[str]) -> Any:
    """The trainer of a run's loss.

    Args:
        run: What is trained, and how.
        model: The starting model.
        rows: What it learns from; see the class of its trainer.
        folder: Where checkpoints go.
        report_to: Names of Transformers' reporting integrations.
    """
    trainer_class: Any = TRAINERS[run.loss]
    config_class, own = trainer_class.config(run)
    trainer = trainer_class(run, model, _arguments(run, config_class, own, folder, report_to), rows)
    remove_printers(trainer)
    return trainer


def _arguments(
    run: FineTuning,
    config_class: type[TrainingArguments],
    own: dict[str, Any],
    folder: Path,
    report_to: Sequence[str],
) -> TrainingArguments:
    """The settings of a run as a config of Transformers or TRL."""
    settings, machine, cuda = run.settings, run.machine, torch.cuda.is_available()
    micro, accumulate = run.accumulation
    return config_class(
        output_dir=str(folder),
        num_train_epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="constant_with_warmup" if settings.schedule == "constant" else settings.schedule,
        warmup_steps=math.ceil(settings.warmup_ratio * run.steps),
        weight_decay=settings.weight_decay,
        adam_beta1=settings.adam_beta1,
        adam_beta2=settings.adam_beta2,
        adam_epsilon=settings.adam_eps,
        max_grad_norm=settings.max_grad_norm,
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=accumulate,
        use_cpu=not cuda,
        bf16=machine.precision == "bfloat16",
        gradient_checkpointing=machine.gradient_checkpointing,
        save_strategy="steps",
        save_steps=machine.save_every,
        save_total_limit=max(2, machine.keep_checkpoints),
        logging_steps=1,
        logging_nan_inf_filter=False,
        report_to=list(report_to) or "none",
        disable_tqdm=True,
        remove_unused_columns=False,
        seed=run.seed,
        dataloader_pin_memory=cuda,
        **own,
    )
