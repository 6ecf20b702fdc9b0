"""The commands `effwb eval`, `train`, `reg`, `regrade`, `export`, `report` and `doctor`.

Of each command, the examples, the options and the function that runs it stand together.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from effwb._internal.processes import end_with_parent
from effwb.cli.completion import completed_by, engines, frontiers, profiles, recipes
from effwb.cli.options import count, directory, file_to_write, new_file, not_negative, positive, seed
from effwb.errors import one_of

if TYPE_CHECKING:
    from effwb.analysis import RunSet
    from effwb.frontier import Frontier


def add_command(
    subparsers: Any, run: Callable[[argparse.Namespace], int], summary: str, examples: str = ""
) -> argparse.ArgumentParser:
    """Add a command and return its parser.

    Args:
        subparsers: The subparsers of `effwb`.
        run: The function `run_<command>`; it takes the arguments and returns the exit status.
        summary: The help in one line.
        examples: Printed at the end of its help.
    """
    parser = subparsers.add_parser(
        run.__name__.removeprefix("run_"),
        help=summary,
        description=summary[0].upper() + summary[1:],
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(function=run)
    return parser


EVAL_EXAMPLES = """\
examples:
  effwb eval -o data/runs/free
  effwb eval -o data/runs/low --effort low --n-problems 70
  effwb eval -o data/runs/trained --model data/runs/training/pocket/kimi-seed0/model
  effwb eval -o data/runs/qwen --profile qwen3-0.6b --engine vllm --max-tokens 16384
  effwb eval -o data/runs/aime --profile qwen3-0.6b --problems aime24+aime25+amc23
  effwb eval -o data/runs/qwen --profile qwen3-0.6b --engine server --url http://gpu-box:8000/v1

Run the same command again to continue after a kill.
"""


def add_eval(subparsers: Any) -> None:
    """Add the command `effwb eval`."""
    summary = "sample a model, force answers at every budget, and measure"
    add = add_command(subparsers, run_eval, summary, EVAL_EXAMPLES).add_argument
    add("-o", "--out", type=directory, required=True, help="run directory")
    profile_help = "scale: a name in effwb.profiles.PROFILES (default pocket)"
    completed_by(add("--profile", default="pocket", help=profile_help), profiles)
    add("--model", help="a hub id, or a directory with weights; default: the profile's")
    add(
        "--problems",
        help="source of the problems, several joined by + (effwb.problems.load); default: the profile's",
    )
    n_problems_help = "problems, at most so many of each of several; default: the profile's, all of a file"
    add("--n-problems", type=count, help=n_problems_help)
    add("--n-samples", type=count, help="rollouts per problem; default: the profile's")
    add("--max-tokens", type=count, help="cap of a rollout in tokens; default: the profile's")
    add("--temperature", type=not_negative, help="0 is greedy; default: the profile's")
    engine_help = "a name in effwb.samplers.SAMPLERS; default: the profile's"
    completed_by(add("--engine", help=engine_help), engines)
    add("--url", help="address for --engine server; default: the environment variable EFFWB_SERVER_URL")
    add("--effort", help="an effort prompt: low, medium, high")
    add(
        "--seed", type=seed, default=0, help="seed of the choice of problems and of every rollout (default 0)"
    )
    trust_help = "run code that comes with the model; read it first"
    add("--trust-remote-code", action="store_true", default=None, help=trust_help)
    add(
        "--snap",
        type=count,
        help="cut rollouts down to whole blocks of this many tokens, as a prefix cache has",
    )


def run_eval(args: argparse.Namespace) -> int:
    """Evaluate a model and print its accuracy and mean lengths."""
    from effwb import problems, profiles
    from effwb.evaluation import evaluate
    from effwb.samplers import open_sampler

    fields = ("model", "problems", "n_problems", "n_samples", "max_tokens", "temperature", "engine")
    overrides = {name: getattr(args, name) for name in (*fields, "trust_remote_code")}
    profile = profiles.profile(args.profile, **overrides)
    is_own_file = args.problems is not None and Path(args.problems).suffix in (".jsonl", ".parquet")
    n = args.n_problems if is_own_file else profile.n_problems
    eval_problems = problems.load(profile.problems, n=n, seed=args.seed)
    options = profile.sampler_options | ({"url": args.url} if args.url else {})
    with open_sampler(profile.model, profile.engine, **options) as sampler:
        choices = {"seed": args.seed, "effort": args.effort, "snap": args.snap}
        evaluation = evaluate(eval_problems, sampler, profile, run_dir=args.out, **choices)
    print(evaluation.caption())
    print(evaluation.summaries().round(3).to_string(index=False))
    if sampler.engine != "transformers" and sampler.prefix_tokens:
        print(f"of the tokens before forced answers {sampler.cached_share:.3f} came from the prefix cache")
    return 0


TRAIN_EXAMPLES = """\
examples:
  effwb train lead.json
  {"design": "lead", "design_params": {"b_min": 1000}, "profile": "r1-qwen-1.5b", "problems": "deepscaler",
   "run_dir": "data/runs/lead", "training": {"steps": 100, "processes": 4}}

