"""One spelling for the many ways of writing the same LaTeX, and the scanners that respect brackets.

Only changes that keep the meaning are made here: `clean(a) == clean(b)` is accepted as equality without
algebra.
"""

import re
import unicodedata
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
_SUPER = re.compile("[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_SUB = re.compile("[₀₁₂₃₄₅₆₇₈₉]+")

_FUNCTIONS = "sqrt|exp|sinh|cosh|tanh|arcsin|arccos|arctan|sin|cos|tan|cot|log|ln|pi|infty|theta|binom|frac"
_REWRITES = [
    (r"(?<!\\)\$\s*,\s*\$", ", "),  # parts joined as "$69$,$84$" are a list, never a thousands separator
    (r"^\s*\$(?=\s*[\d.][^$]*$)", r"\\$"),  # "$18.00" is money, "$18$" is mathematics
    (r"(?<!\\)\$", ""),
    (r"(?<!\\)\\[()\[\]]", " "),
    (r"^\*\*(.*)\*\*$", r"\1"),
    (r"\\(?:left|right)\s*\.", " "),
    (r"\\(?:left|right|middle|[bB]ig+[lrm]?)(?![A-Za-z])\s*", ""),
    (r"\\(?:displaystyle|textstyle|limits|nolimits|boldsymbol|bm|rm|bf|ensuremath)(?![A-Za-z])\s*", ""),
    (r"(?<=\d)(?:\{,\}|,\\!)\s*(?=\d{3})", ""),
    (r"(?<=\d)\\,(?=\d{3}(?!\d))", ""),
    (r"(?<!\\)\\[,!;:> ]|\\q?quad(?![A-Za-z])|(?<!\\)~|\\(?:phantom|hspace)\*?\{[^{}]*\}", " "),
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
    (r"\\(?:text(?:bf|it|rm|sf|tt|up)?|mbox|hbox)\s*\{", r"\\text{"),
    (r"\\(?:operatorname)\*?\s*\{(\w+)\}", r"\\\1 "),
    (r"\\math(?:rm|bf|it|sf|tt)\s*\{\s*([A-Za-z])\s*\}", r"\1"),
    (r"\\math(?:rm|bf|it|sf|tt)\s*\{", r"\\text{"),
    (r"_\s*\{\s*\\text\s*\{([^{}]*)\}\s*\}", r"_{\1}"),
    (r"\\text\{([^{}]*[^{}\s])\s+(and|or)\s*\}", r"\\text{\1}\\text{ \2 }"),  # "9 \text{ hens and } 10"
    (r"\\text\{([^{}]*[A-Za-z])(\^\{-?\d\})\}", r"\\text{\1}\2"),  # "\text{cm²}"
    (r"\\%", "%"),
    (r"(?:np|math)\.(?=[a-z])", ""),
    (rf"(?<![\\A-Za-z])({_FUNCTIONS})(?![A-Za-z])", r"\\\1 "),
    (r"(?<![\\A-Za-z])(?:infinity|inf|oo)(?![A-Za-z])", r"\\infty "),
    (r"\+\s*\\infty", r"\\infty"),
    (r"\*\*", "^"),
    (r"\*", r"\\cdot "),
    (r"\^\s*\{?((?:\s*\\prime)+)\s*\}?", lambda m: "'" * m.group().count("p")),
    (r"\^\s*(-?\d+)", r"^{\1}"),
    (r"_\s*(-?[A-Za-z]|-?\d+)(?!\w)", r"_{\1}"),
    (r"\^\s*(\\[A-Za-z]+|[A-Za-z])", lambda m: m.group() if m.group(1) == r"\circ" else f"^{{{m.group(1)}}}"),
]  # fmt: skip
_COMPILED = [(re.compile(pattern, re.DOTALL), to) for pattern, to in _REWRITES]


def clean(raw: str) -> str:
    """`raw` in one spelling: no `$`, `\\left`, spacing or fonts; braces around the arguments of `\\frac`,
    `\\sqrt`, `^`.
    """
    text = _SUPER.sub(lambda m: f"^{{{_plain(m.group())}}}", raw)
    text = _SUB.sub(lambda m: f"_{{{_plain(m.group())}}}", text)
    if not text.isascii():  # signs first: NFKC would turn the half of 3½ into 31/2
        text = "".join(map(_sign, unicodedata.normalize("NFKC", "".join(map(_sign, text)))))
    text = _unbox(text.strip())
    for pattern, to in _COMPILED:
        text = pattern.sub(to, text)
    for command, count in ((r"\frac", 2), (r"\binom", 2), (r"\sqrt", 1), (r"\exp", 1), (r"\pmod", 1)):
        text = _brace_arguments(text, command, count)
    text = re.sub(r"\\exp\{", "e^{", _brace_powers(text))
    return _trim(re.sub(r"\s+", " ", text))


def key(text: str) -> str:
    """`text` without the blanks that mean nothing: what is compared first."""
    text = re.sub(r"(\\[A-Za-z]+) (?=[A-Za-z])", r"\1\0", text)
    return re.sub(r"(?<=\d) (?=\d)", "\0", text).replace(" ", "").replace("\0", " ")


def split_top(text: str, separator: re.Pattern) -> list[str]:
    """`text` cut at the matches of `separator` that lie outside all brackets and environments."""
    parts, depth, last, at = [], 0, 0, 0
    while at < len(text):
        found = separator.match(text, at) if depth == 0 else None
        if found and found.end() > at:
            parts.append(text[last:at])
            last = at = found.end()
            continue
        token = _TOKEN.match(text, at)
        depth += _opens(token.group())
        at = token.end()
    return [*parts, text[last:]]


def nesting(text: str) -> int | None:
    """The deepest level of braces and brackets; `None` if the braces do not match."""
    depth = braces = deepest = 0
    for token in _TOKEN.finditer(text):
        step = _opens(token.group())
        depth += step
        braces += step if token.group() in "{}" else 0
        deepest = max(deepest, depth)
        if braces < 0:
            return None
    return deepest if braces == 0 else None


def argument(text: str, at: int) -> tuple[str, int]:
    """The TeX argument at or after `at` (a brace group, a command or one character) and where it ends."""
    while at < len(text) and text[at].isspace():
        at += 1
    if at < len(text) and text[at] == "{":
        end = closing_brace(text, at)
        return ("", len(text)) if end is None else (text[at + 1 : end], end + 1)
    token = re.compile(r"\\[A-Za-z]+|\\.|.|$", re.DOTALL).match(text, at)
    return token.group(), token.end()


_TOKEN = re.compile(r"\\begin\{\w+\*?\}|\\end\{\w+\*?\}|\\[A-Za-z]+|\\.|.", re.DOTALL)
_OPEN = {"(", "[", "{", r"\{", r"\langle", r"\lfloor", r"\lceil"}
_CLOSE = {")", "]", "}", r"\}", r"\rangle", r"\rfloor", r"\rceil"}


def _opens(token: str) -> int:
    if token in _OPEN or token.startswith(r"\begin{"):
        return 1
    return -1 if token in _CLOSE or token.startswith(r"\end{") else 0


@lru_cache(maxsize=1024)
def _sign(char: str) -> str:
    """The LaTeX for one character: the table, and every Greek letter by its name."""
    greek = re.fullmatch(r"GREEK (SMALL|CAPITAL) LETTER (\w+)", unicodedata.name(char, ""))
    if char in _UNICODE or greek is None:
        return _UNICODE.get(char, char)
    return f"\\{greek[2].lower() if greek[1] == 'SMALL' else greek[2].capitalize()} "


def _plain(scripts: str) -> str:
    return unicodedata.normalize("NFKC", scripts).replace("−", "-").replace("⁻", "-")


def _unbox(text: str) -> str:
    match = re.match(r"^\$*\s*\\(?:boxed|fbox)\s*\{", text)
    end = closing_brace(text, match.end() - 1) if match else None
    return text[match.end() : end] if end and not text[end + 1 :].strip(" $.\n") else text


def _brace_arguments(text: str, command: str, count: int) -> str:
    """`\\frac12`, `\\sqrt 2`, `\\sqrt(2)`, `\\sqrt[3]4` with braces around each argument."""
    out, at = [], 0
    for match in re.finditer(re.escape(command) + r"(?![A-Za-z])\s*(\[[^\]]*\])?", text):
        if match.start() < at:  # inside an argument that was copied already: braced by the recursion below
            continue
        out += [text[at : match.start()], command, match.group(1) or ""]
        at = match.end()
        for _ in range(count):
            inside, at = _parenthesised(text, at) if count == 1 else argument(text, at)
            out.append("{" + _brace_arguments(inside, command, count) + "}")
    return "".join(out) + text[at:]


def _brace_powers(text: str) -> str:
    """`2^(n+1)` as `2^{n+1}`: plain text means the bracket, TeX would take its first character."""
    at = text.find("^(")
    while at >= 0:
        inside, end = _parenthesised(text, at + 1)
        text = f"{text[:at]}^{{{inside}}}{text[end:]}"
        at = text.find("^(", at + 1)
    return text


def _parenthesised(text: str, at: int) -> tuple[str, int]:
    if text[at : at + 1] != "(":
        return argument(text, at)
    depth = 0
    for end in range(at, len(text)):
        depth += {"(": 1, ")": -1}.get(text[end], 0)
        if depth == 0:
            return text[at + 1 : end], end + 1
    return argument(text, at)


def _trim(text: str) -> str:
    text = re.sub(r"^(?:[=:\s]|\\approx(?![A-Za-z]))+", "", text).strip()
    text = re.sub(r"[.,;:\s]+$", "", text) if not text.endswith("\\") else text
    while text.startswith("{") and closing_brace(text, 0) == len(text) - 1:
        text = text[1:-1].strip()
    return text
