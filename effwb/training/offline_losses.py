"""The loss of O1-Pruner; SFT, SimPO and DPO have theirs from TRL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from effwb.errors import one_of

if TYPE_CHECKING:
    import torch

READINGS = ("released", "paper")


def o1_pruner_ratio(
    logp: torch.Tensor,
    reference_logp: torch.Tensor,
    tokens: torch.Tensor,
    *,
    reading: Literal["released", "paper"] = "released",
) -> torch.Tensor:
    """Ratio of each completion's probability to that under the starting model, (B,).

        exp((logp - reference_logp) / tokens)     released: averaged over the tokens
        exp(logp - reference_logp)                paper: the ratio of the probabilities

    Args:
        logp: Log-probability of each completion under the model that learns, summed over its tokens, (B,).
        reference_logp: The same under the frozen starting model, (B,).
        tokens: Tokens of each completion, (B,).
        reading: "released" or "paper", see above.
    """
    one_of("reading", reading, READINGS)
    log_ratio = logp - reference_logp
    return (log_ratio / tokens if reading == "released" else log_ratio).exp()


def o1_pruner_loss(
    logp: torch.Tensor,
    reference_logp: torch.Tensor,
    tokens: torch.Tensor,
    weight: torch.Tensor,
    *,
    clip: float = 0.2,
    reading: Literal["released", "paper"] = "released",
) -> torch.Tensor:
    """Loss of each example: the clipped ratio of PPO, with a weight in place of the advantage.

        -min(ratio w, clip(ratio, 1 - clip, 1 + clip) w)

    Source: 2501.12570, equation 11; StarDewXXX/O1-Pruner, src/llamafactory/train/wsft/trainer.py.

    Args:
        logp: As in `o1_pruner_ratio`.
        reference_logp: As in `o1_pruner_ratio`.
        tokens: As in `o1_pruner_ratio`.
        weight: Weight of each example (`pairs.o1_pruner`), (B,).
        clip: Range of the ratio around 1.
        reading: As in `o1_pruner_ratio`.

    Returns:
        The losses, (B,); the loss of a batch is their mean.
    """
    ratio = o1_pruner_ratio(logp, reference_logp, tokens, reading=reading)
    return -(ratio * weight).minimum(ratio.clamp(1 - clip, 1 + clip) * weight)
