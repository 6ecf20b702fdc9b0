"""One rollout as a reader sees it: its reasoning up to each budget, the answer forced there, the verdict.

Only this rollout's rows are read. Where a cut falls in the text is found with the tokenizer of the run; where
that is not on the machine the text comes in one piece and the answers beside it.
"""

import html as markup
from dataclasses import dataclass
from pathlib import Path

from effwb._internal.paths import data_dir
from effwb.errors import ConfigError, DataError
from effwb.models import locate
from effwb.rollouts import problems_of
from effwb.runs import RunDir

RIGHT, WRONG, SINCE = "#0072B2", "#B34700", "#EFEFEF"  # blue and orange, told apart by everybody; grey
SIGNS = {"correct": "\u2713", "wrong": "\u2717"}
LEGEND = (
    "In colour: the answer when the model is stopped there (blue right, orange not), a bar where it is as "
    "before. Grey: what came after the answer was first right, be it by luck."
)
ENDS = {"stop": "stopped by itself", "length": "cut off by the cap"}


@dataclass(frozen=True)
class Piece:
    """The text since the last cut, and the answer at `at` tokens: forced there, or the rollout's own."""

    at: int
    text: str
    answer: str | None
    verdict: str
    forced: bool


@dataclass(frozen=True)
class Reading:
    """A rollout with its problem. `text` is whole; `pieces` are it cut at the budgets, in order.

    `cut` says whether the places of the cuts are known; otherwise all pieces have an empty text.
    """

    problem_id: str
    sample: int
    question: str
    gold: str
    text: str
    length: int
    finish_reason: str
    extracted: str | None
    verdict: str
    pieces: tuple[Piece, ...]
    cut: bool

    @property
    def first_right(self) -> int | None:
        """Tokens after which the answer is right for the first time; None where it never is."""
        return next((p.at for p in self.pieces if p.verdict == "correct"), None)

    @property
    def right_for_good(self) -> int | None:
        """Tokens after which the answer is right and stays so; None where it is not right at the end."""
        since = None
        for piece in self.pieces:
            since = (since if since is not None else piece.at) if piece.verdict == "correct" else None
        return since

    @property
    def wasted(self) -> int | None:
        """Tokens that came after it was right for the first time."""
        return None if self.first_right is None else self.length - self.first_right

    def html(self, opinions: dict[str, str] | None = None) -> str:
        """The rollout as a fragment of HTML that needs nothing else. `opinions` are verdicts by verifier."""
        return "".join((_head(self), _body(self), _verdicts(self, opinions)))


def read_rollout(run_dir: str | Path, problem_id: str, sample: int) -> Reading:
    """One rollout of a run with its forced answers. `DataError` where the run has no such rollout."""
    run, which = RunDir(run_dir), {"problem_id": problem_id, "sample": sample}
    found = run.rows("rollouts", **which)
    if len(found) == 0:
        raise DataError(f"{run.path} has no sample {sample} of the problem {problem_id!r}")
    row, probed = found.iloc[0], run.rows("probes", **which).sort_values("budget")
    asked = problems_of(run.path).set_index("problem_id").loc[problem_id]
    ids, stopped = [int(i) for i in row["completion_ids"]], row["finish_reason"] == "stop"
    at = [int(b) for b in probed["budget"]] + [len(ids)] * stopped
    texts = _texts(run, ids, at, row["text"])
    answers = [(_text(p.extracted), p.verdict, True) for p in probed.itertuples()]
    answers += [(_text(row["extracted"]), row["verdict"], False)] * stopped
    pieces = [Piece(b, t, *a) for b, t, a in zip(at, texts or [""] * len(at), answers, strict=True)]
    return Reading(
        problem_id=problem_id,
        sample=int(sample),
        question=str(asked["question"]),
        gold=str(asked["answer"]),
        text=row["text"],
        length=int(row["length"]),
        finish_reason=row["finish_reason"],
        extracted=_text(row["extracted"]),
        verdict=row["verdict"],
        pieces=tuple(pieces),
        cut=texts is not None,
    )


def _text(value) -> str | None:
    return value if isinstance(value, str) else None


