"""ThinkPrune: shorten thinking by lowering the generation cap stage by stage. 2504.01296."""

from typing import ClassVar

import numpy as np

from effwb.designs.base import Design, design
from effwb.designs.group import Group
from effwb.errors import ConfigError


@design
class ThinkPrune(Design):
    """Rewards correct answers that end by themselves within the cap of the current stage.

        r_i = 1{correct_i and finished_i within max_response_length}

    - The paper lowers the cap in stages, 4k -> 3k -> 2k, each from the checkpoint of the stage before it
      (step 180). The caps are set in the trainer, not here. GRPO with 16 rollouts per problem.
    - The released prompts also say "The output of the assistant should be within {max_length} tokens." in
      the system prompt (UCSB-NLP-Chang/ThinkPrune, data preprocessing). No `hint` does that; to have it,
      put the sentence into the prompt template.
    - The reward is that of token_budget. The two papers differ in caps, prompt and data.

    It has no parameters of its own. Of those that all designs share (see `Design`), `truncated="graded"` is
    refused.

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
