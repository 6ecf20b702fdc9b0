"""Problems to solve, from the pocket world, reasoning-gym, the hub or a file.

Every source gives the same table: `problem_id, question, answer, level, source`, all strings. An id is the
source and 12 hex digits of a hash of the question, so it never depends on position or order.
"""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path
from typing import TYPE_CHECKING

from effwb._internal.checked import Text, checked_arguments
from effwb.errors import DataError, one_of

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset

COLUMNS = ("problem_id", "question", "answer", "level", "source")
POCKET_SPLITS = ("test", "train")
GENERATED = 500  # problems that a generated source makes by default

# preset -> (hub id, config, split); columns are found by name, in any case: see QUESTION and ANSWER
PRESETS = {
    "gsm8k": ("openai/gsm8k", "main", "test"),
    "math500": ("HuggingFaceH4/MATH-500", None, "test"),
    "aime24": ("HuggingFaceH4/aime_2024", None, "train"),
    "aime25": ("yentinglin/aime_2025", None, "train"),
    "amc23": ("math-ai/amc23", None, "test"),
    "minerva_math": ("math-ai/minervamath", None, "test"),
    "olympiad": ("math-ai/olympiadbench", None, "test"),
    "deepscaler": ("agentica-org/DeepScaleR-Preview-Dataset", None, "train"),
}
QUESTION = ("question", "problem", "prompt", "query", "instruction", "input")
ANSWER = (
    "answer",
    "final_answer",
    "expected_answer",
    "gold",
    "gold_answer",
    "ground_truth",
    "target",
    "solution",
)
PLACE = "place"  # key of a row that says where in its file it stands, for messages
LEVEL = ("level", "difficulty")


@checked_arguments(name=Text)
def load(name: str, n: int | None = None, seed: int = 0, split: str | None = None) -> Dataset:
    """Load a set of problems.

    Args:
        name: "pocket", "reasoning-gym:<task>", "hub:<id>", one of `PRESETS`, or a path to .jsonl or .parquet.
            Several benchmarks are joined by "+", as in "aime24+amc23+minerva_math".
        n: Number of problems. None: 500 of a generated source ("pocket", "reasoning-gym"), all of any other.
            Of several benchmarks: at most so many of each.
        seed: Seed of generated problems, or of the choice of `n` among all.
        split: "test" (default) or "train" for "pocket"; a split of the data set for hub sources.

    Returns:
        A data set with `COLUMNS`.

    Raises:
        ConfigError: `name`, `n` or `split` is illegal.
        DataError: The source cannot be read, is empty, is too small, lacks columns, repeats a question, or
            has golds that no verifier can use. Two of several benchmarks have the same name.

    Example:
        >>> load("pocket+reasoning-gym:basic_arithmetic", n=3)["source"]  # doctest: +SKIP
        ['pocket', 'pocket', 'pocket', 'basic_arithmetic', 'basic_arithmetic', 'basic_arithmetic']
    """
    if "+" in name and not Path(name).is_file():
        return _several(name.split("+"), n, seed, split)
    kind, _, rest = name.partition(":")
    rows: list[dict] = []
    if name == "pocket":
        rows = _pocket(n or GENERATED, seed, split or "test")
    elif kind == "reasoning-gym" and rest:
        rows = _reasoning_gym(rest, n or GENERATED, seed)
    elif kind == "hub" and rest:
        rows = _drawn(_hub(rest, None, split or "test"), n, seed)
    elif name in PRESETS:
        hub_id, config, default = PRESETS[name]
        rows = _drawn(_hub(hub_id, config, split or default, name), n, seed)
    elif Path(name).suffix in (".jsonl", ".parquet"):
        rows = _drawn(_file(Path(name)), n, seed)
    else:
        sources = ["pocket", "reasoning-gym:<task>", "hub:<id>", "a path to .jsonl or .parquet", *PRESETS]
        one_of("problem source", name, sources)
    return as_dataset(rows, name)


