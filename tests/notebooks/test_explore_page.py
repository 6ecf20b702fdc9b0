"""`effwb explore` in a real browser, over an ordinary run root: clicks, refusals, cells, runs under way."""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from tests.messy_root import write_training
from tests.notebooks.test_browser import (  # noqa: F401
    ARTEFACTS,
    EXPLORER,
    ROOT,
    Page,
    answers,
    browser,
    free_port,
)

LAPTOP = {"width": 1440, "height": 900, "deviceScaleFactor": 1, "mobile": False}
COVER = 3.0  # pixels from the middle of a marker to the middle of one that hides it
POINTS = """(() => {
  const plot = document.querySelector('.effwb-explorer .js-plotly-plot'), points = [];
  for (const group of plot.querySelectorAll('.scatterlayer > .trace')) {
    const trace = plot._fullData.find(t => group.classList.contains('trace' + t.uid));
    for (const path of group.querySelectorAll('.points path')) {
      const box = path.getBoundingClientRect(), point = path.__data__;
      points.push({run: trace.legendgroup, budget: trace.customdata[point.i][0],
                   x: box.x + box.width / 2, y: box.y + box.height / 2});
    }
  }
  return points})()"""


@pytest.fixture
def page_address(browser, messy, tmp_path):  # noqa: F811
    """The address of the explorer's page over a copy of the messy root, and the root."""
    pytest.importorskip("voila", reason="voila comes with effwb[explore]")
    root, port = tmp_path / "runs", free_port()
    shutil.copytree(messy, root)
    command = [sys.executable, "-m", "effwb.cli", "explore", str(root), "--port", str(port), "--no-browser"]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    with open(tmp_path / "log", "w") as log:
        server = subprocess.Popen(command, env=env, stdout=log, stderr=log)
        try:
            answers(f"http://localhost:{port}/", server, tmp_path / "log")
            yield re.search(r"http://localhost:\S+token=\S+", (tmp_path / "log").read_text())[0], root
        finally:
            server.terminate()
            server.wait(30)


@pytest.mark.browser
@pytest.mark.long
def test_the_page(browser, page_address):  # noqa: F811
    asyncio.run(asyncio.wait_for(drive(browser, *page_address), 500))


async def drive(path, address, root):
    from choreographer import Browser

    async with Browser(path=path, headless=True, enable_sandbox=False) as chrome:
        page = Page(await chrome.create_tab(address))
        await page.send("Emulation.setDeviceMetricsOverride", **LAPTOP)
        await page.until(
            f"document.querySelector('{EXPLORER} .scatterlayer .points path')", "the figure", 200
        )
        await asyncio.sleep(6)  # the figure has measured its place
        await page.shoot("explore-laptop")
        await every_point_opens_what_is_seen(page)
        await the_cell_is_copied(page)
        await training_curves_go_on(page, root)


async def every_point_opens_what_is_seen(page):
    """A click on the middle of each marker opens the run whose marker is drawn last there, at its budget."""
    points = await page.ask(POINTS)
    assert len(points) > 30
    missed = []
    for point in points:
        near = [p for p in points if (p["x"] - point["x"]) ** 2 + (p["y"] - point["y"]) ** 2 < COVER**2]
        top = near[-1]
        await click_at(page, point["x"], point["y"])
        wanted = f"rollouts of {top['run']} at {top['budget']} tokens"
        shown = f"document.querySelector('{EXPLORER}').innerText.includes({json.dumps(wanted)})"
        for _ in range(25):
            if await page.ask(shown):
                break
            await asyncio.sleep(0.2)
        else:
            missed.append(top)
    assert missed == [], f"{len(missed)} of {len(points)} clicks missed"


async def click_at(page, x, y):
    await page.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y - 40)
    await asyncio.sleep(0.1)
    await page.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
    await asyncio.sleep(0.2)
    for kind in ("mousePressed", "mouseReleased"):
        await page.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)


async def the_cell_is_copied(page):
    """The button copies the cell, or shows and marks it where the clipboard cannot be reached."""
    await page.ask("navigator.clipboard.writeText = text => {window.copied = text; return Promise.resolve()}")
    await page.click(f"{EXPLORER} .effwb-copy")
    await page.until("window.copied", "the cell is copied", 10)
    assert "plots.curve_figure(" in await page.ask("window.copied")
    await page.ask("navigator.clipboard.writeText = () => Promise.reject(new Error('no'))")
    await page.click(f"{EXPLORER} .effwb-copy")
    await page.until("getSelection().toString().includes('plots.curve_figure(')", "the cell is marked", 10)


async def training_curves_go_on(page, root):
    """The second page draws trainings, and one that is under way goes on."""
    await page.ask(f"document.querySelectorAll('{EXPLORER} .lm-TabBar-tab')[1].id = 'trainings'")
    await page.ask("document.querySelector('#trainings').scrollIntoView()")
    await page.click("#trainings")
    plots = f"[...document.querySelectorAll('{EXPLORER} .js-plotly-plot')]"
    plot = f"{plots}.find(e => e.offsetParent && e._fullData)"
    await page.until(f"{plot}?.data.length > 3", "the training curves", 30)
    await asyncio.sleep(5)
    await page.shoot("explore-training")
    await page.ask(f"document.querySelector('{EXPLORER}').innerText.includes('training/pocket/lead-seed0')")
    write_training(root / "new-seed0", "lead", steps=4, finished=False)
    listed = "[...document.querySelectorAll('option')].some(e => e.textContent.startsWith('new-seed0'))"
    await page.until(listed, "a new training is listed by itself", 60)
