"""Find the answer a completion commits to: the last `\\boxed{...}` after the end of thinking, or nothing.

Strict on purpose. An earlier box, a box inside the thinking or a number at the end of the text is not an
answer the model gave; falling back to one of them scores truncated rollouts as correct (marin #9163,
torchtitan #4442).
"""

import re

_BOX = re.compile(r"\\(?:boxed|fbox)(?![A-Za-z])")
_BARE = re.compile(r"\s+([^\s${}]+)")


def extract(text: str) -> str | None:
    """The content of the last `\\boxed{...}` or `\\fbox{...}` (also `\\boxed 5`) of `text`; `None` without
    one.

    Only the text after the last `</think>` counts. Thinking that was opened and never closed, and a last box
    that was cut off before its closing brace, give `None`: both are truncated. `\\boxed{}` gives the empty
    string. A text whose thinking was opened by the chat template carries no `<think>`; put it back in front,
    or a box in unfinished thinking counts.
    """
    answer = after_thinking(text)
    if answer is None:
        return None
    boxes = list(_BOX.finditer(answer))
    return _content(answer, boxes[-1].end()) if boxes else None


def after_thinking(text: str) -> str | None:
    """What follows the last `</think>`; the whole text if nothing was thought; `None` if thinking never
    ended.
    """
    _, closed, rest = text.rpartition("</think>")
    if closed:
        return None if "<think>" in rest else rest
    return None if "<think>" in text else text


def _content(text: str, start: int) -> str | None:
    brace = re.compile(r"\s*\{").match(text, start)
    if brace is None:
        bare = _BARE.match(text, start)
        return bare.group(1).rstrip(".,;:") if bare else None
    end = closing_brace(text, brace.end() - 1)
    return None if end is None else text[brace.end() : end].strip()


def closing_brace(text: str, start: int) -> int | None:
    """Index of the brace that closes the one at `start`, escaped braces aside; `None` if it never closes."""
    depth = 0
    for token in re.compile(r"\\.|[{}]", re.DOTALL).finditer(text, start):
        if token.group() == "{":
            depth += 1
        elif token.group() == "}":
            depth -= 1
            if depth == 0:
                return token.start()
    return None
