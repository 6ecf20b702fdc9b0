"""One rollout for a reader: its reasoning up to each budget, the answer forced there, and the verdict.

Only the rows of this rollout are read. The tokenizer of the run tells where a cut falls in the text; where
it is not on this machine, the text comes in one piece with the answers before it.
"""

from __future__ import annotations

import html as markup
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from effwb._internal.paths import data_dir
from effwb.errors import ConfigError, DataError
from effwb.models import locate
from effwb.rollouts import problems_of
from effwb.runs import RunDir

RIGHT, WRONG, AFTER = "#0072B2", "#B34700", "#EFEFEF"  # blue and orange, safe for colour-blind eyes; grey
SIGNS = {"correct": "\u2713", "wrong": "\u2717"}
LEGEND = (
    "Coloured: the answer when the model is stopped there (blue: right, orange: not right); a bar where the "
    "answer did not change. Grey: what was written after the answer was first right, even if by luck."
)
ENDINGS = {"stop": "stopped by itself", "length": "cut off by the cap"}


@dataclass(frozen=True)
class Segment:
    """The text between two cuts, and the answer at its end.

    Attributes:
        at: Tokens of the rollout up to the end of the segment.
        text: The text since the cut before.
        answer: The answer there; None where none could be read.
        verdict: One of `verifiers.STATUSES`.
        forced: The model was stopped and asked; False: it is the rollout's own answer.
    """

    at: int
    text: str
    answer: str | None
    verdict: str
    forced: bool


@dataclass(frozen=True)
class RolloutView:
    """A rollout with its problem, cut at the budgets.

    Attributes:
        problem_id: Id of the problem.
        sample: Number of the rollout among those of the problem.
        question: Text of the problem.
        gold: Its reference answer.
        text: The whole completion.
        length: Its tokens.
        finish_reason: "stop" or "length" (cut off by the cap).
        extracted: The rollout's own answer; None where none could be read.
        verdict: The verdict on it.
        segments: The text cut at the budgets, in order.
        has_cuts: The places of the cuts in the text are known; otherwise all segments have an empty text.
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
    segments: tuple[Segment, ...]
    has_cuts: bool

    @property
    def first_right(self) -> int | None:
        """Tokens after which the answer is right for the first time; None where it never is."""
        return next((s.at for s in self.segments if s.verdict == "correct"), None)

    @property
    def right_for_good(self) -> int | None:
        """Tokens after which the answer is right and stays so; None where it is not right at the end."""
        since = None
        for segment in self.segments:
            if segment.verdict != "correct":
                since = None
            elif since is None:
                since = segment.at
        return since

    @property
    def wasted(self) -> int | None:
        """Tokens that were written after the answer was first right; None where it never is."""
        return None if self.first_right is None else self.length - self.first_right

    def html(self, opinions: Mapping[Any, Any] | None = None) -> str:
        """The rollout as a fragment of HTML that needs nothing else.

        Args:
            opinions: Further verdicts to show, by name of the verifier.
        """
        return "".join((_head(self), _body(self), _verdicts(self, opinions)))


def read_rollout(run_dir: str | Path, problem_id: str, sample: int) -> RolloutView:
    """Read one rollout of a run with its forced answers.

    Args:
        run_dir: Directory of the evaluation.
        problem_id: Id of the problem.
        sample: Number of the rollout among those of the problem.

    Raises:
        DataError: The run has no such rollout.
    """
    run = RunDir(run_dir)
    rows = run.rows("rollouts", problem_id=problem_id, sample=sample)
    if len(rows) == 0:
        raise DataError(f"{run.path} has no sample {sample} of the problem {problem_id!r}")
    row = rows.iloc[0]
    probes = run.rows("probes", problem_id=problem_id, sample=sample).sort_values("budget")
    problem = problems_of(run.path).set_index("problem_id").loc[problem_id]
    ids, stopped = [int(i) for i in row["completion_ids"]], row["finish_reason"] == "stop"
    cuts = [int(b) for b in probes["budget"]] + [len(ids)] * stopped
    texts = _texts(run, ids, cuts, row["text"])
    answers = [(_text(p.extracted), p.verdict, True) for p in probes.itertuples()]
    answers += [(_text(row["extracted"]), row["verdict"], False)] * stopped
    segments = [
        Segment(cut, text, *answer)
        for cut, text, answer in zip(cuts, texts or [""] * len(cuts), answers, strict=True)
    ]
    return RolloutView(
        problem_id=problem_id,
        sample=int(sample),
        question=str(problem["question"]),
        gold=str(problem["answer"]),
        text=row["text"],
        length=int(row["length"]),
        finish_reason=row["finish_reason"],
        extracted=_text(row["extracted"]),
        verdict=row["verdict"],
        segments=tuple(segments),
        has_cuts=texts is not None,
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _texts(run: RunDir, ids: list[int], cuts: list[int], text: str) -> list[str] | None:
    """The text between the cuts; None where no tokenizer on this machine gives the stored text."""
    from tokenizers import Tokenizer

    for file in _tokenizers(run):
        tokenizer = Tokenizer.from_file(str(file))
        if tokenizer.decode(ids, skip_special_tokens=False).startswith(text):
            prefixes = [tokenizer.decode(ids[:n], skip_special_tokens=False)[: len(text)] for n in cuts]
            return [b[len(a) :] for a, b in zip(["", *prefixes], prefixes, strict=False)]
    return None


def _tokenizers(run: RunDir) -> Iterator[Path]:
    """Files that may be the run's tokenizer: of the trained model, the pocket model, the model it names."""
    for folder in (run.path.parent / "model", data_dir("pocket")):
        if (folder / "tokenizer.json").is_file():
            yield folder / "tokenizer.json"
    try:
        source = locate(run.config["rollouts"]["identity"].get("model", ""))
    except ConfigError:  # a trained model goes by the name of its run
        return
    file: object
    if source.is_local:
        file = Path(source.path) / "tokenizer.json"
    else:
        from huggingface_hub import try_to_load_from_cache

        file = try_to_load_from_cache(source.path, "tokenizer.json")
    if isinstance(file, (str, Path)) and Path(file).is_file():
        yield Path(file)


