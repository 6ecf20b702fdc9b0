"""The table of benchmarks in docs/benchmarks.md, from benchmarks/results/*.json.

    python -m benchmarks.table

Rewrites what stands between the two markers. A benchmark has a function that makes its row, what was measured
and what came out, from its results; one that has none yet is left out. No number is written here.
"""

import json
from pathlib import Path

from effwb.errors import DataError

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "benchmarks.md"
BEGIN, END = "<!-- benchmarks: made by python -m benchmarks.table -->", "<!-- /benchmarks -->"
Row = tuple[str, str]


def calculators(found: dict) -> Row:
    many, few = found["shapes"]
    seconds = [f"{of['bootstrap_seconds']:.2f} s over {of['problems']:,}" for of in (many, few)]
    times = [f"{of['bootstrap_ratio']:.0f}" for of in (many, few)]
    what = (
        f"REG with a bootstrap over problems, {many['resamples']:,} resamples, "
        f"{many['rollouts']:,} rollouts, {many['budgets']} budgets"
    )
    return what, (
        f"{seconds[0]} problems, {seconds[1]}{beside(found)}; {' and '.join(times)} times less than "
        f"resampling in pandas ({many['pandas_bootstrap_resamples_run']} resamples run, scaled)"
    )


def growth(found: dict) -> Row:
    rollouts, budgets, length = (found["axes"][axis] for axis in ("rollouts", "budgets", "length"))
    run = rollouts["points"][-1]
    cost = run["costs"]["analysis"]["all of it"]

    def both(axis: dict, key: str) -> str:
        of = axis["exponents"]["analysis"]["all of it"]
        return " and ".join(f"{of[name][key]:.2f}" for name in ("user seconds", "peak GB"))

    what = (
        f"curve, frontier of three runs, REG, AES and bands of a run on disk: {run['rollouts']:,} rollouts, "
        f"{run['budgets']} budgets, {run['probe rows']:,} forced answers"
    )
    return what, (
        f"{cost['user seconds']:.0f} s of user and {cost['system seconds']:.0f} s of system time"
        f"{beside(rollouts)}, {cost['peak GB']:.1f} GB at most; user time and memory grow with the number of "
        f"rollouts to the powers {both(rollouts, 'exponent')}, in the last step {both(rollouts, 'last')}; "
        f"{budgets['points'][-1]['budgets']} budgets cost {both(budgets, 'times')} times what "
        f"{budgets['points'][0]['budgets']} do, {length['points'][-1]['length']:,} tokens "
        f"{both(length, 'times')} times what {length['points'][0]['length']} do"
    )


def budget_sweep(found: dict) -> Row:
    runs = sorted(found.values(), key=lambda run: (run["settings"]["length"], run["settings"]["engine"]))
    parts = []
    for run in runs:
        given = run["settings"]
        name = f"{given['length']:,} tokens, `{given['engine']}`" + (
            f", cut down to blocks of {given['snap']}" if given["snap"] else ""
        )
        beyond = {
            "plain": "plain vLLM, budget by budget,",
            "naive": "`generate` from each cut text",
        }
        slower = [
            f"{said} {run[f'{way} probing / ours']:.1f}"
            for way, said in beyond.items()
            if run.get(f"{way} probing / ours")
        ]
        cached = run.get("prefix tokens from the cache")
        parts.append(
            f"{name}: {run['ours / sample']:.2f} times the sampling alone{beside(run)}, "
            f"{run['floor / ours']:.2f} times the speed of the floor"
            + (" (measured once)" if given["repeats"] == 1 else "")
            + (
                f", {cached:.3f} of the prefixes from the cache"
                if cached and given["engine"] == "vllm"
                else ""
            )
            + (f"; with its probing as 1: {', '.join(slower)}" if slower else "")
        )
    budgets = {run["settings"]["budgets"] for run in runs}
    what = f"rollouts of SmolLM2-135M with forced answers at {' or '.join(map(str, sorted(budgets)))} budgets"
    return what, ". ".join(parts)


