"""Log-probabilities of whole completions: for O1-Pruner's loss, and under the frozen starting model."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from effwb._internal import private_trl
from effwb.training.forward import log_probs

ROWS = 64  # completions that are padded together; `forward.log_probs` cuts them into smaller passes


def padded(rows: Sequence[dict], pad: int) -> dict[str, torch.Tensor]:
    """Pad prompts on the left and completions on the right, as `forward.log_probs` takes them.

    Args:
        rows: With prompt_ids and completion_ids.
        pad: The token to pad with; it is masked.

    Returns:
        `input_ids` (B, W), `attention_mask` (B, W) and `completion_mask` (B, C), the last C columns.
    """
    P, C = (max(len(row[name]) for row in rows) for name in ("prompt_ids", "completion_ids"))
    ids = torch.full((len(rows), P + C), pad)
    mask = torch.zeros((len(rows), P + C), dtype=torch.long)
    for i, row in enumerate(rows):
        prompt, completion = row["prompt_ids"], row["completion_ids"]
        place = slice(P - len(prompt), P + len(completion))
        ids[i, place] = torch.tensor([*prompt, *completion])
        mask[i, place] = 1
    return {"input_ids": ids, "attention_mask": mask, "completion_mask": mask[:, P:]}


def completion_logps(model, batch: dict, tokens: int, autocast) -> tuple[torch.Tensor, torch.Tensor]:
    """Sum the log-probabilities of each completion over its tokens.

    Args:
        model: A causal LM with TRL's fused head.
        batch: What `padded` returns.
        tokens: Most positions in one forward pass.
        autocast: Gives the context in which the model runs.

    Returns:
        The sums, (B,), and the tokens of each completion, (B,).
    """
    mask = batch["completion_mask"]
    options = dict(tokens=tokens, autocast=autocast, entropy=False)
    logps, _ = log_probs(model, batch["input_ids"], batch["attention_mask"], mask.shape[1], **options)
    return (logps * mask).sum(1), mask.sum(1)


def reference_logps(model, rows: Sequence[dict], pad: int, *, tokens: int, bf16: bool) -> list[float]:
    """Compute the log-probability of each completion under a frozen model.

    Args:
        model: A causal LM; it is moved to the accelerator.
        rows: With prompt_ids and completion_ids.
        pad: The token to pad with.
        tokens: Most positions in one forward pass.
        bf16: Whether the matrix products are in bfloat16, as in training.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    private_trl.add_log_prob_head(model)
    model.eval().to(device)

    def autocast():
        return torch.autocast(device.type, torch.bfloat16, enabled=bf16)

    sums: list[float] = []
    with torch.no_grad():
        for start in range(0, len(rows), ROWS):
            batch = {name: part.to(device) for name, part in padded(rows[start : start + ROWS], pad).items()}
            sums += completion_logps(model, batch, tokens, autocast)[0].float().tolist()
    return sums
