r"""Step 2 of 4: one spelling for the many ways of writing the same LaTeX, and scanners that respect brackets.

    "\dfrac12"  -> "\frac{1}{2}"       "x≤√2"  -> "x\le \sqrt{2}"       "$1{,}234$"  -> "1234"

Only changes that keep the meaning are made here: two answers with the same spelling are accepted as equal
without further comparison.
"""

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache

from .extraction import closing_brace

_UNICODE = {
    "−": "-", "–": "-", "×": r"\times ", "·": r"\cdot ", "⋅": r"\cdot ", "÷": "/", "⁄": "/", "∕": "/",
    "±": r"\pm ", "∓": r"\mp ", "λ": r"\lambda ", "√": r"\sqrt", "∞": r"\infty ", "∪": r"\cup ",
    "∩": r"\cap ",
    "∈": r"\in ", "∅": r"\emptyset ", "ℝ": r"\mathbb{R}", "≤": r"\le ", "⩽": r"\le ", "≥": r"\ge ",
    "⩾": r"\ge ", "≠": r"\ne ", "≈": r"\approx ", "°": r"^\circ ", "º": r"^\circ ", "½": r"\frac{1}{2}",
    "⅓": r"\frac{1}{3}", "⅔": r"\frac{2}{3}", "¼": r"\frac{1}{4}", "¾": r"\frac{3}{4}", "⌊": r"\lfloor ",
    "⌋": r"\rfloor ", "⌈": r"\lceil ", "⌉": r"\rceil ", "…": r"\ldots ", "⟨": r"\langle ", "⟩": r"\rangle ",
    "€": r"\text{euro}", "£": r"\text{pound}", "，": ",", "\u200b": "", "\ufeff": "",
}  # fmt: skip
_SUPERSCRIPTS = re.compile("[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_SUBSCRIPTS = re.compile("[₀₁₂₃₄₅₆₇₈₉]+")
_FUNCTIONS = "sqrt|exp|sinh|cosh|tanh|arcsin|arccos|arctan|sin|cos|tan|cot|log|ln|pi|infty|theta|binom|frac"
_RULES: list[tuple[str, str | Callable[[re.Match], str]]] = [  # (pattern, replacement), in this order
    # money and mathematics both use $
    (r"(?<!\\)\$\s*,\s*\$", ", "),  # "$100$,$200$" is a list, not the number 100,200
    (r"^\s*\$(?=\s*[\d.][^$]*$)", r"\\$"),  # "$18.00" is money, "$18$" is the number
    (r"(?<!\\)\$", ""),
    (r"(?<!\\)\\[()\[\]]", " "),
    # emphasis: "**5**"
    (r"^\*\*(.*)\*\*$", r"\1"),
    # brackets: "\left. x \right|" has an invisible one; sizes and fonts mean nothing
    (r"\\(?:left|right)\s*\.", " "),
    (r"\\(?:left|right|middle|[bB]ig+[lrm]?)(?![A-Za-z])\s*", ""),
    (r"\\(?:displaystyle|textstyle|limits|nolimits|boldsymbol|bm|rm|bf|ensuremath)(?![A-Za-z])\s*", ""),
    # thousands: "1{,}234", "1,\!234", "1\!,234", "1\,234"
    (r"(?<=\d)(?:\{,\}|,\\!|\\!,(?:\\!)?)\s*(?=\d{3})", ""),
    (r"(?<=\d)\\,(?=\d{3}(?!\d))", ""),
    # spacing
    (r"(?<!\\)\\[,!;:> ]|\\q?quad(?![A-Za-z])|(?<!\\)~|\\(?:phantom|hspace)\*?\{[^{}]*\}", " "),
    # synonyms
    (r"\\[dtc]frac(?![A-Za-z])", r"\\frac"),
    (r"\\[dt]binom(?![A-Za-z])", r"\\binom"),
    (r"\\(?:leqslant|leq)(?![A-Za-z])|<=|≦", r"\\le "),
    (r"\\(?:geqslant|geq)(?![A-Za-z])|>=|≧", r"\\ge "),
    (r"\\neq(?![A-Za-z])|\\not\s*=|!=", r"\\ne "),
    (r"\\lt(?![A-Za-z])", "<"),
    (r"\\gt(?![A-Za-z])", ">"),
    (r"\\(?:lvert|rvert|vert|mid)(?![A-Za-z])", "|"),
    (r"\\lbrace(?![A-Za-z])", r"\\{"),
    (r"\\rbrace(?![A-Za-z])", r"\\}"),
    (r"\\(?:varnothing|O)(?![A-Za-z])|\\\{\s*\\\}", r"\\emptyset "),
    (r"\\(?:dots|cdots|dotsc|dotsb)(?![A-Za-z])|\.\.\.", r"\\ldots "),
    (r"\\(?:simeq|thickapprox)(?![A-Za-z])", r"\\approx "),
    (r"\\colon(?![A-Za-z])", ":"),
    (r"\\(?:textdegree|degree)(?![A-Za-z])|\^\s*\{\s*\\circ\s*\}", r"^\\circ "),
    # text: every font of words is \text, a single letter in a font is a variable
    (r"\\(?:text(?:bf|it|md|normal|rm|sc|sf|tt|up)?|mbox|hbox)\s*\{", r"\\text{"),
    (r"\\(?:operatorname)\*?\s*\{(\w+)\}", r"\\\1 "),
    (r"\\math(?:rm|bf|it|sf|tt)\s*\{\s*([A-Za-z])\s*\}", r"\1"),
    (r"\\math(?:rm|bf|it|sf|tt)\s*\{", r"\\text{"),
    # "x_{\text{max}}" -> "x_{max}"
    (r"_\s*\{\s*\\text\s*\{([^{}]*)\}\s*\}", r"_{\1}"),
    # "9 \text{ hens and } 10" -> "9 \text{ hens}\text{ and } 10": the unit is "hens"
    (r"\\text\{([^{}]*[^{}\s])\s+(and|or)\s*\}", r"\\text{\1}\\text{ \2 }"),
    (r"\\text\{([^{}]*[A-Za-z])(\^\{-?\d\})\}", r"\\text{\1}\2"),  # "\text{cm²}"
    # plain text and Python: "math.sqrt(2)", "2 pi", "inf", "x**2", "2*x"
    (r"\\%", "%"),
    (r"(?:np|math)\.(?=[a-z])", ""),
    (rf"(?<![\\A-Za-z])({_FUNCTIONS})(?![A-Za-z])", r"\\\1 "),
    (r"(?<![\\A-Za-z])(?:infinity|inf|oo)(?![A-Za-z])", r"\\infty "),
    (r"\+\s*\\infty", r"\\infty"),
    (r"\*\*", "^"),
    (r"\*", r"\\cdot "),
    # primes: "f^{\prime}" -> "f'"
    (r"\^\s*\{?((?:\s*\\prime)+)\s*\}?", lambda m: "'" * m.group().count("p")),
    # braces: "x^10" is meant as "x^{10}" (TeX reads x^{1}0), "a_n" -> "a_{n}"
    (r"\^\s*(-?\d+)", r"^{\1}"),
    (r"_\s*(-?[A-Za-z]|-?\d+)(?!\w)", r"_{\1}"),
    # "e^x" -> "e^{x}", but "30^\circ" stays, and "x^\frac12" waits for the braces of its arguments
    (r"\^\s*(?!\\(?:circ|frac|sqrt|binom)(?![A-Za-z]))(-?(?:\\[A-Za-z]+|[A-Za-z]))", r"^{\1}"),
]  # fmt: skip
_COMMAND_POWER = re.compile(r"\^\s*(\\(frac|binom|sqrt)(?:\[[^\]]*\])?)(?=\{)")
_ESCAPED_TWICE = re.compile(  # "\\frac{1}{2}", from JSON; outside a matrix nothing else is meant
    r"\\\\(?=(?:[dt]?frac|sqrt|left|right|text|boxed|pi|cdot|times|infty|leq?|geq?|cup|cap|in|pm)(?![A-Za-z]))"
)
_REWRITES = [(re.compile(pattern, re.DOTALL), replacement) for pattern, replacement in _RULES]


def clean(raw: str) -> str:
    r"""Rewrite an answer in one spelling.

    Removes `$`, `\left`, `\right`, spacing and fonts, replaces Unicode signs by LaTeX, and puts braces around
    the arguments of `\frac`, `\sqrt` and `^`.

    Args:
        raw: an answer or a gold as it was written.

    Returns:
        LaTeX in the spelling that every other function of this package expects.

    Example:
        >>> clean(r"$\left(\dfrac12, x^2\right)$")
        '(\\frac{1}{2}, x^{2})'
    """
    text = _SUPERSCRIPTS.sub(lambda m: f"^{{{_plain_digits(m.group())}}}", raw)
    text = _SUBSCRIPTS.sub(lambda m: f"_{{{_plain_digits(m.group())}}}", text)
    if not text.isascii():  # signs before NFKC, which would turn the half of 3½ into 31/2, and after it
        text = _replace_signs(unicodedata.normalize("NFKC", _replace_signs(text)))
    text = _unbox(text.strip())
    if r"\\" in text and r"\begin" not in text:
        text = _ESCAPED_TWICE.sub(r"\\", text)
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)
    for command, count in ((r"\frac", 2), (r"\binom", 2), (r"\sqrt", 1), (r"\exp", 1), (r"\pmod", 1)):
        text = _brace_arguments(text, command, count)
    text = re.sub(r"\\exp\{", "e^{", _brace_powers(_brace_commands(text)))
    text = re.sub(r"^(?:[=:\s]|\\approx(?![A-Za-z]))+", "", re.sub(r"\s+", " ", text)).strip()
    text = re.sub(r"[.,;:\s\\]+$", "", text)
    while text.startswith("{") and closing_brace(text, 0) == len(text) - 1:  # braces around the whole
        text = text[1:-1].strip()
    return text


