"""Where every text of a figure stands on its page, measured in Chrome."""

import json
from typing import NamedTuple

from effwb.export import chrome

SMALLEST = 12  # CSS pixels of a letter; printed as 6 points where titles are printed as 8
MEASURE = """
(async () => {
  const figure = %s, div = document.createElement("div");
  document.body.appendChild(div);
  await Plotly.newPlot(div, figure.data, {...figure.layout, width: %d, height: %d}, {staticPlot: true});
  const page = div.getBoundingClientRect();
  const box = (element) => {
    const {left, top, right, bottom} = element.getBoundingClientRect();
    return [left - page.left, top - page.top, right - page.left, bottom - page.top];
  };
  const groups = [...div.querySelectorAll(".infolayer > g")];
  const legends = groups.filter((group) => /^legend/.test(group.className.baseVal));
  const words = [...div.querySelectorAll("svg text")].filter((text) => text.textContent.trim());
  const texts = words.map((text) => {
    const legend = legends.find((group) => group.contains(text));
    const size = parseFloat(getComputedStyle(text).fontSize);
    return [text.textContent, ...box(text), size, legend ? box(legend.querySelector(".bg")) : null];
  });
  const areas = Object.values(div._fullLayout._plots).map(({xaxis: x, yaxis: y}) =>
    ["area", x._offset, y._offset, x._offset + x._length, y._offset + y._length, 99, null]);
  const frames = legends.map((group) => ["legend", ...box(group.querySelector(".bg")), 99, null]);
  Plotly.purge(div);
  div.remove();
  return JSON.stringify([texts, areas, frames]);
})()
"""


class Box(NamedTuple):
    """A text, a drawing area or a legend, with its rectangle in CSS pixels from the corner of the page."""

    text: str
    left: float
    top: float
    right: float
    bottom: float
    size: float
    frame: list[float] | None  # of the legend that a text stands in

    def covers(self, other, slack=1.0):
        """Whether two boxes share more than a rim."""
        across = min(self.right, other.right) - max(self.left, other.left)
        return across > slack and min(self.bottom, other.bottom) - max(self.top, other.top) > slack

    def leaves(self, left, top, right, bottom):
        """Whether a box is not whole within a rectangle."""
        return min(self.left - left, self.top - top) < -1 or max(self.right - right, self.bottom - bottom) > 1


def boxes(fig, width, height):
    """The texts, the drawing areas and the legends of a figure that is drawn at a size in CSS pixels."""
    browser = chrome._open_browser(chrome.need_chrome("a test"))
    script = MEASURE % (fig.to_json(), width, height)
    params = {"expression": script, "awaitPromise": True, "returnByValue": True}
    tab = browser._kaleido.get_tab()
    answer = browser._run(tab.send_command("Runtime.evaluate", params), 30)["result"]
    assert "exceptionDetails" not in answer, answer
    return [[Box(*box) for box in part] for part in json.loads(answer["result"]["value"])]


def faults(fig, width, height):
    """What is wrong with a figure on paper, a line for each fault."""
    texts, areas, legends = boxes(fig, width, height)
    lines = [f"{text.text!r} leaves the page" for text in texts if text.leaves(0, 0, width, height)]
    lines += [f"{t.text!r} is cut off in its legend" for t in texts if t.frame and t.leaves(*t.frame)]
    lines += [f"{text.text!r} has {text.size} pixels" for text in texts if text.size < SMALLEST]
    for i, text in enumerate(texts):
        lines += [f"{text.text!r} over {other.text!r}" for other in texts[i + 1 :] if text.covers(other)]
    for legend in legends:
        lines += ["a legend covers data" for area in areas if legend.covers(area)]
    return lines
