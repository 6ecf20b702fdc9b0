"""Examples in docstrings become code blocks in the reference.

Two kinds: lines that begin with `>>>` up to the next empty line, and what is indented below `Example:`.
"""

from typing import Any

import griffe


class ExampleBlocks(griffe.Extension):
    """Puts examples of docstrings into fences."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Change the docstring of one object."""
        if obj.docstring is not None:
            obj.docstring.value = fenced(obj.docstring.value)


def fenced(text: str) -> str:
    r"""The text with its examples in fences.

    >>> print(fenced("Adds.\n\n>>> 1 + 1\n2"))
    Adds.
    <BLANKLINE>
    ```pycon
    >>> 1 + 1
    2
    ```
    """
    lines, i = [], 0
    source = text.splitlines()
    while i < len(source):
        line = source[i]
        lines.append(line)
        i += 1
        if line.strip() == "Example:":
            end = i
            while end < len(source) and (not source[end].strip() or source[end].startswith("    ")):
                end += 1
            body = "\n".join(source[i:end]).rstrip().splitlines()
            kind = "pycon" if any(">>>" in row for row in body) else "python"
            lines += [f"    ```{kind}", *body, "    ```", *([""] if end < len(source) else [])]
            i = end
        elif line.lstrip().startswith(">>> "):
            indent = line[: len(line) - len(line.lstrip())]
            lines.pop()
            end = i
            while end < len(source) and source[end].strip():
                end += 1
            lines += [f"{indent}```pycon", line, *source[i:end], f"{indent}```"]
            i = end
    return "\n".join(lines)
