"""The command `effwb`: its parser and its exit status. Commands import what they need when they run."""

import argparse
import sys

from effwb import __version__
from effwb.cli import check, commands, explore, init, lists, runs, sweeps
from effwb.cli.completion import answer_shell
from effwb.cli.options import cannot_write, in_terms_of_options
from effwb.errors import EffwbError

ABOUT = "How few tokens does a reasoning model need to be right, and which training makes it need fewer?"


def main(argv: list[str] | None = None) -> int:
    """Run a command line.

    Returns:
        The exit status: 0, 1 if something failed, 2 for wrong arguments or data, 130 after Ctrl-C.
    """
    parser = argparse.ArgumentParser(prog="effwb", description=ABOUT)
    parser.add_argument("--version", action="version", version=__version__)
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="command")
    init.add_init(subparsers)
    sweeps.add_sweep(subparsers)
    sweeps.add_plan(subparsers)
    commands.add_eval(subparsers)
    commands.add_train(subparsers)
    commands.add_reg(subparsers)
    commands.add_regrade(subparsers)
    commands.add_export(subparsers)
    commands.add_report(subparsers)
    runs.add_runs(subparsers)
    check.add_check(subparsers)
    lists.add_lists(subparsers)
    explore.add_explore(subparsers)
    commands.add_doctor(subparsers)
    answer_shell(parser)
    args = parser.parse_args(argv)
    try:
        return args.function(args)
    except EffwbError as error:
        print(f"effwb {args.command}: {in_terms_of_options(str(error), args)}", file=sys.stderr)
        return 2
    except OSError as error:  # a disk that is full or may not be written to
        print(f"effwb {args.command}: {cannot_write(error, args)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as interrupt:  # `errors.Interrupted` says where the next run continues
        message = str(interrupt) or "interrupted; run the same command again to continue"
        print(f"effwb {args.command}: {message}", file=sys.stderr)
        return 130
