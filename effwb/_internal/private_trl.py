"""Everything that effwb borrows from private parts of TRL and of the Transformers trainer.

`BORROWED` lists every name; a test resolves them all, so that an upgrade which moves one fails by name. What
is overridden stands in `effwb.training.trainer.GroupTrainer` and in `effwb.training.offline_trainers`, what
is only called stands here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import Trainer
    from trl import GRPOTrainer

BORROWED: tuple[str, ...] = (
    # overridden by GroupTrainer
    "trl.GRPOTrainer._generate_and_score_completions",
    "trl.GRPOTrainer._get_per_token_logps_and_entropies",
    "trl.GRPOTrainer._save_checkpoint",
    "transformers.Trainer._get_grad_norm",
    "transformers.Trainer._load_optimizer_and_scheduler",
    # overridden by the trainers of the offline methods
    "trl.DPOTrainer._prepare_dataset",
    "trl.DPOTrainer._precompute_ref_logps",
    "trl.experimental.cpo.CPOTrainer.tokenize_row",
    # called
    "trl.GRPOTrainer._generate_single_turn",
    "transformers.Trainer._save_checkpoint",
    "transformers.TrainingArguments._setup_devices",
    # the head that gives log-probabilities and entropies without logits, see effwb.training.forward
    "trl.trainer.utils.add_fused_lm_head",
)

# Set on a trainer when it is built, so no name in a module leads to them.
BORROWED_ATTRIBUTES: tuple[str, ...] = ("_metrics", "eos_token_ids")


def generate(
    trainer: GRPOTrainer, prompt_ids: Sequence[Sequence[int]], seed: int
) -> tuple[list[list[int]], list[list[float]] | None]:
    """One completion per prompt by TRL's own generation.

    Args:
        trainer: The trainer whose model samples.
        prompt_ids: The prompts as token ids.
        seed: Seed of the whole call; the generator outside it is left as it was.

    Returns:
        The token ids of the completions, and their log-probabilities where TRL gives any.
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed % 2**63)
        return trainer._generate_single_turn([list(ids) for ids in prompt_ids], None, {}, 1)


def save_checkpoint(trainer: Trainer, model, trial) -> None:
    """Save a checkpoint as Transformers does, without TRL's model card."""
    from transformers import Trainer

    Trainer._save_checkpoint(trainer, model, trial)


def drop_rewards_from_log(trainer: GRPOTrainer) -> None:
    """Remove TRL's own reward metrics from what it is about to log."""
    metrics = trainer._metrics["train"]
    for name in [name for name in metrics if name.startswith(("reward", "frac_reward"))]:
        del metrics[name]


def add_to_log(trainer: GRPOTrainer, name: str, value: float) -> None:
    """Add a number of a micro-batch to TRL's log, which has the mean over the micro-batches of a step."""
    trainer._metrics["train"][name].append(value)


def name_cpu_without_index(trainer: Trainer) -> None:
    """Call the CPU "cpu": Accelerate's "cpu:0" of one process among several is unknown to `torch.load`."""
    import torch

    if trainer.args.device.type == "cpu":
        trainer.args.__dict__["_setup_devices"] = torch.device("cpu")  # the cached property `args.device`


def add_log_prob_head(model) -> None:
    """Let a causal LM return the log-probabilities of tokens without building the logits of all."""
    from trl.trainer.utils import add_fused_lm_head

    add_fused_lm_head(model)
