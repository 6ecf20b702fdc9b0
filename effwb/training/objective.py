"""Parts of the training objective that TRL does not have.

They are the estimators of the KL to the starting model, and what that KL in the reward of each token needs:
returns, and whitening over the tokens of a round. B rollouts of a batch have T tokens each, padding included.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from accelerate import Accelerator
    from trl import GRPOTrainer

SMALLEST_VARIANCE = 1e-8  # that whitening divides by


def loss_mask(batch: dict) -> torch.Tensor:
    """The tokens that are in the loss, (B, T): no padding, and no rollouts that the design masks.

    Args:
        batch: As TRL's loss reads it.
    """
    mask = batch["completion_mask"]
    return mask * batch["tool_mask"] if "tool_mask" in batch else mask


def kl_per_token(logps: torch.Tensor, reference: torch.Tensor, estimator: str) -> torch.Tensor:
    """An estimate of KL(pi || pi_start) at each token, from the token that was drawn.

    With d = log pi - log pi_start: "k1" is d, "k2" and "mse" are d^2 / 2, "k3" is exp(-d) - 1 + d. Schulman,
    "Approximating KL divergence", 2020. In the loss, the gradient of "k1" is 0 on average over the tokens
    that pi draws; that of "k2" is the gradient of the KL.

    Args:
        logps: log pi, (B, T).
        reference: log pi_start, (B, T).
        estimator: "k1", "k2", "k3" or "mse".

    Returns:
        (B, T).
    """
    d = logps - reference
    if estimator == "k1":
        return d
    return torch.expm1(-d) + d if estimator == "k3" else d**2 / 2


def as_in_loss(trainer: GRPOTrainer, batch: dict, values: torch.Tensor) -> torch.Tensor:
    """Sum values per token as TRL's loss of the trainer's `loss_type` sums its own.

    Args:
        trainer: Gives the type of the loss, and how an update is split.
        batch: A micro-batch, as TRL's loss reads it.
        values: (B, T).

    Returns:
        What is added to the loss of this micro-batch, a scalar.
    """
    mask, passes = loss_mask(batch), trainer.current_gradient_accumulation_steps
    if trainer.loss_type == "grpo":  # a mean over rollouts of the mean over their tokens
        return ((values * mask).sum(1) / mask.sum(1).clamp(min=1.0)).mean() / passes
    if trainer.loss_type == "bnpo":  # a mean over the tokens of the micro-batch
        tokens = mask.sum().clamp(min=1.0) * passes
    elif trainer.loss_type == "dr_grpo":
        tokens = len(values) * trainer.max_completion_length * passes
    else:  # "dapo" and "cispo": a mean over the tokens of the round, and `passes` of its micro-batches
        share = passes / trainer.args.steps_per_generation
        tokens = batch["num_items_in_batch"].clamp(min=1.0) / trainer.accelerator.num_processes * share
    return (values * mask).sum() / tokens


def returns_to_go(values: torch.Tensor) -> torch.Tensor:
    """The sum of each value and all later ones of its rollout, (B, T)."""
    return values.flip(1).cumsum(1).flip(1)


def token_mean(values: torch.Tensor, mask: torch.Tensor, accelerator: Accelerator) -> torch.Tensor:
    """The mean of the values (B, T) over the tokens in `mask`, on all processes; 0 where there is none."""
    sums = torch.stack([(values * mask).sum(), mask.sum().to(values.dtype)])
    total, count = accelerator.reduce(sums, reduction="sum")
    return total / count.clamp(min=1.0)


def whiten(values: torch.Tensor, mask: torch.Tensor, accelerator: Accelerator) -> torch.Tensor:
    """(values - mean) / sqrt(max(variance, 1e-8)) over the tokens in `mask`, on all processes.

    The variance is that of the population. This is `normalize` of OpenRLHF's replay buffer.

    Args:
        values: Advantages, (B, T).
        mask: (B, T), 1 on the tokens that count.
        accelerator: Adds up over the processes.

    Returns:
        (B, T); 0 outside the mask.
    """
    centred = values - token_mean(values, mask, accelerator)
    variance = token_mean(centred**2, mask, accelerator)
    return centred / variance.clamp(min=SMALLEST_VARIANCE).sqrt() * mask
