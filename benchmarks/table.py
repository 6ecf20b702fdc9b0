"""Makes the table of docs/benchmarks.md from benchmarks/results/*.json.

    python -m benchmarks.table

Rewrites the text between the two markers of the page. Each benchmark has a function that turns its results
into its row: what was measured, and the result. A benchmark without results has no row. This file contains no
numbers.
"""

import json
from collections.abc import Callable
from pathlib import Path

from effwb.errors import DataError

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "benchmarks.md"
BEGIN, END = "<!-- benchmarks: made by python -m benchmarks.table -->", "<!-- /benchmarks -->"
Row = tuple[str, str]


def calculators(results: dict) -> Row:
    many, few = results["shapes"]
    seconds = [f"{shape['bootstrap_seconds']:.2f} s over {shape['problems']:,}" for shape in (many, few)]
    times = [f"{shape['bootstrap_ratio']:.0f}" for shape in (many, few)]
    measured = (
        f"REG with a bootstrap over problems, {many['resamples']:,} resamples, "
        f"{many['rollouts']:,} rollouts, {many['budgets']} budgets"
    )
    return measured, (
        f"{seconds[0]} problems, {seconds[1]}{other_work(results)}; {' and '.join(times)} times less than "
        f"resampling in pandas ({many['pandas_bootstrap_resamples_run']} resamples run, scaled)"
    )


def growth(results: dict) -> Row:
    rollouts, budgets, length = (results["axes"][axis] for axis in ("rollouts", "budgets", "length"))
    largest = rollouts["points"][-1]
    cost = largest["costs"]["analysis"]["all of it"]

    def time_and_memory(axis: dict, key: str) -> str:
        fits = axis["exponents"]["analysis"]["all of it"]
        return " and ".join(f"{fits[name][key]:.2f}" for name in ("user seconds", "peak GB"))

    measured = (
        f"curve, frontier of three runs, REG, AES and bands of a run on disk: {largest['rollouts']:,} "
        f"rollouts, {largest['budgets']} budgets, {largest['probe rows']:,} forced answers"
    )
    return measured, (
        f"{cost['user seconds']:.0f} s of user and {cost['system seconds']:.0f} s of system time"
        f"{other_work(rollouts)}, {cost['peak GB']:.1f} GB at most; user time and memory grow with the "
        f"number of rollouts to the powers {time_and_memory(rollouts, 'exponent')}, in the last step "
        f"{time_and_memory(rollouts, 'last')}; {budgets['points'][-1]['budgets']} budgets cost "
        f"{time_and_memory(budgets, 'times')} times what {budgets['points'][0]['budgets']} do, "
        f"{length['points'][-1]['length']:,} tokens {time_and_memory(length, 'times')} times what "
        f"{length['points'][0]['length']} do"
    )


def budget_sweep(results: dict) -> Row:
    runs = sorted(results.values(), key=lambda run: (run["settings"]["length"], run["settings"]["engine"]))
    budgets = sorted({run["settings"]["budgets"] for run in runs})
    measured = f"rollouts of SmolLM2-135M with forced answers at {' or '.join(map(str, budgets))} budgets"
    return measured, ". ".join(map(_sweep_text, runs))


def _sweep_text(run: dict) -> str:
    """One run of `budget_sweep` in words."""
    settings = run["settings"]
    text = f"{settings['length']:,} tokens, `{settings['engine']}`"
    if settings["snap"]:
        text += f", cut down to blocks of {settings['snap']}"
    text += f": {run['ours / sample']:.2f} times the sampling alone{other_work(run)}"
    text += f", {run['floor / ours']:.2f} times the speed of the floor"
    if settings["repeats"] == 1:
        text += " (measured once)"
    cached = run.get("prefix tokens from the cache")
    if cached and settings["engine"] == "vllm":
        text += f", {cached:.3f} of the prefixes from the cache"
    other_ways = {"plain": "plain vLLM, budget by budget,", "naive": "`generate` from each cut text"}
    slower = [
        f"{name} {run[f'{way} probing / ours']:.1f}"
        for way, name in other_ways.items()
        if run.get(f"{way} probing / ours")
    ]
    return text + (f"; with its probing as 1: {', '.join(slower)}" if slower else "")


def grpo_step(results: dict) -> Row:
    ways = {
        "effwb, engine trl": "of plain TRL with the same generator",
        "effwb, engine transformers": "with our decode loop",
        "effwb, engine vllm": "with vLLM on the CPU",
    }
    ratios = {way: row["ratio to plain TRL, per token"] for way, row in results["seconds per step"].items()}
    result = ", ".join(f"{ratios[way]:.2f} {name}" for way, name in ways.items() if way in ratios)
    return "a GRPO step, per sampled token", result