The settings are those of the design's paper on a real profile ("recipe": "paper"); what the run has not of
the paper's experiment is printed first.
With several processes, accelerate is started with your own config, or the file training.accelerate_config.
Run the same command again to continue after a kill.
"""


def add_train(subparsers: Any) -> None:
    """Add the command `effwb train`."""
    add = add_command(subparsers, run_train, "train a model as a JSON file says", TRAIN_EXAMPLES).add_argument
    add("config", type=Path, help="JSON file with the arguments of effwb.training.train")
    recipe_help = "paper, pocket, or a design whose paper's settings are used; default: the file's"
    completed_by(add("--recipe", help=recipe_help), recipes)
    add("--child", action="store_true", help=argparse.SUPPRESS)  # one of several processes


def run_train(args: argparse.Namespace) -> int:
    """Train a model and print its directory."""
    from effwb.training.job import run_job

    if args.child:
        end_with_parent()
    result = run_job(args.config, watch="none" if args.child else "lines", recipe=args.recipe)
    if not args.child:
        print(f"the model: {result.model}")
    return 0


REG_EXAMPLES = """\
examples:
  effwb reg data/runs/quickstart                              against the best of these curves
  effwb reg data/runs/free --frontier data/pocket/frontier.json
  effwb reg data/runs/qwen --frontier qwen3-8b --csv reg.csv  against a published one
"""


def add_reg(subparsers: Any) -> None:
    """Add the command `effwb reg`."""
    summary = "the gap (REG) of every finished evaluation below a directory to a frontier"
    add = add_command(subparsers, run_reg, summary, REG_EXAMPLES).add_argument
    add("runs", type=Path, help="a finished evaluation, or a directory that holds some")
    frontier_help = "a saved frontier or the name of a published one; default: the best of these runs"
    completed_by(add("--frontier", help=frontier_help), frontiers)
    add("--l-max", type=count, help="the last budget that counts; default: the frontier's last")
    largest_help = "if the runs cannot all be compared, use the largest set that can"
    add("--largest", action="store_true", help=largest_help)
    add("--csv", type=file_to_write, help="write the table to this file as well")


def run_reg(args: argparse.Namespace) -> int:
    """Print the REG of finished evaluations."""
    from effwb.analysis import RunSet
    from effwb.analysis.comparison import ACCURACY_AND_J
    from effwb.export.text_tables import readable

    runs = RunSet.find(args.runs)
    runs = runs.largest() if args.largest else runs.check_alike()
    frontier = load_frontier(args.frontier, runs) if args.frontier else runs.frontier()
    l_max = args.l_max or int(frontier.budgets[-1])
    table = runs.reg(frontier, l_max).drop(columns=["name", "seed"]).rename(columns={"run": "name"})
    print(f"REG to {l_max} tokens against {frontier.name} [95 % over problems], accuracy x tokens")
    print(readable(table).to_string(index=False))
    print(f"\n{ACCURACY_AND_J}")
    if args.csv:
        table.to_csv(args.csv, index=False)
    return 0


def load_frontier(name: str, runs: RunSet) -> Frontier:
    """A frontier saved as .json, or the published one of the runs' benchmarks."""
    from effwb.analysis.benchmark_tables import published_frontier

    return saved_frontier(name) or published_frontier(name, runs)


def saved_frontier(name: str) -> Frontier | None:
    """A frontier saved as .json; None for the name of a published one, and `ConfigError` for any other."""
    from effwb.frontier import MODELS, Frontier

    if Path(name).suffix == ".json":
        return Frontier.load(name)
    one_of("frontier", name, (*MODELS, "a .json file"))
    return None


REGRADE_EXAMPLES = """\
examples:
  effwb regrade data/runs/free
  effwb regrade data/runs/free --timeout 20 --csv changed.csv

Nothing in the run changes. Forced answers are not graded again.
"""


def add_regrade(subparsers: Any) -> None:
    """Add the command `effwb regrade`."""
    summary = "grade stored rollouts again with the current verifier"
    add = add_command(subparsers, run_regrade, summary, REGRADE_EXAMPLES).add_argument
    add("run", type=Path, help="a run directory with finished rollouts")
    add("--timeout", type=positive, default=5.0, help="seconds per answer (default 5)")
    add("--csv", type=file_to_write, help="write the rollouts whose verdict changed to this file")


