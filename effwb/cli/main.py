"""The command `effwb`: sweeps, evaluations, REG, verdicts anew, and a look at the machine."""

import argparse
import sys
from pathlib import Path

from effwb import __version__
from effwb._internal.processes import end_with_parent
from effwb.errors import ConfigError, EffwbError

ABOUT = "How few tokens does a reasoning model need to be right, and which training makes it need fewer?"
SWEEP = """\
examples:
  effwb sweep notebooks/10_grpo_any_design.ipynb -a design=vanilla,lead -a seed=0,1,2 -o data/runs/first
  effwb sweep notebooks/10_grpo_any_design.ipynb -a "design_params={weight: 0.2},{weight: 0.4}" \\
      -p design=kimi -p "training={kl: 0.001}" -j 2 -o data/runs/weights
  effwb sweep grid.yaml                 notebook, axes, out and, as needed, fixed, jobs, gpus, ray, retry
  effwb sweep grid.yaml --ray           on the Ray cluster of this machine (ray start, or RAY_ADDRESS)
  effwb sweep -o data/runs/first        how it stands; runs nothing

Run the same command again to continue after a kill. Values are YAML: a comma inside a text, a list of one
or a text that looks like a number needs quotes or brackets: -a "seeds=[0],[1]" -a "name='1','a, b'".
"""
PLAN = """\
examples:
  effwb plan notebooks/31_lead.ipynb                                       this machine, a short run
  effwb plan notebooks/31_lead.ipynb -p profile=r1-qwen-1.5b -p "seeds=[0,1,2]" --gpu h100
  effwb plan notebooks/10_grpo_any_design.ipynb -a design=vanilla,lead -a seed=0,1,2 --gpu h200 --length 6000
  effwb plan notebooks/20_reo_rl.ipynb -p profile=qwen3-4b --gpu a100-80gb --calibrate     rates of this GPU

The mean length of a rollout decides the most: without --length or a measurement it is a quarter of the cap.
Not counted: prompts, forced answers that a design rewards, refilled groups, previews.
"""
EVAL = """\
examples:
  effwb eval -o data/runs/free
  effwb eval -o data/runs/low --effort low --n-problems 70
  effwb eval -o data/runs/trained --model data/runs/training/pocket/kimi-seed0/model
  effwb eval -o data/runs/qwen --profile qwen3-0.6b --engine vllm --max-tokens 16384
  effwb eval -o data/runs/qwen --profile qwen3-0.6b --engine server --url http://gpu-box:8000/v1

Run the same command again to continue after a kill.
"""
TRAIN = """\
examples:
  effwb train lead.json
  {"design": "lead", "design_params": {"b_min": 1000}, "profile": "r1-qwen-1.5b", "problems": "deepscaler",
   "run_dir": "data/runs/lead", "training": {"steps": 100, "processes": 4}}

More than one process starts accelerate with your config, or the file training.accelerate_config.
Run the same command again to continue after a kill.
"""
REG = """\
examples:
  effwb reg data/runs/quickstart                              against the best of these curves
  effwb reg data/runs/free --frontier data/pocket/frontier.json
  effwb reg data/runs/qwen --frontier qwen3-8b --csv reg.csv  against a published one
"""
REGRADE = """\
examples:
  effwb regrade data/runs/free
  effwb regrade data/runs/free --timeout 20 --csv changed.csv

Nothing in the run changes. Forced answers are not graded again.
"""
EXPORT = """\
examples:
  effwb export figures/23_*.html --column icml             PDF of a column's width, text of 8 points
  effwb export figures/*.html --to pdf svg png --column neurips --points 9 -o paper
  effwb export figures/23_reg.csv                          LaTeX (booktabs) and Markdown
  effwb export figures/23_owners.html --to html            opens without a network

Figures are those that notebooks leave as HTML; the CSV beside one is copied along with it.
"""
REPORT = """\
examples:
  effwb report data/runs/quickstart                                    all evaluations below it, at most 12
  effwb report data/runs/free data/runs/trained -o trained.html --base free
  effwb report data/runs/free --frontier data/pocket/frontier.json --l-max 256

One HTML file of about 5 MB that opens without Python and without a network.
"""


