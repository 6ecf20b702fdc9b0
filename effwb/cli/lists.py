"""The commands `effwb designs`, `profiles`, `engines`, `columns` and `completion`."""

from __future__ import annotations

import argparse
import inspect
from typing import TYPE_CHECKING, Any

from effwb.cli.commands import add_command
from effwb.cli.completion import SHELLS, completed_by, script, table_names
from effwb.cli.completion import designs as design_names
from effwb.cli.completion import profiles as profile_names
from effwb.errors import one_of

if TYPE_CHECKING:
    import pandas as pd

COMPLETION_EXAMPLES = """\
examples:
  effwb completion bash > ~/.local/share/bash-completion/completions/effwb
  eval "$(effwb completion bash)"                                  this shell only; the same with zsh
  effwb completion zsh > ~/.zfunc/_effwb                           with fpath+=~/.zfunc before compinit
  effwb completion fish > ~/.config/fish/completions/effwb.fish

Completes commands, options, files and the names of designs, profiles and engines, also in
effwb sweep n.ipynb -a design=le<TAB>
"""


def add_lists(subparsers: Any) -> None:
    """Add the commands that list what there is, and `completion`."""
    summary = "list the designs and offline methods, or print what one does, with its parameters"
    add = add_command(subparsers, run_designs, summary, "examples:\n  effwb designs\n  effwb designs lead\n")
    completed_by(
        add.add_argument("name", nargs="?", help="a design or an offline method: print its documentation"),
        design_names,
    )
    summary = "list the profiles, or print all settings of one"
    add = add_command(
        subparsers, run_profiles, summary, "examples:\n  effwb profiles\n  effwb profiles pocket\n"
    )
    completed_by(add.add_argument("name", nargs="?", help="a profile: print its settings"), profile_names)
    add_command(subparsers, run_engines, "list the engines that sample, and whether they are installed here")
    summary = "say what each column of the tables holds"
    add = add_command(
        subparsers, run_columns, summary, "examples:\n  effwb columns\n  effwb columns probes\n"
    )
    completed_by(add.add_argument("table", nargs="?", help="one table; default: all"), table_names)
    summary = "print the script that completes effwb in a shell"
    add = add_command(subparsers, run_completion, summary, COMPLETION_EXAMPLES)
    add.add_argument("shell", choices=SHELLS)


def run_designs(args: argparse.Namespace) -> int:
    """Print a line per design and offline method, or the documentation of one."""
    from effwb.analysis.catalogue import designs_table, offline_table
    from effwb.designs import find_design
    from effwb.training.offline import is_offline
    from effwb.training.offline_methods import OFFLINE_METHODS

    if args.name is None:
        print_left(designs_table())
        print("\nThese learn from stored rollouts, without rewards:\n")
        print_left(offline_table())
        return 0
    if is_offline(args.name):
        method = OFFLINE_METHODS[args.name]
        doc, parameters = inspect.getdoc(method.rule), method.parameters()
    else:
        cls = find_design(args.name)
        doc, parameters = inspect.getdoc(cls), cls().parameters()
    print(f"{args.name}\n\n{doc}\n\nparameters:" + ("" if parameters else " none"))
    for name, value in parameters.items():
        print(f"  {name} = {value!r}")
    return 0


def run_profiles(args: argparse.Namespace) -> int:
    """Print a line per profile, or the settings of one."""
    from effwb.analysis.catalogue import profiles_table
    from effwb.profiles import PROFILES

    if args.name is None:
        print_left(profiles_table())
        return 0
    one_of("profile", args.name, PROFILES)
    values = PROFILES[args.name].as_dict()
    training = values.pop("training")
    for name, value in {**values, **{f"training.{key}": v for key, v in training.items()}}.items():
        print(f"{name} = {value!r}")
    return 0


def run_engines(args: argparse.Namespace) -> int:
    """Print a line per engine."""
    from effwb.analysis.catalogue import engines_table

    print_left(engines_table().replace({"installed": {True: "yes", False: "no"}}))
    return 0


def run_columns(args: argparse.Namespace) -> int:
    """Print what each column holds, table by table."""
    from effwb.analysis.catalogue import TABLES, columns_table

    for name, rows in columns_table(args.table).groupby("table", sort=False):
        print(f"{name}: {TABLES[str(name)]}")
        width = max(map(len, rows["column"]))
        for row in rows.itertuples(index=False):
            print(f"  {row[1]:{width}}  {row[2]}")
        print()
    return 0


def run_completion(args: argparse.Namespace) -> int:
    """Print the completion script of a shell."""
    print(script(args.shell))
    return 0


def print_left(table: pd.DataFrame) -> None:
    """Print a table of words, its columns to the left; the last one is as long as it is."""
    texts = table.astype(str)
    widths = [max(len(name), *texts[name].str.len()) for name in texts]
    for row in [list(texts.columns), *texts.to_numpy().tolist()]:
        print("  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())