def grpo_step(found: dict) -> Row:
    ways = {
        "effwb, engine trl": "of plain TRL with the same generator",
        "effwb, engine transformers": "with our decode loop",
        "effwb, engine vllm": "with vLLM on the CPU",
    }
    ratios = {way: of["ratio to plain TRL, per token"] for way, of in found["seconds per step"].items()}
    result = ", ".join(f"{ratios[way]:.2f} {said}" for way, said in ways.items() if way in ratios)
    return "a GRPO step, per sampled token", result


def reo_step(found: dict) -> Row:
    times = found["probing one round"]["naive / tree"]
    return "a REO-RL step with its forced answers", (
        f"{found['ratio']:.2f} of a vanilla step on the same rollouts; the forced answers alone "
        f"{times:.1f} times faster than generating from cut texts"
    )


def plan_error(found: dict) -> Row:
    of = [found["estimate / truth"][design] for design in ("vanilla", "lead")]
    told = [f"{ratio['seconds']:.2f}" for ratio in of]
    known = [f"{ratio['seconds, with the true mean length']:.2f}" for ratio in of]
    return "`effwb plan` after a short run, estimate to truth", (
        f"{told[0]} times the seconds for a design that keeps its length, {told[1]} for one that halves it "
        f"({' and '.join(known)} with the true mean length)"
    )


def explorer(found: dict) -> Row:
    slowest, times = max(found["reactions"].items(), key=lambda item: item[1]["worst"])
    opens, best = (found["seconds"][name][0] for name in ("open", "best of all runs, the first time"))
    return f"the explorer, {found['runs']:,} runs and {found['rollouts']:,} rollouts", (
        f"opens in {opens:.1f} s{beside(found)}, the slowest reaction ({slowest}) takes "
        f"{times['worst']:.2f} s; the best of all {found['runs']:,} runs takes {best:.0f} s, once"
    )


def verify(found: dict) -> Row:
    repeated, distinct = (found["inputs"][name] for name in ("repeated", "distinct"))
    times = [of["math-verify / ours"]["cpu"] for of in (repeated, distinct)]
    what = (
        f"{repeated['pairs']:,} verdicts on answers that repeat as forced answers do; "
        f"{distinct['pairs']:,} of which no two are alike"
    )
    return what, (
        f"{repeated['seconds, ours']:.0f} s{beside(found)}; math-verify one by one takes {times[0]:.0f} "
        f"times the CPU time, on the pairs that differ {times[1]:.1f} times"
    )


def imports(found: dict) -> Row:
    ours, ours_to_train, theirs, theirs_to_train = (
        found["seconds"][name] for name in ("effwb", "effwb, to train", "trl", "trl, to train")
    )
    return "`import effwb`, `import trl`", (
        f"{1000 * ours:.0f} ms, {1000 * theirs:.0f} ms{beside(found)}; with what training needs "
        f"{ours_to_train:.1f} s, {theirs_to_train:.0f} s"
    )


ROWS = {  # in the order of the table; the name is that of the module and of the file of its results
    "calculators": calculators,
    "growth": growth,
    "budget_sweep": budget_sweep,
    "grpo_step": grpo_step,
    "reo_step": reo_step,
    "plan_error": plan_error,
    "explorer": explorer,
    "verify": verify,
    "imports": imports,
}


def beside(found: dict) -> str:
    """What else the machine did where its load was above the number of its cores; else nothing."""
    machine = found["machine"]
    cores = machine.get("cores", machine.get("cpus"))
    if machine["load"][0] <= cores:
        return ""
    return " with other work on " + ("both cores" if cores == 2 else f"all {cores} cores")


def table(results: Path = HERE / "results") -> str:
    """The table as Markdown, a row for each of `ROWS` that has results."""
    lines = ["| benchmark | command | result |", "|---|---|---|"]
    for name, row in ROWS.items():
        file = results / f"{name}.json"
        if file.exists():
            what, result = row(json.loads(file.read_text()))
            lines.append(f"| {what} | `python -m benchmarks.{name}` | {result} |")
    return "\n".join(lines)


def written(text: str, made: str) -> str:
    """The text with `made` between its markers; `DataError` where they are not there, once each, in order."""
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise DataError(f"the page needs the lines {BEGIN!r} and {END!r}, once each and in this order")
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n\n{made}\n\n{END}{rest.split(END)[1]}"


def main() -> None:
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8"), table()), encoding="utf-8")


if __name__ == "__main__":
    main()
