"""`OFFLINE_METHODS`: what each offline method samples, which rollouts it learns, and with which loss."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from effwb._internal.checked import checked_arguments
from effwb.errors import DataError, one_of
from effwb.recipes.offline_training import Objective
from effwb.training import pairs
from effwb.training.selections import Examples, Pairs

if TYPE_CHECKING:
    import pandas as pd

TOPS_EFFORTS = ("low", "medium", "high")
FROM_POOL = ("rollouts", "cap", "seed")  # parameters of the rules that are no settings of a method


@dataclass(frozen=True)
class OfflineMethod:
    """An offline method: its pool, its rule and its loss.

    Attributes:
        name: Its name, as a `Point` has it.
        objective: The loss. "sft" and "o1_pruner" learn `Examples`, "simpo" and "dpo" learn `Pairs`.
        rule: The function of `effwb.training.pairs` that chooses from the pool.
        defaults: Parameters of the rule that this method changes.
        efforts: Effort prompts of its pool; ("",) is the plain prompt alone.
        n_samples: Rollouts of each problem and prompt; of a larger pool the first ones are used.
    """

    name: str
    objective: Objective
    rule: Callable[..., Examples | Pairs]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    efforts: tuple[str, ...] = ("",)
    n_samples: int = 16

    def parameters(self) -> dict[str, Any]:
        """The parameters that `select` takes, with their defaults."""
        own = {name: p.default for name, p in inspect.signature(self.rule).parameters.items()}
        return {name: value for name, value in {**own, **self.defaults}.items() if name not in FROM_POOL}

    @checked_arguments()
    def select(
        self,
        rollouts: pd.DataFrame,
        *,
        max_tokens: int,
        seed: int = 0,
        params: Mapping[str, Any] | None = None,
    ) -> Examples | Pairs:
        """Choose what is learned.

        Args:
            rollouts: The pool, with the column effort where it has several prompts.
            max_tokens: Cap of the rollouts in tokens.
            seed: Decides the draws of the rules that draw.
            params: Parameters of the rule, see `parameters`.

        Raises:
            ConfigError: The rule has no such parameter, or a value is not legal.
            DataError: The pool cannot be used, or lacks an effort prompt.
        """
        own = {**self.parameters(), **(params or {})}
        for name in own:
            one_of(f"parameter of {self.name}", name, self.parameters())
        taken = inspect.signature(self.rule).parameters
        of_pool = {"cap": max_tokens, "seed": seed}
        own |= {name: value for name, value in of_pool.items() if name in taken}
        return self.rule(self._own_rollouts(rollouts), **own)

    def _own_rollouts(self, rollouts: pd.DataFrame) -> pd.DataFrame:
        """The rollouts of this method's effort prompts, as many of each problem as it has."""
        rollouts = rollouts if "effort" in rollouts else rollouts.assign(effort="")
        effort = rollouts["effort"].fillna("")
        if missing := [name or "the plain prompt" for name in self.efforts if not (effort == name).any()]:
            raise DataError(f"{self.name} needs rollouts that the pool lacks: those of {', '.join(missing)}")
        return rollouts[effort.isin(self.efforts) & (rollouts["sample"] < self.n_samples)]


OFFLINE_METHODS: dict[str, OfflineMethod] = {
    method.name: method
    for method in (
        OfflineMethod("sft_shortest", "sft", pairs.shortest_correct),
        OfflineMethod("sft_tops", "sft", pairs.tops_correct, efforts=TOPS_EFFORTS),
        OfflineMethod("sft_rejection", "sft", pairs.shortest_correct, n_samples=8),
        OfflineMethod("sft_random", "sft", pairs.random_correct, efforts=TOPS_EFFORTS, n_samples=1),
        OfflineMethod("simpo_shortest", "simpo", pairs.shortest),
        OfflineMethod("simpo_tops", "simpo", pairs.tops, efforts=TOPS_EFFORTS),
        OfflineMethod("simpo_dast", "simpo", pairs.dast, {"reading": "reo_rl"}),
        OfflineMethod("dast", "simpo", pairs.dast, n_samples=20),
        OfflineMethod("dpo_shortest", "dpo", pairs.shortest, {"rejected": "longest_correct"}, n_samples=8),
        OfflineMethod("dpo_tops", "dpo", pairs.tops_iter_dpo, n_samples=8),
        OfflineMethod("o1_pruner", "o1_pruner", pairs.o1_pruner),
    )
}
