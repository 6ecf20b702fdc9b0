"""Problems: question, gold answer, level, from the pocket world, reasoning-gym, a hub data set or a file.

Every source gives the same table: `problem_id, question, answer, level, source`, all strings. An id is
`source-` and 12 hex digits of a hash of the question, so it never depends on position or order.
"""

import hashlib
import random
from pathlib import Path

from effwb.errors import ConfigError, DataError, one_of

COLUMNS = ("problem_id", "question", "answer", "level", "source")
POCKET_SPLITS = ("test", "train")

# preset -> (hub id, config, split); columns are found by name, see QUESTION and ANSWER
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
QUESTION = ("question", "problem", "prompt")
ANSWER = ("answer", "final_answer", "expected_answer", "solution")
LEVEL = ("level", "difficulty")


def load(name: str, n: int | None = None, seed: int = 0, split: str | None = None):
    """A `datasets.Dataset` with `COLUMNS`.

    `name` is "pocket", "reasoning-gym:<task>", "hub:<id>", a preset, or a path to .jsonl or .parquet. `n`
    rows are drawn (generated sources need it: 500 by default; others are shuffled by `seed` and cut, or whole
    when None). `split` is train or test for pocket (default test), a hub split otherwise. Raises
    `ConfigError` for an unknown name or split, `DataError` for an empty set, missing columns, or golds no
    verifier can use.
    """
    if n is not None and n < 1:
        raise ConfigError(f"n must be at least 1, got {n}")
    kind, _, rest = name.partition(":")
    if name == "pocket":
        rows = _pocket(n or 500, seed, split or "test")
    elif kind == "reasoning-gym" and rest:
        rows = _reasoning_gym(rest, n or 500, seed)
    elif kind == "hub" and rest:
        rows = _cut(_hub(rest, None, split or "test"), n, seed)
    elif name in PRESETS:
        hub_id, config, default = PRESETS[name]
        rows = _cut(_hub(hub_id, config, split or default, name), n, seed)
    elif Path(name).suffix in (".jsonl", ".parquet"):
        rows = _cut(_file(Path(name)), n, seed)
    else:
        one_of(
            "problem source",
            name,
            ["pocket", "reasoning-gym:<task>", "hub:<id>", "a path to .jsonl or .parquet", *PRESETS],
        )
    return as_dataset(rows, name)


def as_dataset(rows: list[dict], name: str):
    """Rows with question, answer, level, source -> a checked Dataset with ids. Repeated questions raise."""
    from datasets import Dataset

    from effwb.verifiers import verify

    if not rows:
        raise DataError(f"problem source {name!r} is empty")
    for row in rows:
        row["problem_id"] = f"{row['source']}-{hashlib.sha256(row['question'].encode()).hexdigest()[:12]}"
    ids = [r["problem_id"] for r in rows]
    if len(set(ids)) < len(ids):
        twice = next(r for i, r in enumerate(rows) if r["problem_id"] in ids[:i])
        raise DataError(f"problem source {name!r} asks the same question twice: {twice['question'][:80]!r}")
    golds = [r["answer"] for r in rows]
    verdicts = verify([f"\\boxed{{{g}}}" for g in golds], golds)
    bad = [
        f"{r['problem_id']}: {r['answer']!r} ({v.status})"
        for r, v in zip(rows, verdicts, strict=True)
        if v.status != "correct"
    ]
    if bad:
        raise DataError(
            f"{len(bad)} golds of {name!r} do not verify against themselves: {'; '.join(bad[:3])}"
        )
    return Dataset.from_list([{c: str(r[c]) for c in COLUMNS} for r in rows])