def as_dataset(rows: list[dict], name: str) -> Dataset:
    """Check problems and give each an id.

    Args:
        rows: One dict per problem with question, answer, level, source.
        name: The name of the source, for messages.

    Returns:
        A data set with `COLUMNS`.

    Raises:
        DataError: There are no rows, a question is repeated, or a gold does not verify against itself.
    """
    from datasets import Dataset

    from effwb.verifiers import verify

    if not rows:
        raise DataError(f"problem source {name!r} is empty")
    ids: set[str] = set()
    for row in rows:
        row["problem_id"] = f"{row['source']}-{hashlib.sha256(row['question'].encode()).hexdigest()[:12]}"
        if row["problem_id"] in ids:
            place = f" ({row[PLACE]})" if PLACE in row else ""
            raise DataError(
                f"problem source {name!r} has the same question twice: {row['question'][:80]!r}{place}"
            )
        ids.add(row["problem_id"])
    golds = [r["answer"] for r in rows]
    verdicts = verify([f"\\boxed{{{g}}}" for g in golds], golds)
    pairs = [(r, v) for r, v in zip(rows, verdicts, strict=True) if not v.correct]
    bad = [f"{r.get(PLACE, r['problem_id'])}: {r['answer']!r} ({v.status})" for r, v in pairs]
    if bad:
        hint = " (an empty gold: there is none, several, or a solution has no \\boxed answer)"
        raise DataError(
            f"{len(bad)} golds of {name!r} do not verify against themselves: {'; '.join(bad[:3])}"
            f"{hint if any(not r['answer'] for r, _ in pairs) else ''}"
        )
    return Dataset.from_list([{c: str(r[c]) for c in COLUMNS} for r in rows])


def _several(names: list[str], n: int | None, seed: int, split: str | None) -> Dataset:
    """The problems of several benchmarks, one after the other; each is told by the source in its ids."""
    from datasets import concatenate_datasets

    tables: list[Dataset] = []
    benchmarks: dict[str, str] = {}
    for name in names:
        is_generated = name == "pocket" or name.startswith("reasoning-gym:")
        table = load(name, n if is_generated else None, seed, split)
        if n is not None and n < len(table):
            table = table.select(random.Random(seed).sample(range(len(table)), n))  # as `_drawn` chooses
        for benchmark in sorted(set(table["source"])):
            if benchmark in benchmarks:
                raise DataError(
                    f"{benchmarks[benchmark]!r} and {name!r} are both of the benchmark {benchmark!r}, so "
                    "their problems could not be told apart; name it once, or rename one of two files"
                )
            benchmarks[benchmark] = name
        tables.append(table)
    return concatenate_datasets(tables)


def split_by_pass_rate(
    problems: Dataset, rollouts: pd.DataFrame, threshold: float = 0.5
) -> tuple[Dataset, Dataset]:
    """Split problems into easy and hard ones by the share of their rollouts that are right (2602.20945).

    A truncated rollout counts as wrong, as everywhere (`rollouts.solved`).

    Args:
        problems: The problems to split.
        rollouts: Their rollout table; needs problem_id, verdict and finish_reason.
        threshold: Problems with a pass rate above it are easy, in [0, 1].

    Returns:
        The easy and the hard problems, in the order of `problems`.

    Raises:
        DataError: A column is missing, or a problem has no rollouts (it would silently count as hard).
    """
    from effwb.rollouts import solved

    missing_columns = [c for c in ("problem_id", "verdict", "finish_reason") if c not in rollouts]
    if missing_columns:
        raise DataError(
            f"the rollouts lack the columns {', '.join(missing_columns)}; a pass rate needs the verdict and "
            "the finish_reason of each, because a truncated rollout counts as wrong"
        )
    rate = solved(rollouts).groupby(rollouts["problem_id"]).mean()
    missing = [p for p in problems["problem_id"] if p not in rate.index]
    if missing:
        raise DataError(f"{len(missing)} problems have no rollouts, e.g. {missing[:3]}")
    easy = [i for i, p in enumerate(problems["problem_id"]) if rate[p] > threshold]
    hard = [i for i, p in enumerate(problems["problem_id"]) if not rate[p] > threshold]
    return problems.select(easy), problems.select(hard)


def _pocket(n: int, seed: int, split: str) -> list[dict]:
    from effwb.pocket import world

    one_of("pocket split", split, POCKET_SPLITS)
    rng = random.Random(f"{split}-{seed}")
    rows: dict[str, dict] = {}
    while len(rows) < n:
        level = world.LEVELS[len(rows) % len(world.LEVELS)]
        terms = world.sample_terms(level, rng, held_out=split == "test")
        question = world.question_text(terms)
        row = {"question": question, "answer": str(sum(terms)), "level": str(level), "source": "pocket"}
        rows.setdefault(question, row)
    return list(rows.values())