def spelling(text: str) -> str:
    r"""Remove the blanks that mean nothing; cleaned answers with the same spelling are equal.

    Example:
        >>> spelling(r"\frac{1}{2} + \pi r"), spelling("1 2")
        ('\\frac{1}{2}+\\pi r', '1 2')
    """
    text = re.sub(r"(\\[A-Za-z]+) (?=[A-Za-z])", r"\1\0", text)  # \0 marks a blank that must stay
    return re.sub(r"(?<=\d) (?=\d)", "\0", text).replace(" ", "").replace("\0", " ")


def split_top(text: str, separator: re.Pattern) -> list[str]:
    """Split at the matches of `separator` that lie outside all brackets and environments.

    Example:
        >>> split_top("(1,2),3", re.compile(","))
        ['(1,2)', '3']
    """
    parts, depth, start, at = [], 0, 0, 0
    while at < len(text):
        match = separator.match(text, at) if depth == 0 else None
        if match and match.end() > at:
            parts.append(text[start:at])
            start = at = match.end()
            continue
        token = _TOKEN.match(text, at)
        assert token is not None  # the pattern takes any character
        depth += _depth_change(token.group())
        at = token.end()
    return [*parts, text[start:]]


def nesting(text: str) -> int | None:
    """Return the deepest level of braces and brackets, or `None` if the braces do not match."""
    depth = braces = deepest = 0
    for token in _TOKEN.finditer(text):
        change = _depth_change(token.group())
        depth += change
        braces += change if token.group() in "{}" else 0
        deepest = max(deepest, depth)
        if braces < 0:
            return None
    return deepest if braces == 0 else None


