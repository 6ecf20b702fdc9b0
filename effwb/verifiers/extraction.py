r"""Step 1 of 4: find the answer that a completion commits to, the last `\boxed{...}` after the thinking.

    "<think>easy</think> It is \boxed{4}."    -> "4"
    "First \boxed{3}, no: \boxed{7}"          -> "7"
    "<think>It must be \boxed{4}"             -> None (the thinking never ended)

Strict on purpose. An earlier box, a box inside the thinking, or a number at the end of the text is not the
model's answer. Code that falls back on one of them scores truncated rollouts as correct (marin #9163,
torchtitan #4442).
"""

import re

_BOX = re.compile(r"\\(?:boxed|fbox)(?![A-Za-z])")


def extract(text: str) -> str | None:
    r"""Return the content of the last `\boxed{...}` or `\fbox{...}` in a completion.

    Only the text after the last `</think>` counts. Where the chat template opens the thinking, the completion
    carries no `<think>`: put it back in front, or a box inside unfinished thinking counts as an answer.

    Args:
        text: a whole completion.

    Returns:
        The content without outer blanks (`""` for `\boxed{}`; `\boxed 5` also counts). `None` if there is no
        box, if the last box has no closing brace, or if the thinking was opened and never closed.

    Example:
        >>> extract(r"<think>2+2</think> The answer is \boxed{4}.")
        '4'
    """
    answer = text.rpartition("</think>")[2]  # the whole text if there is no end tag
    boxes = list(_BOX.finditer(answer))
    if "<think>" in answer or not boxes:
        return None
    start = boxes[-1].end()
    brace = re.compile(r"\s*\{").match(answer, start)
    if brace is None:
        unbraced = re.compile(r"\s+([^\s${}]+)").match(answer, start)  # the "5" of "\boxed 5"
        return unbraced.group(1).rstrip(".,;:") if unbraced else None
    end = closing_brace(answer, brace.end() - 1)
    return None if end is None else answer[brace.end() : end].strip()


def closing_brace(text: str, start: int) -> int | None:
    r"""Return the index of the brace that closes the one at `start`; `\{` and `\}` do not count.

    Args:
        text: LaTeX.
        start: index of an opening brace in `text`.

    Returns:
        The index of the closing brace, or `None` if the brace is never closed.
    """
    depth = 0
    for token in re.compile(r"\\.|[{}]", re.DOTALL).finditer(text, start):
        if token.group() == "{":
            depth += 1
        elif token.group() == "}":
            depth -= 1
            if depth == 0:
                return token.start()
    return None
