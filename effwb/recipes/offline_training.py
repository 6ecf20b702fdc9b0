"""`OfflineTraining`: how a model is fine-tuned on stored rollouts."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from effwb._internal.checked import NotNegative, Positive, Share
from effwb.profiles import CheckedValues

Objective = Literal["sft", "simpo", "dpo", "o1_pruner"]
# Fields that only some losses have
LOSS_FIELDS: dict[str, tuple[str, ...]] = {
    "sft": (),
    "simpo": ("beta", "gamma"),
    "dpo": ("beta",),
    "o1_pruner": ("clip",),
}


class OfflineTraining(CheckedValues):
    """How a model is fine-tuned on stored rollouts. A step is one optimizer update.

    Where and how fast it computes (precision, micro-batch, LoRA, processes) is said by `profiles.Training`.

    Attributes:
        epochs: Passes over the examples or pairs.
        learning_rate: Learning rate of AdamW after the warm-up.
        batch_size: Examples or pairs per update.
        warmup_ratio: Share of the steps over which the learning rate rises from 0.
        schedule: The learning rate after the warm-up: "constant", or falling to 0 along a "cosine" or a line
            ("linear").
        weight_decay: Weight decay of AdamW.
        adam_beta1: Decay of AdamW's mean of the gradients.
        adam_beta2: Decay of AdamW's mean of their squares.
        adam_eps: Added to AdamW's denominator.
        max_grad_norm: Gradients are clipped to this norm.
        max_length: Most tokens of prompt and completion; longer examples and pairs are left out. None: no
            limit.
        beta: SimPO: scale of the mean log-probability of a token. DPO: scale of the log-ratio to the starting
            model, whose usual value is 0.1.
        gamma: SimPO: by how much the scaled log-probability of the chosen one shall exceed the other.
        clip: O1-Pruner: range of the ratio around 1.

    Raises:
        ConfigError: An unknown field, a wrong type, or a value out of range.
    """

    epochs: Positive = 1
    learning_rate: NotNegative = 1e-6
    batch_size: Positive = 128
    warmup_ratio: Share = 0.0
    schedule: Literal["constant", "cosine", "linear"] = "constant"
    weight_decay: NotNegative = 0.0
    adam_beta1: Annotated[float, Field(ge=0, le=0.999999)] = 0.9
    adam_beta2: Annotated[float, Field(ge=0, le=0.999999)] = 0.999
    adam_eps: NotNegative = 1e-8
    max_grad_norm: NotNegative = 1.0
    max_length: Positive | None = None
    beta: Annotated[float, Field(gt=0, le=100)] = 2.0
    gamma: Annotated[float, Field(ge=0, le=100)] = 1.0
    clip: Annotated[float, Field(gt=0, lt=1)] = 0.2
