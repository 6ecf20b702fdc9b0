"""Chrome draws plotly figures as PNG, SVG and PDF: one browser per process, opened once and kept open."""

from __future__ import annotations

import asyncio
import atexit
import importlib.util
import logging
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import TimeoutError as DrawingTimeout
from contextlib import contextmanager, suppress
from typing import Any

from effwb.errors import EngineError

CHROMES = (
    "chromium",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "chromium-browser",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)
OPEN_SECONDS = 30.0  # until the browser must be ready; a busy machine needs ten
DRAW_SECONDS = 20.0  # for one figure; most take a quarter of a second
CLOSE_SECONDS = 5.0


def find_chrome() -> str | None:
    """Path of the browser that draws figures: `$BROWSER_PATH`, else the first of `CHROMES`, else None."""
    return os.environ.get("BROWSER_PATH") or next(filter(None, map(shutil.which, CHROMES)), None)


def can_draw() -> bool:
    """Whether there is a browser, and kaleido to speak with it."""
    return find_chrome() is not None and importlib.util.find_spec("kaleido") is not None


def need_chrome(purpose: str) -> str:
    """Return the path of the browser that draws `purpose`; raise `EngineError`, with the remedy, without."""
    path = find_chrome()
    if path is None:
        raise EngineError(
            f"drawing {purpose} needs Chrome or Chromium and none of {', '.join(CHROMES)} was found; "
            "install one (Debian: apt-get install chromium), or keep the HTML figure"
        )
    return path


def draw(figure: Mapping[str, Any], suffix: str, width: float, height: float, scale: float = 1.0) -> bytes:
    """Draw a figure with the browser of this process.

    The first call opens the browser (two seconds), which then stays open until the process ends. A browser
    that has crashed is opened again once.

    Args:
        figure: A plotly figure as a dictionary.
        suffix: ".png", ".svg" or ".pdf".
        width: Width in CSS pixels.
        height: Height in CSS pixels.
        scale: Image pixels per CSS pixel.

    Returns:
        The bytes of the image file.

    Raises:
        EngineError: Chrome or kaleido is missing, or the drawing failed or took longer than `DRAW_SECONDS`.
    """
    path = need_chrome(f"a {suffix[1:]} image")
    layout = {**figure.get("layout", {}), "updatemenus": [], "sliders": []}  # an image has no buttons
    figure = {**figure, "layout": layout}
    options = {"format": suffix[1:], "width": width, "height": height, "scale": scale}
    with _LOCK:
        for attempt in (1, 2):
            try:
                return _open_browser(path).draw(figure, options)
            except ImportError as error:
                raise EngineError("drawing images needs kaleido: pip install 'effwb[figures]'") from error
            except DrawingTimeout as error:  # a second try would take as long
                close()
                raise EngineError(f"{path} did not draw the figure within {DRAW_SECONDS:g} s") from error
            except Exception as error:
                close()
                if attempt == 2:
                    raise EngineError(f"{path} did not draw the figure: {error}") from error
    raise AssertionError("unreachable")


def close() -> None:
    """Close the browser of this process, if one is open; the next drawing opens another."""
    global _browser
    browser, _browser = _browser, None
    if browser is not None and browser.process_id == os.getpid():
        browser.close()


class _Browser:
    """A browser and the thread whose event loop talks to it, apart from the loop of a notebook."""

    def __init__(self, path: str):
        from kaleido import Kaleido

        self.process_id = os.getpid()  # a forked child must not use the browser of its parent
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="effwb-chrome", daemon=True).start()
        self._kaleido: Any = None
        try:
            self._kaleido = self._run(_open(Kaleido, path), OPEN_SECONDS)
        except BaseException:
            self.close()
            raise

    def _run(self, coroutine: Any, seconds: float) -> Any:
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result(seconds)
        except BaseException:
            future.cancel()
            raise

    def draw(self, figure: Mapping[str, Any], options: dict[str, Any]) -> bytes:
        return self._run(self._kaleido.calc_fig(figure, options), DRAW_SECONDS)

    def close(self) -> None:
        if self._kaleido is not None:
            with suppress(Exception):
                self._run(self._kaleido.close(), CLOSE_SECONDS)
            with suppress(Exception):  # where it did not close by itself; it leads a group of processes
                os.killpg(self._kaleido.subprocess.pid, signal.SIGKILL)
        self._loop.call_soon_threadsafe(self._loop.stop)


FONTS = """<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig>
<include ignore_missing="yes">/etc/fonts/fonts.conf</include><dir>{folder}</dir></fontconfig>"""


@contextmanager
def _with_fonts() -> Iterator[None]:
    """Let a browser on Linux find matplotlib's fonts: few containers have one that looks like Times."""
    if sys.platform != "linux" or "FONTCONFIG_FILE" in os.environ:
        yield
        return
    import matplotlib

    with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
        file.write(FONTS.format(folder=f"{matplotlib.get_data_path()}/fonts/ttf"))
        file.flush()
        os.environ["FONTCONFIG_FILE"] = file.name
        try:
            yield
        finally:
            del os.environ["FONTCONFIG_FILE"]


async def _open(kaleido: Any, path: str) -> Any:
    for library in ("choreographer", "kaleido"):  # what goes wrong is told by the error, or mended
        logging.getLogger(library).setLevel(logging.CRITICAL)
    browser = kaleido(n=1, path=path, mathjax=False, timeout=DRAW_SECONDS)  # MathJax would need a network
    with _with_fonts():
        await browser.open()
    return browser


_browser: _Browser | None = None
_LOCK = threading.RLock()
atexit.register(close)


def _open_browser(path: str) -> _Browser:
    """The open browser of this process."""
    global _browser
    if _browser is None or _browser.process_id != os.getpid():
        _browser = _Browser(path)
    return _browser
