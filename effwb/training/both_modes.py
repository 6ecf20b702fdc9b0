"""The warm start: a stage of supervised fine-tuning before a design that teaches a model when to think."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from effwb._internal.checked import NotNegative, Positive, check_fields
from effwb.profiles import Profile
from effwb.training.sft import sft_warm_start

if TYPE_CHECKING:
    from datasets import Dataset

# Where all designs share one setting (profiles with the recipe "pocket"); elsewhere it is HGPO's.
SMALL_MODEL: dict[str, Any] = {"learning_rate": 1e-3, "batch_size": 16}


@dataclass(frozen=True)
class WarmStart:
    """Fine-tuning on answers with and without thinking (`sft_warm_start`), as what a point comes after.

    None leaves a field to the profile: HGPO's value (2505.14631, section 3.1) on the real ones; on the pocket
    model a learning rate of 1e-3 and batches of 16.

    Attributes:
        n: Samples per problem and mode; None: those of an evaluation.
        epochs: Passes over the examples; None: 3.
        learning_rate: Learning rate; None: the profile's.
        batch_size: Examples per update; None: the profile's.

    Example:
        >>> from effwb.training import Point
        >>> Point("hgpo", after=WarmStart()).name
        'hgpo after warm_start'
    """

    name: ClassVar[str] = "warm_start"

    n: Positive | None = None
    epochs: Positive | None = None
    learning_rate: NotNegative | None = None
    batch_size: Positive | None = None

    def __post_init__(self):
        check_fields(self)

    def train(
        self, profile: Profile, problems: Dataset, *, run_dir: Path, model: str | None, seed: int
    ) -> str:
        """Fine-tune a model, or read it back.

        Args:
            profile: The profile: its sampling, and the precision of its training.
            problems: The training problems.
            run_dir: Directory of the run.
            model: The starting model; None: the profile's.
            seed: Seed of rollouts, examples and their order.

        Returns:
            The directory of the fine-tuned model.
        """
        settings = dict(SMALL_MODEL) if profile.recipe == "pocket" else {}
        fields = ("n", "epochs", "learning_rate", "batch_size")
        settings |= {name: getattr(self, name) for name in fields if getattr(self, name) is not None}
        return sft_warm_start(profile, problems, run_dir=run_dir, model=model, seed=seed, **settings)
