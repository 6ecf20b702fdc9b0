"""ThinkPrune: prune thinking by lowering the generation cap stage by stage. 2504.01296."""

from typing import ClassVar

import numpy as np

from effwb.designs.base import Design, design
from effwb.designs.group import Group
from effwb.errors import ConfigError


@design
class ThinkPrune(Design):
    """Reward 1 for a correct answer that finished within the cap of the current stage.

        r_i = 1{correct_i and finished_i within max_response_length}

    Iterative: caps 4k -> 3k -> 2k, each from the previous stage's checkpoint (step 180); the caps are the
    trainer's. GRPO, n = 16. The released prompts also say "The output of the assistant should be within
    {max_length} tokens." in the system prompt (UCSB-NLP-Chang/ThinkPrune, data preprocessing); that is not
    one of the hint places, so put it into the template if it is wanted. Same reward as token_budget; the
    two differ in caps, prompt and data.

    >>> from effwb.designs import toy_group
    >>> g = toy_group([1000, 1999, 2000], [1, 0, 1], finished=[1, 1, 0], cap=2000)
    >>> ThinkPrune().reward(g)["total"].tolist()
    [[1.0, 0.0, 0.0]]
    """

    NAME: ClassVar[str] = "think_prune"

    def check(self) -> None:
        if self.truncated == "graded":
            raise ConfigError("think_prune: truncated='graded' removes the only pressure this design has")

    def components(self, group: Group) -> dict[str, np.ndarray]:
        return {"correctness": self.solved(group)}
