"""The explorer in a real browser: JupyterLab, the notebook as it is, a mouse, and what the page then says.

Chrome is driven by choreographer, which kaleido brings along. Screenshots are kept in `test-artefacts/`.
"""

import asyncio
import base64
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest

from effwb.export import CHROMES

ROOT = Path(__file__).parents[2]
ARTEFACTS = ROOT / "test-artefacts"
WINDOW = {"width": 1500, "height": 1250, "deviceScaleFactor": 1, "mobile": False}
SETTINGS = {
    "notebook-extension/tracker": {"windowingMode": "none"},  # all cells are in the page
    "apputils-extension/notification": {"fetchNews": "false"},
}
EXPLORER = ".effwb-explorer"


@pytest.fixture(scope="module")
def browser():
    """Its path, or a skip that says what is missing."""
    found = next(filter(None, map(shutil.which, CHROMES)), None)
    if found is None:
        pytest.skip(f"none of {', '.join(CHROMES)} is installed")
    pytest.importorskip("choreographer", reason="choreographer comes with effwb[figures]")
    pytest.importorskip("anywidget")
    return found


class Page:
    """A tab that is asked in JavaScript and touched with a mouse and a keyboard."""

    def __init__(self, tab):
        self.tab = tab

    async def send(self, command, **params):
        answer = await self.tab.send_command(command, params=params)
        assert "error" not in answer, answer
        return answer["result"]

    async def ask(self, script):
        found = await self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    async def until(self, script, what, seconds=120):
        """Wait until a script is true; fail with a screenshot after so many seconds."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if await self.ask(f"Boolean({script})"):
                return
            await asyncio.sleep(0.2)
        await self.shoot("failed")
        raise AssertionError(f"{what}: not within {seconds} s; see {ARTEFACTS / 'failed.png'}")

    async def shoot(self, name):
        ARTEFACTS.mkdir(exist_ok=True)
        data = (await self.send("Page.captureScreenshot", format="png"))["data"]
        (ARTEFACTS / f"{name}.png").write_bytes(base64.b64decode(data))

    async def middle(self, selector):
        """Where the middle of an element is in the window, once it is in view."""
        box = f"""(() => {{const e = document.querySelector({json.dumps(selector)});
            e.scrollIntoView({{block: 'center'}}); const r = e.getBoundingClientRect();
            return [r.x + r.width / 2, r.y + r.height / 2]}})()"""
        await self.ask(box)
        await asyncio.sleep(0.5)
        return await self.ask(box)

    async def click(self, selector):
        x, y = await self.middle(selector)
        await self.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        await asyncio.sleep(0.3)
        for kind in ("mousePressed", "mouseReleased"):
            await self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    async def press(self, key, code):
        for kind in ("rawKeyDown", "keyUp"):
            await self.send(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code
            )

    async def text(self, selector):
        """What an element says; a part of a drawing has no innerText."""
        found = f"document.querySelector({json.dumps(selector)})"
        return await self.ask(f"{found}?.innerText ?? {found}?.textContent ?? ''")


@pytest.fixture
def lab(browser, finished, tmp_path):
    """The address of the notebook in a JupyterLab of its own, over two finished evaluations."""
    notebook = nbformat.read(ROOT / "notebooks/50_explorer.ipynb", as_version=4)
    given = {"run_root": str(finished), "figures_dir": str(tmp_path / "figures")}
    for name, value in given.items():
        notebook.cells[1].source = re.sub(
            rf"^{name} = .*$", f"{name} = {value!r}  # here", notebook.cells[1].source, flags=re.M
        )
    nbformat.write(notebook, tmp_path / "50_explorer.ipynb")
    settings = tmp_path / "settings"
    for file, values in SETTINGS.items():
        path = settings / f"@jupyterlab/{file}.jupyterlab-settings"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(values))
    port = free_port()
    options = ["--no-browser", "--allow-root", f"--ServerApp.port={port}", f"--ServerApp.root_dir={tmp_path}"]
    options += [
        "--IdentityProvider.token=",
        "--LabApp.expose_app_in_browser=True",
        "--ServerApp.port_retries=0",
    ]
    env = {**os.environ, "JUPYTERLAB_SETTINGS_DIR": str(settings), "JUPYTERLAB_WORKSPACES_DIR": str(tmp_path)}
    env |= {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    log = open(tmp_path / "lab.log", "w")  # noqa: SIM115
    server = subprocess.Popen([sys.executable, "-m", "jupyterlab", *options], env=env, stdout=log, stderr=log)
    try:
        answers(f"http://127.0.0.1:{port}/api", server, tmp_path / "lab.log")
        yield f"http://127.0.0.1:{port}/lab/tree/50_explorer.ipynb?reset"
    finally:
        server.terminate()
        server.wait(30)
        log.close()


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def answers(address, server, log, seconds=60):
    end = time.monotonic() + seconds
    while True:
        try:
            return urllib.request.urlopen(address, timeout=2)
        except OSError:
            if server.poll() is not None or time.monotonic() > end:
                raise AssertionError(log.read_text()[-2000:]) from None
            time.sleep(0.3)


def reg_of(table, name):
    """The REG that the page's table of numbers gives a run."""
    rows = [line.split("\t") for line in table.splitlines()]
    return next(r for r in rows if r[0] == name)[rows[0].index("REG")]


@pytest.mark.browser
def test_the_explorer_is_moved_and_clicked(browser, lab):
    asyncio.run(asyncio.wait_for(drive(browser, lab), 400))


