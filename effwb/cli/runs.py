"""The commands `effwb ls` and `effwb compare`: which runs there are, and what changes from one to another."""

from __future__ import annotations

import argparse
import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from effwb.cli.commands import add_command, load_frontier
from effwb.cli.completion import completed_by, frontiers
from effwb.cli.options import count, file_to_write
from effwb.errors import ConfigError, one_of

if TYPE_CHECKING:
    import pandas as pd

LS_EXAMPLES = """\
examples:
  effwb ls                                          every run below data/runs
  effwb ls data/runs/first --sort REG
  effwb ls -w design=lead,kimi -w "accuracy>0.9" --sort tokens
  effwb ls -w state=stopped,damaged
  effwb ls --frontier qwen3-8b --json | jq '.[].run'

REG of all runs is measured against one frontier: the best of the largest set of runs that were measured
alike, or --frontier. Several -w must all hold; `effwb columns ls` says what the columns hold.
"""
COMPARE_EXAMPLES = """\
examples:
  effwb compare data/runs/training/pocket/vanilla-seed0 data/runs/training/pocket/kimi-seed0
  effwb compare data/runs/free data/runs/low --l-max 256 --csv change.csv

Differences are B minus A, problem by problem, with 95 % intervals over problems. They say nothing about
another seed: for several seeds, RunSet.find(root).effects(baseline) in Python.
"""
CONDITION = re.compile(r"\s*([^<>=!]+?)\s*(<=|>=|!=|=|<|>)\s*(.*?)\s*")
UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
SHOWN = (
    "run",
    "model",
    "design",
    "parameters",
    "steps",
    "problems",
    "accuracy",
    "tokens",
    "REG",
    "state",
    "age",
)


class Condition(NamedTuple):
    """A condition on a row of the listing.

    Attributes:
        column: Name of the column.
        sign: "=", "!=", "<", "<=", ">" or ">=".
        values: The values; with "=" one of them must hold, with the others there is one.
    """

    column: str
    sign: str
    values: list[str]


def add_runs(subparsers: Any) -> None:
    """Add the commands `effwb ls` and `effwb compare`."""
    add = add_command(subparsers, run_ls, "list every run below a directory, finished or not", LS_EXAMPLES)
    option = add.add_argument
    option("root", type=Path, nargs="?", default=Path("data/runs"), help="directory (default data/runs)")
    where_help = "only runs that meet this condition, such as design=lead,kimi or REG<30; repeatable"
    option("-w", "--where", type=condition, action="append", default=[], metavar="CONDITION", help=where_help)
    option("--sort", metavar="COLUMN", help="order by a column; runs without a value come last")
    option("--reverse", action="store_true", help="the other way round")
    frontier_help = "what REG is measured against: a saved frontier or the name of a published one"
    completed_by(option("--frontier", help=frontier_help), frontiers)
    option("--json", action="store_true", help="a JSON list of all columns instead of a table")

    add = add_command(subparsers, run_compare, "what changes from one run to another", COMPARE_EXAMPLES)
    option = add.add_argument
    option("a", type=Path, metavar="A", help="a finished evaluation, or a training with its evaluation")
    option("b", type=Path, metavar="B", help="another one, measured alike")
    frontier_help = "what REG is measured against; default: the better of the two at each budget"
    completed_by(option("--frontier", help=frontier_help), frontiers)
    option("--l-max", type=count, help="the last budget that counts; default: the last of the runs")
    option("--csv", type=file_to_write, help="write the table to this file as well")


def condition(text: str) -> Condition:
    """A condition of the option --where.

    >>> condition("design=lead,kimi")
    Condition(column='design', sign='=', values=['lead', 'kimi'])
    """
    parts = CONDITION.fullmatch(text)
    if parts is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not COLUMN=VALUE, such as design=lead or accuracy>0.9")
    column, sign, value = parts.groups()
    return Condition(column, sign, value.split(",") if sign in ("=", "!=") else [value])