_TOKEN = re.compile(r"\\begin\{\w+\*?\}|\\end\{\w+\*?\}|\\[A-Za-z]+|\\.|.", re.DOTALL)
_OPENING = {"(", "[", "{", r"\{", r"\langle", r"\lfloor", r"\lceil"}
_CLOSING = {")", "]", "}", r"\}", r"\rangle", r"\rfloor", r"\rceil"}


def _depth_change(token: str) -> int:
    if token in _OPENING or token.startswith(r"\begin{"):
        return 1
    return -1 if token in _CLOSING or token.startswith(r"\end{") else 0


def _replace_signs(text: str) -> str:
    return "".join(map(_replace_sign, text))


@lru_cache(maxsize=1024)
def _replace_sign(char: str) -> str:
    """The LaTeX for one character: the table, and every Greek letter by its name."""
    greek = re.fullmatch(r"GREEK (SMALL|CAPITAL) LETTER (\w+)", unicodedata.name(char, ""))
    if char in _UNICODE or greek is None:
        return _UNICODE.get(char, char)
    return f"\\{greek[2].lower() if greek[1] == 'SMALL' else greek[2].capitalize()} "


def _plain_digits(scripts: str) -> str:
    """Superscript or subscript digits as ordinary ones."""
    return unicodedata.normalize("NFKC", scripts).replace("−", "-").replace("⁻", "-")


