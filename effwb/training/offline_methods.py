"""`OFFLINE_METHODS`: what each offline method samples, which rollouts it learns, and with which loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from effwb.training import pairs
from effwb.training.selections import Examples, Pairs

if TYPE_CHECKING:
    import pandas as pd

Objective = Literal["sft", "simpo", "dpo", "o1_pruner"]


@dataclass(frozen=True)
class OfflineMethod:
    """An offline method: its pool, its rule and its loss.

    Attributes:
        name: Its name, as a `Point` has it.
        objective: The loss: "sft" and "o1_pruner" learn `Examples`, "simpo" and "dpo" learn `Pairs`.
        rule: The function of `effwb.training.pairs` that chooses from the pool.
        params: Parameters of the rule that differ from its defaults.
        efforts: Effort prompts of the pool; ("",) is the plain prompt alone.
        n_samples: Rollouts per problem and prompt in the paper.
    """

    name: str
    objective: Objective
    rule: Callable[..., Examples | Pairs]
    params: tuple[tuple[str, Any], ...] = ()
    efforts: tuple[str, ...] = ("",)
    n_samples: int = 16

    def select(self, rollouts: pd.DataFrame, *, cap: int, seed: int = 0, **params: Any) -> Examples | Pairs:
        """Choose what is learnt.

        Args:
            rollouts: The pool, with the column effort where it has several prompts.
            cap: Cap of the rollouts in tokens.
            seed: Decides the draws of rules that draw.
            **params: Parameters of the rule, in place of this method's.

        Raises:
            ConfigError: The rule has no such parameter, or the value is not legal.
            DataError: The pool cannot be used.
        """
        raise NotImplementedError


TOPS_EFFORTS = ("low", "medium", "high")
OFFLINE_METHODS: dict[str, OfflineMethod] = {
    method.name: method
    for method in (
        OfflineMethod("sft_shortest", "sft", pairs.shortest_correct),
        OfflineMethod("sft_tops", "sft", pairs.tops_correct, efforts=TOPS_EFFORTS),
        OfflineMethod("sft_rejection", "sft", pairs.every_correct),
        OfflineMethod("simpo_shortest", "simpo", pairs.shortest),
        OfflineMethod("simpo_tops", "simpo", pairs.tops, efforts=TOPS_EFFORTS),
        OfflineMethod("simpo_dast", "simpo", pairs.dast, params=(("reading", "reo_rl"),)),
        OfflineMethod("dast", "simpo", pairs.dast, n_samples=20),
        OfflineMethod("dpo_shortest", "dpo", pairs.shortest),
        OfflineMethod("dpo_tops", "dpo", pairs.tops_iter_dpo, efforts=TOPS_EFFORTS),
        OfflineMethod("o1_pruner", "o1_pruner", pairs.o1_pruner),
    )
}