def _reasoning_gym(task: str, n: int, seed: int) -> list[dict]:
    import reasoning_gym
    from reasoning_gym.factory import DATASETS

    one_of("reasoning-gym task", task, DATASETS)
    rows: dict[str, dict] = {}
    # twice as many as needed, because some tasks repeat themselves
    for entry in reasoning_gym.create_dataset(task, size=2 * n + 50, seed=seed):
        if entry["question"] not in rows and len(rows) < n:
            level = entry["metadata"].get("difficulty", "")
            rows[entry["question"]] = {
                "question": entry["question"],
                "answer": entry["answer"],
                # some tasks give their whole range instead of a level
                "level": str(level) if isinstance(level, (str, int, float)) else "",
                "source": task,
            }
    if len(rows) < n:
        raise DataError(
            f"reasoning-gym task {task!r} has only {len(rows)} distinct problems at seed {seed}, not n={n}"
        )
    return list(rows.values())


def _hub(hub_id: str, config: str | None, split: str, source: str | None = None) -> list[dict]:
    import datasets

    try:
        table = datasets.load_dataset(hub_id, config, split=split)
    except Exception as error:  # the hub client raises many types: not found, offline, gated, bad split
        raise DataError(f"cannot load {hub_id!r} (split {split!r}) from the hub: {error}") from error
    return _normalised(table.to_list(), source or hub_id.split("/")[-1])


def _file(path: Path) -> list[dict]:
    import pandas as pd

    if not path.is_file():
        raise DataError(f"no problem file at {path}")
    if path.suffix == ".jsonl":
        lines = _json_lines(path)
        return _normalised(list(lines.values()), path.stem, [f"line {number}" for number in lines])
    try:
        table = pd.read_parquet(path)
    except (ValueError, OSError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    return _normalised(table.to_dict("records"), path.stem)


def _json_lines(path: Path) -> dict[int, dict]:
    """The rows of a file with a JSON object per line, by the number of the line; empty lines are skipped."""
    rows = {}
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}, line {number} is not valid JSON: {error}") from None
        if not isinstance(row, dict):
            raise DataError(f"{path}, line {number} must hold a JSON object, got {line[:80]!r}")
        rows[number] = row
    return rows


def _normalised(rows: list[dict], source: str, places: list[str] | None = None) -> list[dict]:
    """Rows with question, answer, level and source, from columns found by name."""
    if not rows:
        return []
    question, answer = _column(rows[0], QUESTION, source), _column(rows[0], ANSWER, source)
    level = next((c for c in LEVEL if c in rows[0]), None)
    places = places or [f"row {number}" for number in range(1, len(rows) + 1)]
    for row, place in zip(rows, places, strict=True):
        value = row.get(question)
        if not isinstance(value, str) or not value.strip():
            raise DataError(f"{source!r}, {place}: {question} must be a text, got {value!r}")
        if answer not in row:
            raise DataError(f"{source!r}, {place} has no {answer}, the column of the answers")
    return [
        {
            "question": r[question],
            "answer": _gold(r.get(answer), answer),
            "level": str(r.get(level, "")) if level else "",
            "source": str(r.get("source") or source),
            PLACE: place,
        }
        for r, place in zip(rows, places, strict=True)
    ]


def _column(row: dict, names: tuple[str, ...], source: str) -> str:
    for name in names:
        if name in row:
            return name
    by_lower_case = {str(column).lower(): column for column in row}
    for name in names:
        if name in by_lower_case:  # "Problem" and "Answer", as some benchmarks have them
            return by_lower_case[name]
    raise DataError(
        f"{source!r} has none of the columns {', '.join(names)}; it has {', '.join(map(str, row))}. A "
        f"problem needs a question ({', '.join(QUESTION)}) and an answer ({', '.join(ANSWER)}; a solution "
        "needs one \\boxed answer)"
    )


def _gold(value, column: str) -> str:
    """The gold as text: after `####` (GSM8K), or in the last box of a solution.

    Empty if there is none or more than one; `as_dataset` refuses it then.
    """
    from effwb.verifiers import extract

    if isinstance(value, (list, tuple)) or hasattr(value, "tolist"):
        value = list(value) if isinstance(value, (list, tuple)) else value.tolist()
        value = value[0] if isinstance(value, list) and len(value) == 1 else value
    if value is None or isinstance(value, list) or value != value:  # NaN differs from itself
        return ""
    text = str(value)
    if "####" in text:
        return text.split("####")[-1].strip()
    if column.lower() == "solution":
        return extract(text) or ""
    return text


def _drawn(rows: list[dict], n: int | None, seed: int) -> list[dict]:
    """`n` rows drawn at random, or all of them."""
    if n is None:
        return rows
    if n > len(rows):
        raise DataError(f"asked for {n} problems, the source has {len(rows)}; ask for at most so many")
    return random.Random(seed).sample(rows, n)