def reo_step(results: dict) -> Row:
    times = results["probing one round"]["naive / tree"]
    busy = other_work(results) if "machine" in results else ""  # results of before had no such entry
    return "a REO-RL step with its forced answers", (
        f"{results['ratio']:.2f} of a vanilla step on the same rollouts{busy}; the forced answers alone "
        f"{times:.1f} times faster than generating from cut texts"
    )


def plan_error(results: dict) -> Row:
    ratios = [results["estimate / truth"][design] for design in ("vanilla", "lead")]
    plain = [f"{ratio['seconds']:.2f}" for ratio in ratios]
    informed = [f"{ratio['seconds, with the true mean length']:.2f}" for ratio in ratios]
    return "`effwb plan` after a short run, estimate to truth", (
        f"{plain[0]} times the seconds for a design that keeps its length, {plain[1]} for one that halves it "
        f"({' and '.join(informed)} with the true mean length)"
    )


def explorer(results: dict) -> Row:
    slowest, times = max(results["reactions"].items(), key=lambda item: item[1]["worst"])
    opens, best = (results["seconds"][name][0] for name in ("open", "best of all runs, the first time"))
    return f"the explorer, {results['runs']:,} runs and {results['rollouts']:,} rollouts", (
        f"opens in {opens:.1f} s{other_work(results)}, the slowest reaction ({slowest}) takes "
        f"{times['worst']:.2f} s; the best of all {results['runs']:,} runs takes {best:.0f} s, once"
    )


def verify(results: dict) -> Row:
    repeated, distinct = (results["inputs"][name] for name in ("repeated", "distinct"))
    times = [row["math-verify / ours"]["cpu"] for row in (repeated, distinct)]
    measured = (
        f"{repeated['pairs']:,} verdicts on answers that repeat as often as forced answers do, and "
        f"{distinct['pairs']:,} verdicts on answers that are all different"
    )
    return measured, (
        f"{repeated['seconds, ours']:.0f} s{other_work(results)}; math-verify one by one takes "
        f"{times[0]:.0f} times the CPU time, on the answers that are all different {times[1]:.1f} times"
    )


def imports(results: dict) -> Row:
    effwb, effwb_to_train, trl, trl_to_train = (
        results["seconds"][name] for name in ("effwb", "effwb, to train", "trl", "trl, to train")
    )
    return "`import effwb`, `import trl`", (
        f"{1000 * effwb:.0f} ms, {1000 * trl:.0f} ms{other_work(results)}; with what training needs "
        f"{effwb_to_train:.1f} s, {trl_to_train:.0f} s"
    )


ROWS: dict[str, Callable[[dict], Row]] = {  # in the order of the table; names of modules and of result files
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


def other_work(results: dict) -> str:
    """Say that the machine had other work, if its load was above the number of its cores; else return ""."""
    machine = results["machine"]
    cores = machine.get("cores", machine.get("cpus"))
    if machine["load"][0] <= cores:
        return ""
    return " with other work on " + ("both cores" if cores == 2 else f"all {cores} cores")


def table(folder: Path = HERE / "results") -> str:
    """Return the table as Markdown, with a row for each of `ROWS` that has results in the folder."""
    lines = ["| benchmark | command | result |", "|---|---|---|"]
    for name, row in ROWS.items():
        file = folder / f"{name}.json"
        if file.exists():
            measured, result = row(json.loads(file.read_text()))
            lines.append(f"| {measured} | `python -m benchmarks.{name}` | {result} |")
    return "\n".join(lines)


def insert(page: str, new: str, begin: str = BEGIN, end: str = END) -> str:
    """Replace what is between two markers of a page.

    Args:
        page: The text of the page.
        new: The new text.
        begin: The first marker.
        end: The second marker.

    Raises:
        DataError: The page does not have each marker once, in the right order.
    """
    if page.count(begin) != 1 or page.count(end) != 1 or page.index(begin) > page.index(end):
        raise DataError(f"the page needs the lines {begin!r} and {end!r}, once each and in this order")
    before, rest = page.split(begin)
    return f"{before}{begin}\n\n{new}\n\n{end}{rest.split(end)[1]}"


def main() -> None:
    PAGE.write_text(insert(PAGE.read_text(encoding="utf-8"), table()), encoding="utf-8")


if __name__ == "__main__":
    main()