def _texts(run: RunDir, ids: list[int], at: list[int], text: str) -> list[str] | None:
    """The text between the cuts, or None where no tokenizer on this machine spells these tokens like that."""
    from tokenizers import Tokenizer

    for file in _tokenizers(run):
        tokenizer = Tokenizer.from_file(str(file))
        if tokenizer.decode(ids, skip_special_tokens=False).startswith(text):
            upto = [tokenizer.decode(ids[:n], skip_special_tokens=False)[: len(text)] for n in at]
            return [b[len(a) :] for a, b in zip(["", *upto], upto, strict=False)]
    return None


def _tokenizers(run: RunDir):
    """Files that may be the tokenizer of the run: of the model beside it, the pocket model's, of the one it
    names.
    """
    for folder in (run.path.parent / "model", data_dir("pocket")):
        if (folder / "tokenizer.json").is_file():
            yield folder / "tokenizer.json"
    try:
        source = locate(run.config["rollouts"]["identity"].get("model", ""))
    except ConfigError:  # a trained model is known by the name of its run
        return
    if source.is_local:
        found = Path(source.path) / "tokenizer.json"
    else:
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache(source.path, "tokenizer.json")
    if isinstance(found, (str, Path)) and Path(found).is_file():
        yield Path(found)


# ---------------------------------------------------------------------------------------------- as HTML
def _head(one: Reading) -> str:
    if one.first_right is None:
        story = "The answer is never right."
    elif one.wasted == 0:
        story = "The answer is right only at the end."
    else:
        good = one.right_for_good
        end = "wrong again at the end" if good is None else f"right for good after <b>{good:,}</b>"
        end = "it stays right" if good == one.first_right else end
        story = (
            f"First right after <b>{one.first_right:,}</b> tokens, <b>{one.wasted:,}</b> come after; {end}."
        )
    return (
        f"<p style='margin:4px 0'><b>{markup.escape(one.question)}</b></p>"
        f"<p style='margin:4px 0'>Reference answer <b>{markup.escape(one.gold)}</b>. {one.length:,} tokens, "
        f"{ENDS.get(one.finish_reason, one.finish_reason)}. {story}</p>"
    )


def _body(one: Reading) -> str:
    """The text with a mark at each cut: the answer where it changed, else a bar that tells it on hovering."""
    parts, last, since = [], None, False
    for piece in one.pieces:
        parts.append(_span(piece.text, since))
        new = (piece.answer, piece.verdict) != last
        parts.append(_mark(piece, full=new or not one.cut))
        last = piece.answer, piece.verdict
        since = since or piece.verdict == "correct"
    if not one.cut:
        note = "The tokenizer of this run is not on this machine: where the cuts fall in the text is unknown."
        parts = [f"<i>{note}</i>\n", *parts, "\n\n", _span(one.text, False)]
    style = "white-space:pre-wrap;overflow-wrap:anywhere;font:13px/1.75 ui-monospace,monospace;"
    style += "padding:8px;border:1px solid #CCC"
    return f"<div class='effwb-reasoning' style='{style}'>{''.join(parts)}</div>"


def _span(text: str, since: bool) -> str:
    shown = markup.escape(text)
    return f"<span style='background:{SINCE};color:#555'>{shown}</span>" if since and text else shown


def _mark(piece: Piece, full: bool) -> str:
    colour = RIGHT if piece.verdict == "correct" else WRONG
    answer = "no answer" if piece.answer is None else piece.answer
    kind = "forced" if piece.forced else "own"
    title = markup.escape(f"{kind} answer after {piece.at:,} tokens: {answer} ({piece.verdict})", quote=True)
    if not full:
        return f"<span title='{title}' style='color:{colour};font-weight:bold;cursor:help'>|</span>"
    text = f"{piece.at:,}: {answer[:40]} {SIGNS.get(piece.verdict, piece.verdict)}"
    style = f"color:white;background:{colour};border-radius:3px;padding:0 4px;margin:0 1px;cursor:help;"
    style += "white-space:nowrap"
    return f"<span title='{title}' style='{style}'>{markup.escape(text)}</span>"


def _verdicts(one: Reading, opinions: dict[str, str] | None) -> str:
    own = "none" if one.extracted is None else one.extracted
    line = f"Own answer <b>{markup.escape(own)}</b>, stored verdict <b>{one.verdict}</b>"
    for name, verdict in (opinions or {}).items():
        line += f", {name}: <b>{verdict or 'not asked'}</b>"
    return f"<p style='margin:4px 0'>{line}.</p>"
