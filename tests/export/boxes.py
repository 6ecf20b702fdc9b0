"""Where every text of a figure stands on its page, measured in Chrome."""

import json
from typing import NamedTuple

from effwb.export import chrome

MEASURE = """
(async () => {
  const figure = %s, div = document.createElement("div");
  document.body.appendChild(div);
  await Plotly.newPlot(div, figure.data, {...figure.layout, width: %d, height: %d}, {staticPlot: true});
  await document.fonts.ready;
  const page = div.getBoundingClientRect();
  const boxes = [...div.querySelectorAll("svg text")].filter((text) => text.textContent.trim()).map((text) => {
    const box = text.getBoundingClientRect(), size = parseFloat(getComputedStyle(text).fontSize);
    const legend = text.closest("g.legend") || [...div.querySelectorAll("g[class^=legend]")].find((g) => g.contains(text));
    const frame = legend && legend.querySelector(".bg").getBoundingClientRect();
    return [text.textContent, box.left - page.left, box.top - page.top, box.right - page.left,
            box.bottom - page.top, size, !frame || (box.bottom <= frame.bottom + 1 && box.right <= frame.right + 1)];
  });
  const areas = [...div.querySelectorAll(".plot")].map((plot) => plot.getBoundingClientRect().height);
  Plotly.purge(div);
  div.remove();
  return JSON.stringify(boxes);
})()
"""


class Text(NamedTuple):
    """A text and its box in CSS pixels from the top left corner of the page."""

    text: str
    left: float
    top: float
    right: float
    bottom: float
    size: float
    is_whole: bool

    def covers(self, other, slack=1.0):
        """Whether two boxes share more than a rim."""
        return (
            min(self.right, other.right) - max(self.left, other.left) > slack
            and min(self.bottom, other.bottom) - max(self.top, other.top) > slack
        )


def texts(fig, width, height):
    """All texts of a figure that is drawn at a size in CSS pixels."""
    browser = chrome._open_browser(chrome.need_chrome("a test"))
    script = MEASURE % (fig.to_json(), width, height)
    tab = browser._kaleido.get_tab()
    params = {"expression": script, "awaitPromise": True, "returnByValue": True}
    answer = browser._run(tab.send_command("Runtime.evaluate", params), 30)["result"]
    assert "exceptionDetails" not in answer, answer
    return [Text(*box) for box in json.loads(answer["result"]["value"])]


def faults(fig, width, height):
    """What is wrong with the texts of a figure: out of the page, cut off by a legend, or over another text."""
    found = texts(fig, width, height)
    lines = [
        f"{text.text!r} leaves the page: {text}"
        for text in found
        if min(text.left, text.top) < -1 or text.right > width + 1 or text.bottom > height + 1
    ]
    lines += [f"{text.text!r} is cut off in the legend" for text in found if not text.is_whole]
    for i, text in enumerate(found):
        lines += [f"{text.text!r} and {other.text!r}" for other in found[i + 1 :] if text.covers(other)]
    return lines