def run_ls(args: argparse.Namespace) -> int:
    """Print the runs below a directory."""
    from effwb.analysis.listing import list_runs

    frontier = partial(load_frontier, args.frontier) if args.frontier else None
    listing = list_runs(args.root, frontier)
    table = listing.table
    for each in args.where:
        table = table[meets(table, each)]
    if args.sort is not None:
        one_of("column", args.sort, table.columns)
        table = table.sort_values(args.sort, ascending=not args.reverse, kind="stable")
    elif args.reverse:
        table = table.iloc[::-1]
    if args.json:
        print(table.to_json(orient="records", indent=1, force_ascii=False))
        return 0
    if len(table):
        print(in_columns(table).to_string(index=False, max_colwidth=44))
    print(f"\n{listing.caption()}")
    notes = table.dropna(subset="note").groupby("note", sort=False)["run"].apply(list)
    for note, runs in notes.items():
        print(f"{', '.join(runs[:3])}{f' and {len(runs) - 3} more' if runs[3:] else ''}: {note}")
    return 0


def meets(table: pd.DataFrame, where: Condition) -> pd.Series:
    """Tell which rows meet a condition; a missing value meets none but `!=`."""
    import pandas as pd

    one_of("column", where.column, table.columns)
    column = table[where.column]
    if pd.api.types.is_numeric_dtype(column):
        try:
            values: list[Any] = [float(value) for value in where.values]
        except ValueError:
            raise ConfigError(f"--where {where.column}: {where.values} are not numbers") from None
    elif where.sign in ("=", "!="):
        column, values = column.fillna("").astype(str), where.values
    else:
        raise ConfigError(f"--where {where.column}{where.sign}: the column holds words; use = or !=")
    if where.sign in ("=", "!="):
        holds = column.isin(values)
        return holds if where.sign == "=" else ~holds
    compared = {"<": column.lt, "<=": column.le, ">": column.gt, ">=": column.ge}[where.sign](values[0])
    return compared.fillna(False).astype(bool)


def in_columns(table: pd.DataFrame) -> pd.DataFrame:
    """The listing as it is printed: intervals behind their values, steps of steps, ages in words."""
    from effwb.export.text_tables import readable

    steps = [
        "" if done != done or done is None else f"{done}" if done == planned else f"{done}/{planned}"
        for done, planned in table[["steps", "planned steps"]].astype(object).fillna(float("nan")).to_numpy()
    ]
    texts = readable(table.assign(steps=steps, age=[age_in_words(age) for age in table["age"]]))
    kinds = [f" ({kind})" if kind in ("rollouts", "fine-tuning") else "" for kind in table["kind"]]
    texts["state"] = [state + kind for state, kind in zip(texts["state"], kinds, strict=True)]
    return texts[[name for name in SHOWN if (texts[name] != "").any()]]


def age_in_words(seconds: float) -> str:
    """A time in the largest unit of which there are two, or in seconds.

    >>> age_in_words(7300), age_in_words(59)
    ('2 h', '59 s')
    """
    name, size = next((unit for unit in UNITS if seconds >= 2 * unit[1]), UNITS[-1])
    return f"{int(max(seconds, 0) // size)} {name}"


def run_compare(args: argparse.Namespace) -> int:
    """Print what changes from one run to another."""
    import pandas as pd

    from effwb.analysis.comparison import ACCURACY_AND_J
    from effwb.analysis.paired import paired_differences, two_runs
    from effwb.export.text_tables import readable

    runs = two_runs(args.a, args.b)
    frontier = load_frontier(args.frontier, runs) if args.frontier else runs.frontier()
    table = paired_differences(runs, frontier, args.l_max)
    print(f"{next(iter(runs)).caption()}\n")
    words = [readable(table.iloc[[i]], {"percent": 1}) for i in range(len(table))]  # decimals row by row
    print(pd.concat(words).drop(columns="name", errors="ignore").to_string(index=False))
    print(f"\nREG against the {frontier.name}, accuracy x tokens. {ACCURACY_AND_J}")
    if args.csv:
        table.to_csv(args.csv, index=False)
    return 0