async def drive(browser, address):
    from choreographer import Browser

    async with Browser(path=browser, headless=True, enable_sandbox=False) as chrome:
        page = Page(await chrome.create_tab(address))
        await page.send("Emulation.setDeviceMetricsOverride", **WINDOW)
        await opened(page)
        await moved(page)
        await clicked(page)
        await read(page)
        await fits_every_screen(page)


async def opened(page):
    """Open, run all, and the figure and the numbers of both runs are there."""
    ready = "window.jupyterapp?.shell.currentWidget?.content?.widgets?.length > 5"
    await page.until(ready, "JupyterLab shows the notebook")
    await page.until(
        "window.jupyterapp.shell.currentWidget.sessionContext.session?.kernel?.status == 'idle'", "kernel"
    )
    await page.ask("void window.jupyterapp.commands.execute('notebook:run-all-cells')")
    await page.until(
        f"document.querySelector('{EXPLORER} .scatterlayer .points path')", "the explorer's figure"
    )
    busy = "[...document.querySelectorAll('.jp-InputPrompt')].some(e => e.textContent.includes('*'))"
    await page.until(f"!{busy}", "all cells are run", 200)
    kind = "application/vnd.jupyter.error"
    errors = f"""[...document.querySelectorAll('[data-mime-type="{kind}"]')].map(e => e.innerText)"""
    assert await page.ask(errors) == []
    await page.middle(f"{EXPLORER} .js-plotly-plot")
    plot = f"document.querySelector('{EXPLORER} .js-plotly-plot .main-svg').getBoundingClientRect().right"
    place = f"document.querySelector('{EXPLORER} .widget-tab-contents').getBoundingClientRect().right"
    await page.until(f"{plot} <= {place}", "the figure fits its place", 30)
    await page.shoot("explorer")
    table = await page.text(f"{EXPLORER} .effwb-numbers")
    assert {"free", "low"} <= {line.split("\t")[0] for line in table.splitlines()}
    assert "J(64)" in table


async def moved(page):
    """L_max down by the keyboard: REG in the page is another one, and the kernel agrees with it."""
    before = await page.text(f"{EXPLORER} .effwb-numbers")
    await page.ask(f"document.querySelector('{EXPLORER} .noUi-handle').focus()")
    for _ in range(3):
        await page.press("ArrowLeft", 37)
        await asyncio.sleep(0.5)
    changed = f"!document.querySelector('{EXPLORER} .effwb-numbers')?.innerText.includes('J(64)')"
    await page.until(changed, "the numbers follow L_max", 20)
    await asyncio.sleep(1)
    after = await page.text(f"{EXPLORER} .effwb-numbers")
    assert reg_of(before, "low") != reg_of(after, "low")
    legend = await page.text(f"{EXPLORER} .legend")
    shown = re.search(r"REG (-?[\d.,]+)", legend)
    assert shown, legend
    assert reg_of(after, "free").startswith(shown.group(1))
    await page.middle(f"{EXPLORER} .js-plotly-plot")
    await page.shoot("explorer-l-max")


async def clicked(page):
    """A click on a point of the second curve opens that run at that budget, and shades its gap."""
    points = f"[...document.querySelectorAll('{EXPLORER} .scatterlayer .points')]"
    await page.ask(f"{points}.findLast(e => e.children.length > 8).children[6].id = 'here'")
    await page.click("#here")
    await page.until(
        f"document.querySelector('{EXPLORER}').innerText.match(/rollouts of low at \\d+ tokens/)",
        "the list",
        20,
    )
    await asyncio.sleep(1)
    table, legend = await page.text(f"{EXPLORER} .effwb-numbers"), await page.text(f"{EXPLORER} .legend")
    assert reg_of(table, "low").startswith(re.search(r"REG (-?[\d.,]+)", legend).group(1))


async def read(page):
    """The reader shows the reasoning of the rollout marked in the list, then of another one."""
    first = await page.text(f"{EXPLORER} .effwb-reasoning")
    assert first
    await page.click(f"{EXPLORER} .effwb-list option:nth-child(3)")
    await page.until(
        f"document.querySelector('{EXPLORER} .effwb-reasoning').innerText != {json.dumps(first)}",
        "another rollout",
        20,
    )
    await page.middle(f"{EXPLORER} .effwb-reasoning")
    await page.shoot("explorer-reader")


async def fits_every_screen(page):
    """On a laptop and on a large screen, light and dark, nothing of the explorer lies outside its place."""
    for theme in ("JupyterLab Light", "JupyterLab Dark"):
        command = f"window.jupyterapp.commands.execute('apputils:change-theme', {{theme: '{theme}'}})"
        await page.ask(f"void {command}")
        for width, height in ((1440, 900), (1920, 1080)):
            size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
            await page.send("Emulation.setDeviceMetricsOverride", **size)
            await asyncio.sleep(2)
            await page.click(f"{EXPLORER} button")  # looks for new runs, and fits the figure to the window
            await asyncio.sleep(6)
            await page.ask(f"document.querySelector('{EXPLORER}').scrollIntoView({{block: 'start'}})")
            await page.shoot(f"explorer-{width}-{theme[11:].lower()}")
            outside = f"""(() => {{const place = document.querySelector('{EXPLORER}').getBoundingClientRect();
                const parts = '.widget-tab, .js-plotly-plot .main-svg, .widget-select, .effwb-note';
                return [...document.querySelectorAll('{EXPLORER} ' + parts.replaceAll(', ', ', {EXPLORER} '))]
                    .filter(e => e.getBoundingClientRect().right > place.right + 1)
                    .map(e => e.getAttribute('class'))}})()"""
            assert await page.ask(outside) == [], f"{theme}, {width} x {height}"
            figure = f"document.querySelector('{EXPLORER} .js-plotly-plot').getBoundingClientRect().height"
            assert await page.ask(figure) < height / 2