def run_regrade(args: argparse.Namespace) -> int:
    """Grade the rollouts of a run again and print what changed."""
    import pandas as pd

    from effwb import rollouts

    columns = ["problem_id", "sample", "extracted", "verdict"]
    stored = rollouts.read_rollouts(args.run, columns)
    now = rollouts.regrade(args.run, args.timeout)[columns]
    print(pd.crosstab(stored["verdict"].rename("stored"), now["verdict"].rename("now")).to_string())
    changed = stored.merge(now, on=columns[:2], suffixes=(" stored", " now"))
    changed = changed[changed["verdict stored"] != changed["verdict now"]]
    print(f"\n{len(changed)} of {len(stored)} verdicts changed")
    if len(changed):
        print(changed.head(20).to_string(index=False, max_colwidth=40))
    if args.csv:
        changed.to_csv(args.csv, index=False)
    return 0


EXPORT_EXAMPLES = """\
examples:
  effwb export figures/23_*.html --column icml             PDF as wide as a column, text of 8 points
  effwb export figures/*.html --to pdf svg png --column neurips --points 9 -o paper
  effwb export figures/23_curves.html --column acl --font sans --height 2.5
  effwb export figures/23_reg.csv                          LaTeX (booktabs) and Markdown
  effwb export figures/23_owners.html --to html            opens without a network

Takes the figures that notebooks write as HTML; the CSV beside a figure is copied along with it.
"""


def add_export(subparsers: Any) -> None:
    """Add the command `effwb export`."""
    summary = "convert figures and tables to the formats of papers"
    add = add_command(subparsers, run_export, summary, EXPORT_EXAMPLES).add_argument
    add("files", type=Path, nargs="+", help=".html figures and .csv tables")
    add("--to", nargs="+", help="html pdf svg png for figures (default pdf), tex md for tables (both)")
    add("--column", default="neurips", help="width: a name in effwb.export.COLUMNS (default neurips)")
    add("--points", type=positive, default=8, help="size of the text when printed (default 8)")
    add("--font", choices=("times", "sans"), help="letters of images (default times; sans on slides)")
    add("--height", type=positive, help="height of images in inches (default: what panels and legend need)")
    add("-o", "--out", type=directory, help="output directory; default: beside each file")


def run_export(args: argparse.Namespace) -> int:
    """Convert figures and tables and print the files written."""
    from effwb import export

    layout = {name: getattr(args, name) for name in ("column", "points", "font", "height")}
    for path in export.convert(args.files, args.to, args.out, **layout):
        print(path)
    return 0


REPORT_EXAMPLES = """\
examples:
  effwb report data/runs/quickstart                                    all evaluations below it, at most 12
  effwb report data/runs/free data/runs/trained -o trained.html --base free
  effwb report data/runs/free --frontier data/pocket/frontier.json --l-max 256

One HTML file of about 5 MB that opens without Python and without a network.
"""


def add_report(subparsers: Any) -> None:
    """Add the command `effwb report`."""
    summary = "write one HTML page about some runs, to send to somebody"
    add = add_command(subparsers, run_report, summary, REPORT_EXAMPLES).add_argument
    add("runs", type=Path, nargs="+", help="finished evaluations, or directories that hold some")
    add(
        "-o",
        "--out",
        type=new_file,
        default=Path("report.html"),
        help="output file (default report.html)",
    )
    frontier_help = "a saved frontier or the name of a published one; default: the best of these runs"
    completed_by(add("--frontier", help=frontier_help), frontiers)
    add("--l-max", type=count, help="the last budget that counts; default: the last of the runs")
    add("--base", help="the baseline run for AES; default: the first")
    add("--title", default="", help="default: the names of the runs")


def run_report(args: argparse.Namespace) -> int:
    """Write an HTML report and print its path."""
    from effwb.analysis.html_report import write_report
    from effwb.analysis.run_set import RunSet

    runs = RunSet.find(*args.runs)
    frontier = load_frontier(args.frontier, runs) if args.frontier else None
    print(write_report(runs, args.out, frontier, l_max=args.l_max, base=args.base, title=args.title))
    return 0


def add_doctor(subparsers: Any) -> None:
    """Add the command `effwb doctor`."""
    add_command(subparsers, run_doctor, "say what works on this machine, what does not, and how to fix it")


def run_doctor(args: argparse.Namespace) -> int:
    """Print all checks of the machine, and return 1 if something is broken."""
    from effwb.cli.doctor import checks

    broken = 0
    for check in checks():
        broken += check.state == "broken"
        print(f"{check.state:8} {check.name:17} {check.detail}", flush=True)
        if check.fix:
            print(f"{'':26} -> {check.fix}")
    print(f"\n{broken} broken" if broken else "\nnothing broken")
    return int(broken > 0)
