"""The browser that draws figures: opened once, opened again after a crash, never waited for without end."""

import os
import signal

import plotly.graph_objects as go
import pytest

from effwb.errors import EngineError
from effwb.export import chrome
from tests.export.pages import need_chrome_or_skip

FIGURE = go.Figure(go.Scatter(y=[3, 4])).to_dict()

pytestmark = pytest.mark.browser


@pytest.fixture(autouse=True)
def browser():
    need_chrome_or_skip()
    yield
    chrome.close()


def draw():
    return chrome.draw(FIGURE, ".png", 200, 150)


def test_one_browser_draws_all_figures():
    assert draw().startswith(b"\x89PNG")
    first = chrome._browser
    assert chrome.draw(FIGURE, ".svg", 200, 150).startswith(b"<svg")
    assert chrome._browser is first


def test_a_browser_that_crashed_is_opened_again():
    draw()
    first = chrome._browser
    os.killpg(first._kaleido.subprocess.pid, signal.SIGKILL)
    assert draw().startswith(b"\x89PNG")
    assert chrome._browser is not first


def test_a_drawing_that_takes_too_long_is_given_up(monkeypatch):
    draw()
    process = chrome._browser._kaleido.subprocess
    monkeypatch.setattr(chrome, "DRAW_SECONDS", 0.5)
    monkeypatch.setattr(chrome, "CLOSE_SECONDS", 0.5)
    os.killpg(process.pid, signal.SIGSTOP)  # a browser that hangs
    with pytest.raises(EngineError, match=r"within 0\.5 s"):
        draw()
    assert process.wait(10) is not None


def test_a_browser_that_does_not_start_is_named(monkeypatch):
    monkeypatch.setenv("BROWSER_PATH", "/bin/false")
    with pytest.raises(EngineError, match="/bin/false did not draw the figure"):
        draw()


def test_no_browser_outlives_its_process(run_until_killed, tmp_path):
    code = f"""
import time
from effwb.export import chrome
chrome.draw({FIGURE!r}, ".png", 200, 150)
open({str(tmp_path / "pid")!r}, "w").write(str(chrome._browser._kaleido.subprocess.pid))
time.sleep(60)
"""
    pid = tmp_path / "pid"
    assert run_until_killed(code, lambda: pid.exists() and pid.read_text())
    for _ in range(100):
        try:
            os.kill(int(pid.read_text()), 0)
        except ProcessLookupError:
            return
        signal.sigtimedwait([], 0.1)
    pytest.fail("the browser still runs ten seconds after its process was killed")