def _pocket(n: int, seed: int, split: str) -> list[dict]:
    from effwb.pocket import world

    one_of("pocket split", split, POCKET_SPLITS)
    rng, seen, rows = random.Random(f"{split}-{seed}"), set(), []
    while len(rows) < n:
        level = world.LEVELS[len(rows) % len(world.LEVELS)]
        terms = world.sample_terms(level, rng, held_out=split == "test")
        question = world.question_text(terms)
        if question not in seen:
            seen.add(question)
            rows.append(
                {"question": question, "answer": str(sum(terms)), "level": str(level), "source": "pocket"}
            )
    return rows


def _reasoning_gym(task: str, n: int, seed: int) -> list[dict]:
    import reasoning_gym
    from reasoning_gym.factory import DATASETS

    one_of("reasoning-gym task", task, DATASETS)
    rows, seen = [], set()
    for entry in reasoning_gym.create_dataset(
        task, size=2 * n + 50, seed=seed
    ):  # some tasks repeat themselves
        if entry["question"] not in seen and len(rows) < n:
            seen.add(entry["question"])
            level = entry["metadata"].get("difficulty", "")
            level = (
                str(level) if isinstance(level, (str, int, float)) else ""
            )  # some tasks give their whole range
            rows.append(
                {"question": entry["question"], "answer": entry["answer"], "level": level, "source": task}
            )
    if len(rows) < n:
        raise DataError(
            f"reasoning-gym task {task!r} has only {len(rows)} distinct problems at seed {seed}, asked {n}"
        )
    return rows


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
    try:
        table = (
            pd.read_json(path, lines=True, dtype=False) if path.suffix == ".jsonl" else pd.read_parquet(path)
        )
    except ValueError as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    return _normalised(table.to_dict("records"), path.stem)


def _normalised(rows: list[dict], source: str) -> list[dict]:
    """Find the columns by name; take the answer behind `####` (GSM8K) or in the last box of a solution."""
    if not rows:
        return []
    question, answer = _column(rows[0], QUESTION, source), _column(rows[0], ANSWER, source)
    level = next((c for c in LEVEL if c in rows[0]), None)
    return [
        {
            "question": str(r[question]),
            "answer": _gold(r[answer], answer),
            "level": str(r[level]) if level else "",
            "source": str(r.get("source") or source),
        }
        for r in rows
    ]


def _column(row: dict, names: tuple[str, ...], source: str) -> str:
    found = next((c for c in names if c in row), None)
    if found is None:
        raise DataError(f"{source!r} has none of the columns {', '.join(names)}; it has {', '.join(row)}")
    return found


def _gold(value, column: str) -> str:
    """The gold as text; nothing (refused later) where there is none or more than one."""
    from effwb.verifiers import extract

    if isinstance(value, (list, tuple)) or hasattr(value, "tolist"):
        value = list(value) if isinstance(value, (list, tuple)) else value.tolist()
        value = value[0] if isinstance(value, list) and len(value) == 1 else value
    if value is None or isinstance(value, list) or value != value:  # NaN differs from itself
        return ""
    text = str(value)
    if "####" in text:
        return text.split("####")[-1].strip()
    if column == "solution":
        return extract(text) or ""
    return text


def _cut(rows: list[dict], n: int | None, seed: int) -> list[dict]:
    if n is None:
        return rows
    if n > len(rows):
        raise DataError(f"asked for {n} problems, the source has {len(rows)}")
    return random.Random(seed).sample(rows, n)


def split_by_pass_rate(problems, rollouts, threshold: float = 0.5):
    """(easy, hard): problems whose share of correct rollouts is above `threshold`, and the rest (2602.20945).

    Problems without rollouts raise `DataError`: they would silently count as hard.
    """
    rate = (rollouts["verdict"] == "correct").groupby(rollouts["problem_id"]).mean()
    missing = [p for p in problems["problem_id"] if p not in rate.index]
    if missing:
        raise DataError(f"{len(missing)} problems have no rollouts, e.g. {missing[:3]}")
    easy = [rate[p] > threshold for p in problems["problem_id"]]
    rows = range(len(problems))
    return problems.select([i for i in rows if easy[i]]), problems.select([i for i in rows if not easy[i]])
