"""The commands `effwb sweep` and `effwb plan`: a notebook on a grid of parameters, and what it will cost."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from effwb.cli.commands import add_command, load_frontier, saved_frontier
from effwb.cli.completion import completed_by, frontiers, gpus, parameters
from effwb.cli.options import directory, positive
from effwb.errors import ConfigError, one_of

if TYPE_CHECKING:
    import pandas as pd

SWEEP_EXAMPLES = """\
examples:
  effwb sweep notebooks/10_grpo_any_design.ipynb -a design=vanilla,lead -a seed=0,1,2 -o data/runs/first
  effwb sweep notebooks/10_grpo_any_design.ipynb -a "design_params={weight: 0.2},{weight: 0.4}" \\
      -p design=kimi -p "training={kl: 0.001}" -j 2 -o data/runs/weights
  effwb sweep grid.yaml                 notebook, axes, out and, as needed, fixed, jobs, gpus, ray, retry
  effwb sweep grid.yaml --ray           on the Ray cluster of this machine (ray start, or RAY_ADDRESS)
  effwb sweep -o data/runs/first        print the state of the sweep; runs nothing
  effwb sweep -o data/runs/first --frontier data/pocket/frontier.json

REG of the whole table is measured against one frontier: the best of all its runs, or --frontier.
Run the same command again to continue after a kill. Values are YAML. A list needs brackets; a text with
a comma, or one that looks like a number, needs quotes: -a "seeds=[0],[1]" -a "name='1','a, b'".
"""
PLAN_EXAMPLES = """\
examples:
  effwb plan notebooks/31_lead.ipynb                                       this machine, a short run
  effwb plan notebooks/31_lead.ipynb -p profile=r1-qwen-1.5b -p "seeds=[0,1,2]" --gpu h100
  effwb plan notebooks/10_grpo_any_design.ipynb -a design=vanilla,lead -a seed=0,1,2 --gpu h200 --length 6000
  effwb plan notebooks/20_reo_rl.ipynb -p profile=qwen3-4b --gpu a100-80gb --calibrate     rates of this GPU

