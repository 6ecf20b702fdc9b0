"""The cell behind the copy button draws the figure that is shown."""

import pytest

from effwb.analysis import explorer as E

pytest.importorskip("anywidget")


def run_cell(code, **names):
    """The figure that a cell draws."""
    exec(compile(code, "<cell>", "exec"), names)
    return names["figure"]


@pytest.fixture(scope="module")
def views(messy):
    return {
        "pocket": E.explore(messy),
        "two benchmarks": E.explore(messy, runs=["qwen/free", "qwen/low"], frontier="qwen3-8b"),
    }


@pytest.mark.parametrize("runs", ["pocket", "two benchmarks"])
@pytest.mark.parametrize("figure", E.FIGURES)
def test_every_figure(views, runs, figure):
    view = views[runs]
    assert run_cell(view.cell(figure)).to_json() == view.figure(figure).to_json()


@pytest.mark.parametrize("kind", E.FRONTIERS[:5])
def test_every_frontier_of_measured_runs(messy, kind):
    view = E.explore(messy, frontier=kind)
    assert run_cell(view.cell()).to_json() == view.figure().to_json()


def test_one_benchmark(messy):
    view = E.explore(messy, runs=["qwen/free", "qwen/low"], frontier="best of all runs")
    view.benchmark.value = "aime24"
    view.l_max.value = 1024
    view.axis.value = "linear"
    assert run_cell(view.cell()).to_json() == view.figure().to_json()


def test_the_button_has_the_cell_of_the_open_tab(views):
    view = views["pocket"]
    view.tabs.selected_index = 2
    assert view.copy.code == view.cell("lengths")
    assert "navigator.clipboard" in view.copy.widget.value
    view.tabs.selected_index = 0
    assert view.copy.code == view.cell("curves")


def test_on_a_set_that_the_caller_has(messy):
    from effwb.analysis.run_set import RunSet

    runs = RunSet.find(messy / "more")
    view = E.Explorer(runs)
    assert "RunSet.find" not in view.cell()
    assert run_cell(view.cell(), all_runs=runs).to_json() == view.figure().to_json()


def test_training_curves(views):
    pane = views["pocket"].training
    pane.window.value = 3
    assert run_cell(pane.cell()).to_json() == pane.figure().to_json()
    assert pane.copy.code == pane.cell()