def _unbox(text: str) -> str:
    r"""A gold may come as `$\boxed{4}$`."""
    match = re.match(r"^\$*\s*\\(?:boxed|fbox)\s*\{", text)
    if match is None:
        return text
    end = closing_brace(text, match.end() - 1)
    return text[match.end() : end] if end and not text[end + 1 :].strip(" $.\n") else text


def _brace_arguments(text: str, command: str, count: int) -> str:
    r"""Put braces around each argument: `\frac12`, `\sqrt 2`, `\sqrt(2)`, `\sqrt[3]4`."""
    pieces, at = [], 0
    for match in re.finditer(re.escape(command) + r"(?![A-Za-z])\s*(\[[^\]]*\])?", text):
        if match.start() < at:  # inside an argument that was copied already: braced by the recursion below
            continue
        pieces += [text[at : match.start()], command, match.group(1) or ""]
        at = match.end()
        for _ in range(count):
            content, at = _bracketed_argument(text, at) if count == 1 else _tex_argument(text, at)
            pieces.append("{" + _brace_arguments(content, command, count) + "}")
    return "".join(pieces) + text[at:]


def _brace_commands(text: str) -> str:
    r"""Write `x^\frac{1}{2}` as `x^{\frac{1}{2}}`, after the arguments got their braces."""
    for match in reversed(list(_COMMAND_POWER.finditer(text))):
        end = match.end()
        for _ in range(1 if match[2] == "sqrt" else 2):
            end = (closing_brace(text, end) or len(text)) + 1
        text = f"{text[: match.start()]}^{{{text[match.start(1) : end]}}}{text[end:]}"
    return text


def _brace_powers(text: str) -> str:
    """Write `2^(n+1)` as `2^{n+1}`: plain text means the bracket, TeX would take its first character."""
    at = text.find("^(")
    while at >= 0:
        content, end = _bracketed_argument(text, at + 1)
        text = f"{text[:at]}^{{{content}}}{text[end:]}"
        at = text.find("^(", at + 1)
    return text


def _bracketed_argument(text: str, at: int) -> tuple[str, int]:
    """The content of the round brackets that open at `at`, or the TeX argument there; and where it ends."""
    if text[at : at + 1] != "(":
        return _tex_argument(text, at)
    depth = 0
    for end in range(at, len(text)):
        depth += {"(": 1, ")": -1}.get(text[end], 0)
        if depth == 0:
            return text[at + 1 : end], end + 1
    return _tex_argument(text, at)


def _tex_argument(text: str, at: int) -> tuple[str, int]:
    """The TeX argument at or after `at` (a brace group, a command or one character), and where it ends."""
    while at < len(text) and text[at].isspace():
        at += 1
    if at < len(text) and text[at] == "{":
        end = closing_brace(text, at)
        return ("", len(text)) if end is None else (text[at + 1 : end], end + 1)
    token = re.compile(r"\\[A-Za-z]+|\\.|.|$", re.DOTALL).match(text, at)
    assert token is not None  # the pattern takes any character, or the end
    return token.group(), token.end()