The estimate depends most on the mean length of a rollout: without --length or a measurement it is assumed to
be a quarter of the cap. Not counted: prompts, forced answers that a design rewards, refilled groups and
previews.
"""


def add_sweep(subparsers: Any) -> None:
    """Add the command `effwb sweep`."""
    parser = add_command(subparsers, run_sweep, "run a notebook on a grid of parameters", SWEEP_EXAMPLES)
    add = parser.add_argument
    add("notebook", nargs="?", help="a notebook, or a .yaml file that describes the sweep")
    _add_grid_options(parser)
    add("-o", "--out", type=directory, help="directory of the sweep; each point has a directory in it")
    add("-j", "--jobs", type=int, help="points at a time (default 1), each with its own GPUs or cores")
    add("--gpus", type=int, help="GPUs of each point, if there are any (default 1)")
    add("--ray", nargs="?", const=True, metavar="ADDRESS", help="run the points on a Ray cluster")
    add("--retry", action="store_true", help="run failed points again")
    frontier_help = "what REG is measured against: a saved frontier or the name of a published one"
    completed_by(add("--frontier", help=frontier_help), frontiers)


def run_sweep(args: argparse.Namespace) -> int:
    """Run a sweep, or print the state of one, and return 1 if a point failed."""
    from effwb import sweep
    from effwb.runs import write_atomic

    arguments = _sweep_arguments(args) if args.notebook else {"out": args.out}
    if not arguments.get("out"):
        raise ConfigError("missing output directory: pass -o data/runs/<name>")
    if args.notebook:
        if not arguments.get("notebook"):
            raise ConfigError(f"{args.notebook} does not name the notebook to run: add the key notebook")
        if not arguments["axes"]:
            raise ConfigError(
                "a sweep needs at least one axis: pass -a NAME=V1,V2 (for a single run use papermill)"
            )
    frontier = None
    if args.frontier is not None:
        saved_frontier(args.frontier)  # refused now, not after hours
        frontier = partial(load_frontier, args.frontier)
    table = sweep.run(**arguments) if args.notebook else None
    if table is None or frontier is not None:
        table = sweep.table(arguments["out"], frontier)
    _print(table)
    if args.notebook:
        write_atomic(Path(arguments["out"]) / "table.csv", table.to_csv(index=False).encode())
        print(f"\nThe table: {Path(arguments['out']) / 'table.csv'}")
    return int((table["status"] == "failed").any())


def _print(table: pd.DataFrame) -> None:
    from effwb.analysis.comparison import ACCURACY_AND_J
    from effwb.sweep.shared_frontier import caption

    if shared := shared_parameters(table):
        print(f"at every point: {', '.join(f'{name}={value}' for name, value in shared.items())}\n")
    print(in_columns(table).to_string(index=False, max_colwidth=40))
    if line := caption(table):
        has_both = "accuracy" in table and any(str(name).startswith("J(") for name in table)
        print(f"\n{line}", *([ACCURACY_AND_J] if has_both else []), sep="\n")


def in_columns(table: pd.DataFrame) -> pd.DataFrame:
    """The table of a sweep as it is printed: intervals behind their values, and no column that is empty.

    Parameters are printed as they were given, those that all points share in `shared_parameters`. What the
    table says twice, and the frontier, are left out.
    """
    from effwb.export.text_tables import readable
    from effwb.sweep.shared_frontier import FRONTIER

    parameters = _parameter_texts(table)
    texts = readable(table.assign(**parameters), {"seconds": 0})
    twice = {FRONTIER, "run", *shared_parameters(table)}
    twice |= {name for name in texts if name.startswith("result/") and name[7:] in parameters}
    return texts[[name for name in texts if name not in twice and (texts[name] != "").any()]]


def shared_parameters(table: pd.DataFrame) -> dict[str, str]:
    """The parameters that have one value in all rows, as text by name; {} for a single row."""
    texts = _parameter_texts(table)
    return {name: column[0] for name, column in texts.items() if len(table) > 1 and len(set(column)) == 1}


def _parameter_texts(table: pd.DataFrame) -> dict[str, list[str]]:
    names = list(table.columns[1 : table.columns.get_loc("status")])
    return {name: ["" if v is None or v != v else str(v) for v in table[name]] for name in names}


def _sweep_arguments(args: argparse.Namespace) -> dict[str, Any]:
    """The arguments of `effwb.sweep.run`: those of the YAML file, then those of the options."""
    from effwb.sweep import read_file

    is_file = args.notebook.endswith((".yaml", ".yml"))
    arguments = read_file(args.notebook) if is_file else {"notebook": args.notebook}
    axes, fixed = _read_grid(args)
    arguments["axes"] = {**(arguments.get("axes") or {}), **axes}
    arguments["fixed"] = {**(arguments.get("fixed") or {}), **fixed}
    options = {name: getattr(args, name) for name in ("out", "jobs", "gpus", "ray")}
    options["retry"] = args.retry or None
    return arguments | {name: value for name, value in options.items() if value is not None}


def add_plan(subparsers: Any) -> None:
    """Add the command `effwb plan`."""
    summary = "estimate tokens, hours and memory before a notebook or sweep"
    parser = add_command(subparsers, run_plan, summary, PLAN_EXAMPLES)
    add = parser.add_argument
    add("notebook", help="a notebook whose metadata say how many trainings and evaluations it does")
    _add_grid_options(parser)
    gpu_help = "a name in effwb.sweep.estimate.GPUS; default: a short run on this machine"
    completed_by(add("--gpu", help=gpu_help), gpus)
    add("--calibrate", action="store_true", help="measure the rates in a short run here, even with --gpu")
    add("--length", type=positive, help="mean length of a rollout in tokens")


def run_plan(args: argparse.Namespace) -> int:
    """Print the estimate for a notebook, or for all points of a sweep."""
    from effwb.notebook import profile_of
    from effwb.sweep import estimate
    from effwb.sweep.parameters import declared_parameters, grid_points

    if args.gpu is not None:  # before a short run that takes minutes
        one_of("gpu", args.gpu, estimate.GPUS)
    declared, (axes, fixed) = declared_parameters(args.notebook), _read_grid(args)
    axes |= {name: [value] for name, value in fixed.items()}
    points = [{**declared, **point} for point in (grid_points(declared, axes).values() if axes else [{}])]
    point_profiles = [profile_of(point) for point in points]
    profile = point_profiles[0]
    if any(other.model != profile.model for other in point_profiles):
        raise ConfigError("all points of a plan must have one model; run effwb plan once for each profile")
    counts = [estimate.counts(args.notebook, point) for point in points]
    for count, point_profile in zip(counts, point_profiles, strict=True):
        estimate.work(count, point_profile, args.length)  # refuses what it refuses before a run of minutes
    if args.calibrate or not args.gpu:
        rates = estimate.calibrate(profile)
    else:
        rates = estimate.roofline(estimate.shape_of(profile.model), profile, args.gpu, args.length)
    length = args.length or rates.length
    first, *others = (
        estimate.work(count, point_profile, length)
        for count, point_profile in zip(counts, point_profiles, strict=True)
    )
    print(estimate.report(sum(others, first), rates, profile, args.gpu))
    return 0


def _add_grid_options(parser: argparse.ArgumentParser) -> None:
    for flags, metavar, text in (
        (("-a", "--axis"), "NAME=V1,V2", "one axis of the grid: a parameter and its values; repeatable"),
        (("-p", "--parameter"), "NAME=V", "a parameter with the same value at every point; repeatable"),
    ):
        option = parser.add_argument(*flags, action="append", default=[], metavar=metavar, help=text)
        completed_by(option, parameters)


def _read_grid(args: argparse.Namespace) -> tuple[dict[str, list], dict[str, Any]]:
    """Axes and fixed parameters of the options."""
    from effwb.sweep.parameters import read_values

    axes = {name: read_values(text) for name, text in map(_split_option, args.axis)}
    fixed = {}
    for name, text in map(_split_option, args.parameter):
        values = read_values(text)
        if len(values) != 1:
            raise ConfigError(
                f"-p {name} takes one value, got {values}; for several values pass -a {name}=..., and put "
                "quotes around a text with a comma"
            )
        fixed[name] = values[0]
    return axes, fixed


def _split_option(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise ConfigError(f"{text!r} is not NAME=VALUE")
    return name, value