def main(argv: list[str] | None = None) -> int:
    """Run a command line; its exit status: 0, 1 where something failed, 2 for what was asked wrongly."""
    asked = _parser().parse_args(argv)
    try:
        return asked.command(asked)
    except EffwbError as error:
        print(f"effwb {asked.name}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command continues", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="effwb", description=ABOUT)
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="name", required=True, metavar="command")

    def command(run, summary: str, examples: str = "") -> argparse.ArgumentParser:
        form = argparse.RawDescriptionHelpFormatter
        added = commands.add_parser(
            run.__name__.removeprefix("run_"),
            help=summary,
            description=summary[0].upper() + summary[1:],
            epilog=examples,
            formatter_class=form,
        )
        added.set_defaults(command=run)
        return added

    _sweep_arguments(command(run_sweep, "run a notebook on a grid of parameters", SWEEP))
    _plan_arguments(command(run_plan, "estimate tokens, hours and memory before a notebook or sweep", PLAN))
    _eval_arguments(command(run_eval, "sample a model, force its answers at every budget, and measure", EVAL))
    one = command(run_train, "train a model as a JSON file says", TRAIN)
    one.add_argument("config", type=Path, help="the arguments of effwb.training.train as JSON")
    one.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    one = command(run_reg, "the gap (REG) of every finished evaluation below a directory to a frontier", REG)
    one.add_argument("runs", type=Path, help="a finished evaluation, or a directory that holds some")
    one.add_argument("--frontier", help="a saved frontier or the name of a published one")
    one.add_argument("--l-max", type=int, help="last budget that counts; default: the frontier's last")
    one.add_argument("--largest", action="store_true", help="of runs not measured alike: the largest set")
    one.add_argument("--csv", type=Path, help="write the table here as well")
    one = command(run_regrade, "grade stored rollouts again with the verifier as it is now", REGRADE)
    one.add_argument("run", type=Path, help="a run directory with finished rollouts")
    one.add_argument("--timeout", type=float, default=5.0, help="seconds per answer (default 5)")
    one.add_argument("--csv", type=Path, help="write the rollouts whose verdict changed here")
    one = command(run_export, "figures and tables as a paper wants them", EXPORT)
    one.add_argument("files", type=Path, nargs="+", help=".html figures and .csv tables")
    one.add_argument(
        "--to", nargs="+", help="html pdf svg png for figures (default pdf), tex md for tables (both)"
    )
    one.add_argument(
        "--column", default="neurips", help="how wide: a name in effwb.export.COLUMNS (default neurips)"
    )
    one.add_argument("--points", type=float, default=8, help="size of the text when printed (default 8)")
    one.add_argument("-o", "--out", type=Path, help="directory; default: beside each file")
    one = command(run_report, "one HTML page about some runs, to be sent to somebody", REPORT)
    one.add_argument("runs", type=Path, nargs="+", help="finished evaluations, or directories that hold some")
    one.add_argument("-o", "--out", type=Path, default=Path("report.html"), help="default report.html")
    one.add_argument("--frontier", help="a saved frontier or a published one; default: the best of these")
    one.add_argument("--l-max", type=int, help="last budget that counts; default: the last there is")
    one.add_argument("--base", help="the run that AES is against; default: the first")
    one.add_argument("--title", default="", help="default: the names of the runs")
    command(run_doctor, "say what works on this machine, what does not, and how to fix it")
    return parser


def _sweep_arguments(one: argparse.ArgumentParser) -> None:
    add = one.add_argument
    add("notebook", nargs="?", help="a notebook, or a .yaml file that describes the sweep")
    _grid_arguments(one)
    add("-o", "--out", help="directory of the sweep; one directory per point in it")
    add("-j", "--jobs", type=int, help="points at a time (default 1), each with GPUs or cores of its own")
    add("--gpus", type=int, help="GPUs of each point, where there are any (default 1)")
    add("--ray", nargs="?", const=True, metavar="ADDRESS", help="run the points on a Ray cluster")
    add("--retry", action="store_true", help="run failed points again")


def _grid_arguments(one: argparse.ArgumentParser) -> None:
    add = one.add_argument
    add("-a", "--axis", action="append", default=[], metavar="NAME=V1,V2", help="an axis; repeatable")
    add("-p", "--parameter", action="append", default=[], metavar="NAME=V", help="fixed; repeatable")


def _plan_arguments(one: argparse.ArgumentParser) -> None:
    add = one.add_argument
    add("notebook", help="a notebook that says in its metadata what it does")
    _grid_arguments(one)
    add("--gpu", help="a name in effwb.sweep.estimate.GPUS; default: a short run on this machine")
    add("--calibrate", action="store_true", help="take the rates from a short run here, whatever the GPU")
    add("--length", type=float, help="mean length of a rollout in tokens")


