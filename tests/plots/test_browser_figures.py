"""Figures in a real browser: no legend lies over data, and the buttons switch the axis."""

import asyncio
import json
import shutil

import pytest

from effwb import plots
from effwb.export import CHROMES
from tests.notebooks.test_browser import Page
from tests.plots.examples import curve_of
from tests.plots.test_legends import FIGURES

SCREENS = {"laptop": (1440, 900), "desktop": (1920, 1080)}
COVERED = """(() => {
    const box = e => e.getBoundingClientRect(), found = [];
    for (const figure of document.querySelectorAll('.js-plotly-plot')) {
        const panels = [...figure.querySelectorAll('.draglayer .nsewdrag')].map(box);
        const texts = [...figure.querySelectorAll('.xtitle, .ytitle, .xtick text')].map(box);
        for (const legend of figure.querySelectorAll('.legend, .updatemenu-container')) {
            const a = box(legend);
            for (const b of [...panels, ...texts]) {
                const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
                const up = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
                if (across > 1 && up > 1) found.push(figure.parentElement.id + ' ' + legend.classList[0]);
            }
        }
    }
    return [...new Set(found)]})()"""


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    """A page with a figure of each kind, and one with an inset."""
    figures = {name: draw() for name, draw in FIGURES.items()}
    early = {"free": curve_of(1), "low effort": curve_of(2)}
    figures["switch"] = plots.curve_figure(early, curve_of(0), shade="free", title="Curves")
    parts = [
        f'<div id="{name}">{figure.to_html(full_html=False, include_plotlyjs=i == 0)}</div>'
        for i, (name, figure) in enumerate(figures.items())
    ]
    path = tmp_path_factory.mktemp("page") / "figures.html"
    path.write_text(f"<!doctype html><meta charset='utf-8'><body>{''.join(parts)}</body>")
    return path


@pytest.mark.browser
def test_no_legend_covers_data_and_the_buttons_work(page_file):
    browser = next(filter(None, map(shutil.which, CHROMES)), None)
    if browser is None:
        pytest.skip(f"none of {', '.join(CHROMES)} is installed")
    pytest.importorskip("choreographer", reason="choreographer comes with effwb[figures]")
    asyncio.run(asyncio.wait_for(drive(browser, page_file), 300))


async def drive(browser, path):
    from choreographer import Browser

    async with Browser(path=browser, headless=True, enable_sandbox=False) as chrome:
        page = Page(await chrome.create_tab(path.as_uri()))
        count = len(FIGURES) + 1
        drawn = "[...document.querySelectorAll('.js-plotly-plot')].filter(e => e.querySelector('.nsewdrag'))"
        await page.until(f"{drawn}.length == {count}", "all figures are drawn")
        for name, (width, height) in SCREENS.items():
            size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
            await page.send("Emulation.setDeviceMetricsOverride", **size)
            assert await page.ask(COVERED) == [], name
        await switched(page)
        resize = "document.querySelectorAll('.js-plotly-plot').forEach(e => Plotly.relayout(e, {width: 640}))"
        await page.ask(resize)  # as in a narrow column of the explorer
        await asyncio.sleep(2)
        assert await page.ask(COVERED) == []


async def switched(page):
    """A click on "linear" changes the axis and the place of budget 0; one on "log" changes both back."""
    figure = "document.querySelector('#switch .js-plotly-plot')"
    positions = f"{figure}._fullData.flatMap(t => [...t.x].filter(x => x != null))"
    state = f"[{figure}.layout.xaxis.type, Math.min(...{positions})]"
    assert await page.ask(state) == ["log", 4]
    for i, want in ((2, ["linear", 0]), (1, ["log", 4])):
        await page.click(f"#switch .updatemenu-button:nth-of-type({i})")
        await page.until(
            f"JSON.stringify({state}) == '{json.dumps(want, separators=(',', ':'))}'", "axis", 20
        )
        assert await page.ask(COVERED) == []
