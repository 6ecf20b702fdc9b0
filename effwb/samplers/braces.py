"""The end of a forced answer: the brace that closes the box of its suffix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

State = tuple[int, bool]  # open braces, and whether the text so far ends in an open backslash escape


class BraceCloser:
    """Follows an answer token by token and tells when the brace opened by the suffix is closed.

    It works on token ids. A backslash at the end of one token escapes the first character of the next, so the
    state carries that too. The effect of each token is computed once from its text and remembered.

    Args:
        tokenizer: The model's tokenizer.
        suffix_ids: Ids of the forced-answer suffix. If it leaves no brace open, no token ever closes it.

    Attributes:
        start: The state before the first token of an answer.
        armed: Whether the suffix leaves a brace open.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, suffix_ids: Sequence[int]):
        self._tokenizer = tokenizer
        self._effects: dict[tuple[int, bool], tuple[int, int, bool]] = {}
        depth, _, escaped = self._effect(tokenizer.decode(list(suffix_ids)), False)
        self.start: State = (depth, escaped)
        self.armed = depth > 0

    @staticmethod
    def _effect(text: str, escaped: bool) -> tuple[int, int, bool]:
        """(change of depth, lowest depth on the way, whether the text ends in an open escape)."""
        depth = lowest = 0
        for character in text:
            depth += 0 if escaped else (character == "{") - (character == "}")
            lowest = min(lowest, depth)
            escaped = character == "\\" and not escaped
        return depth, lowest, escaped

    def step(self, state: State, token_id: int) -> tuple[State, bool]:
        """Advance by one token.

        Args:
            state: The state before the token: `start`, or what the previous call returned.
            token_id: The next token of the answer.

        Returns:
            The state after the token, and whether the token closed the suffix's brace.
        """
        depth, escaped = state
        if (token_id, escaped) not in self._effects:
            self._effects[token_id, escaped] = self._effect(self._tokenizer.decode([token_id]), escaped)
        change, lowest, escaped = self._effects[token_id, escaped]
        return (depth + change, escaped), self.armed and depth + lowest <= 0


def cut_at_brace(ids: list[int], reason: str, closer: BraceCloser) -> tuple[list[int], str]:
    """Cut an answer after the token that closes its box.

    Args:
        ids: Token ids of the answer.
        reason: Its finish reason; "" if it has not ended.
        closer: The closer of the suffix that the answer follows.

    Returns:
        The cut ids and "stop"; or `ids` and `reason` unchanged if the box is never closed.
    """
    state = closer.start
    for i, token in enumerate(ids):
        state, closed = closer.step(state, token)
        if closed:
            return ids[: i + 1], "stop"
    return ids, reason