def _eval_arguments(one: argparse.ArgumentParser) -> None:
    add = one.add_argument
    add("-o", "--out", type=Path, required=True, help="the run directory")
    add("--profile", default="pocket", help="scale, a name in effwb.profiles.PROFILES (default pocket)")
    add("--model", help="a hub id, or a directory with weights; default: the profile's")
    add("--problems", help="where they come from (effwb.problems.load); default: the profile's")
    for name, kind in (("n-problems", int), ("n-samples", int), ("max-tokens", int), ("temperature", float)):
        add(f"--{name}", type=kind, help="default: the profile's")
    add("--engine", help="a name in effwb.samplers.SAMPLERS; default: the profile's")
    add("--url", help="of engine server; default: the environment variable EFFWB_SERVER_URL")
    add("--effort", help="an effort prompt: low, medium, high")
    add("--seed", type=int, default=0, help="of the problems and of every rollout (default 0)")
    add("--snap", type=int, help="cut rollouts down to whole blocks of so many tokens, as a prefix cache has")


def run_sweep(asked) -> int:
    from effwb import sweep

    given = _sweep_file(asked) if asked.notebook else {"out": asked.out}
    if not given.get("out"):
        raise ConfigError("where to? give a directory: -o data/runs/<name>")
    if asked.notebook:
        if "notebook" not in given:
            raise ConfigError(f"{asked.notebook} does not name the notebook to run")
        table = sweep.run(**{"axes": {}, **given})
        table.to_csv(Path(given["out"]) / "table.csv", index=False)
    else:
        table = sweep.table(given["out"])
    print(table.to_string(index=False, max_colwidth=40, na_rep=""))
    if asked.notebook:
        print(f"\nThe table: {Path(given['out']) / 'table.csv'}")
    return int((table["status"] == "failed").any())


def _sweep_file(asked) -> dict:
    """The arguments of `effwb.sweep.run`: those of a file, and over them those of the command line."""
    from effwb.sweep import read_file

    described = asked.notebook.endswith((".yaml", ".yml"))
    given = read_file(asked.notebook) if described else {"notebook": asked.notebook}
    axes, fixed = _grid(asked)
    given["axes"] = {**(given.get("axes") or {}), **axes}
    given["fixed"] = {**(given.get("fixed") or {}), **fixed}
    own = {
        "out": asked.out,
        "jobs": asked.jobs,
        "gpus": asked.gpus,
        "ray": asked.ray,
        "retry": asked.retry or None,
    }
    return given | {name: value for name, value in own.items() if value is not None}


def run_plan(asked) -> int:
    from effwb.sweep import estimate

    points = _planned(asked)
    scales = [estimate.scale_of(point) for point in points]
    scale = scales[0]
    if any(other.model != scale.model for other in scales):
        raise ConfigError("the points of a plan must have one model; plan them one by one")
    if asked.calibrate or not asked.gpu:
        rates = estimate.calibrate(scale)
    else:
        rates = estimate.roofline(estimate.shape_of(scale.model), scale, asked.gpu, asked.length)
    length = asked.length or rates.length
    counts = [estimate.counts(asked.notebook, point) for point in points]
    done = [estimate.work(count, one, length) for count, one in zip(counts, scales, strict=True)]
    print(estimate.report(sum(done[1:], done[0]), rates, scale, asked.gpu))
    return 0


def _planned(asked) -> list[dict]:
    """The parameters of every point, defaults included, checked like those of a sweep."""
    from effwb.sweep.plan import declared_in, plan

    declared, (axes, fixed) = declared_in(asked.notebook), _grid(asked)
    axes |= {name: [value] for name, value in fixed.items()}
    return [{**declared, **one} for one in (plan(declared, axes).values() if axes else [{}])]


def _grid(asked) -> tuple[dict, dict]:
    """Axes and fixed parameters of the command line."""
    from effwb.sweep.plan import read_values

    axes = {name: read_values(text) for name, text in map(_pair, asked.axis)}
    return axes, {name: _single(name, read_values(text)) for name, text in map(_pair, asked.parameter)}


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise ConfigError(f"{text!r} is not NAME=VALUE")
    return name, value