# --------------------------------------------------------------------------------------- as HTML
def _head(view: RolloutView) -> str:
    if view.first_right is None:
        story = "The answer is never right."
    elif view.wasted == 0:
        story = "The answer is right only at the end."
    else:
        for_good = view.right_for_good
        end = "wrong again at the end" if for_good is None else f"right for good after <b>{for_good:,}</b>"
        end = "it stays right" if for_good == view.first_right else end
        story = (
            f"First right after <b>{view.first_right:,}</b> tokens, <b>{view.wasted:,}</b> come after; {end}."
        )
    return (
        f"<p style='margin:4px 0'><b>{markup.escape(view.question)}</b></p>"
        f"<p style='margin:4px 0'>Reference answer <b>{markup.escape(view.gold)}</b>. "
        f"{view.length:,} tokens, {ENDINGS.get(view.finish_reason, view.finish_reason)}. {story}</p>"
    )


def _body(view: RolloutView) -> str:
    """The text with a mark at each cut: the answer where it changed, otherwise a bar with a tooltip."""
    parts: list[str] = []
    previous, was_right = None, False
    for segment in view.segments:
        parts.append(_span(segment.text, was_right))
        changed = (segment.answer, segment.verdict) != previous
        parts.append(_mark(segment, full=changed or not view.has_cuts))
        previous = segment.answer, segment.verdict
        was_right = was_right or segment.verdict == "correct"
    if not view.has_cuts:
        note = "The tokenizer of this run is not on this machine: where the cuts fall in the text is unknown."
        parts = [f"<i>{note}</i>\n", *parts, "\n\n", _span(view.text, False)]
    style = "white-space:pre-wrap;overflow-wrap:anywhere;font:13px/1.75 ui-monospace,monospace;"
    style += "padding:8px;border:1px solid #CCC"
    return f"<div class='effwb-reasoning' style='{style}'>{''.join(parts)}</div>"


def _span(text: str, after_right: bool) -> str:
    escaped = markup.escape(text)
    if not (after_right and text):
        return escaped
    return f"<span style='background:{AFTER};color:#555'>{escaped}</span>"


def _mark(segment: Segment, full: bool) -> str:
    colour = RIGHT if segment.verdict == "correct" else WRONG
    answer = "no answer" if segment.answer is None else segment.answer
    kind = "forced" if segment.forced else "own"
    tooltip = f"{kind} answer after {segment.at:,} tokens: {answer} ({segment.verdict})"
    title = markup.escape(tooltip, quote=True)
    if not full:
        return f"<span title='{title}' style='color:{colour};font-weight:bold;cursor:help'>|</span>"
    text = f"{segment.at:,}: {answer[:40]} {SIGNS.get(segment.verdict, segment.verdict)}"
    style = f"color:white;background:{colour};border-radius:3px;padding:0 4px;margin:0 1px;cursor:help;"
    style += "white-space:nowrap"
    return f"<span title='{title}' style='{style}'>{markup.escape(text)}</span>"


def _verdicts(view: RolloutView, opinions: Mapping[Any, Any] | None) -> str:
    own = "none" if view.extracted is None else view.extracted
    line = f"Own answer <b>{markup.escape(own)}</b>, stored verdict <b>{view.verdict}</b>"
    for name, verdict in (opinions or {}).items():
        line += f", {name}: <b>{verdict or 'not asked'}</b>"
    return f"<p style='margin:4px 0'>{line}.</p>"