def _single(name: str, values: list):
    if len(values) != 1:
        raise ConfigError(
            f"-p {name} takes one value, got {values}; for an axis use -a, for a text with a comma quotes"
        )
    return values[0]


def run_eval(asked) -> int:
    import pandas as pd

    from effwb import problems, profiles
    from effwb.evaluation import evaluate
    from effwb.samplers import open_sampler

    fields = ("model", "problems", "n_problems", "n_samples", "max_tokens", "temperature", "engine")
    scale = profiles.profile(asked.profile, **{name: getattr(asked, name) for name in fields})
    found = problems.load(scale.problems, n=scale.n_problems, seed=asked.seed)
    options = {"dtype": scale.dtype} | ({"url": asked.url} if asked.url else {})
    with open_sampler(scale.model, scale.engine, **options) as sampler:
        how = {"seed": asked.seed, "effort": asked.effort, "snap": asked.snap}
        done = evaluate(found, sampler, scale, run_dir=asked.out, **how)
    print(done.caption())
    print(pd.DataFrame([done.summary()]).round(3).to_string(index=False))
    if sampler.engine != "transformers" and sampler.prefix_tokens:
        print(f"of the tokens before forced answers {sampler.cached_share:.3f} came from the prefix cache")
    return 0


def run_train(asked) -> int:
    from effwb.training.job import run_job

    if asked.child:
        end_with_parent()
    done = run_job(asked.config, watch="none" if asked.child else "lines")
    if not asked.child:
        print(f"the model: {done.model}")
    return 0


def run_reg(asked) -> int:
    import pandas as pd

    from effwb.analysis.finished import finished_below
    from effwb.frontier import Frontier, reg_row

    curves = finished_below(asked.runs, largest=asked.largest)
    if not curves:
        raise ConfigError(f"no finished evaluation below {asked.runs}; effwb eval makes one")
    frontier = _frontier(asked.frontier) if asked.frontier else Frontier.from_curves(curves)
    l_max = asked.l_max or int(frontier.budgets[-1])
    table = pd.DataFrame([{"name": name, **reg_row(frontier, c, l_max)} for name, c in curves.items()])
    print(f"REG to {l_max} tokens against {frontier.name} [95 % over problems], accuracy x tokens")
    print(table.round(3).to_string(index=False))
    if asked.csv:
        table.to_csv(asked.csv, index=False)
    return 0


def _frontier(name: str):
    from effwb.errors import one_of
    from effwb.frontier import MODELS, Frontier

    if Path(name).suffix == ".json":
        return Frontier.load(name)
    one_of("frontier", name, (*MODELS, "a .json file"))
    return Frontier.published(name)


def run_export(asked) -> int:
    from effwb import export

    for path in export.convert(asked.files, asked.to, asked.out, column=asked.column, points=asked.points):
        print(path)
    return 0


def run_report(asked) -> int:
    from effwb.analysis.html_report import write_report
    from effwb.analysis.run_set import RunSet

    best = _frontier(asked.frontier) if asked.frontier else None
    how = {"l_max": asked.l_max, "base": asked.base, "title": asked.title}
    print(write_report(RunSet(*asked.runs), asked.out, best, **how))
    return 0


def run_regrade(asked) -> int:
    import pandas as pd

    from effwb import rollouts
    from effwb.runs import RunDir

    keys = ["problem_id", "sample", "extracted", "verdict"]
    old = RunDir(asked.run).read("rollouts", columns=keys)
    new = rollouts.regrade(asked.run, asked.timeout)[keys]
    print(pd.crosstab(old["verdict"].rename("stored"), new["verdict"].rename("now")).to_string())
    changed = old.merge(new, on=keys[:2], suffixes=(" stored", " now"))
    changed = changed[changed["verdict stored"] != changed["verdict now"]]
    print(f"\n{len(changed)} of {len(old)} verdicts changed")
    if len(changed):
        print(changed.head(20).to_string(index=False, max_colwidth=40))
    if asked.csv:
        changed.to_csv(asked.csv, index=False)
    return 0


def run_doctor(asked) -> int:
    from effwb.cli.doctor import checks

    broken = 0
    for check in checks():
        broken += check.state == "broken"
        print(f"{check.state:8} {check.what:17} {check.found}", flush=True)
        if check.fix:
            print(f"{'':26} -> {check.fix}")
    print(f"\n{broken} broken" if broken else "\nnothing broken")
    return int(broken > 0)


if __name__ == "__main__":
    sys.exit(main())
