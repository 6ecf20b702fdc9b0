"""The page of training curves: any trainings laid over each other, smoothed, chosen by their settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import ipywidgets as widgets
import pandas as pd
from plotly.graph_objects import Figure

from effwb.analysis.comparison import MAX_RUNS
from effwb.analysis.explorer.canvas import draw, empty, new_canvas
from effwb.analysis.explorer.cell_button import CellButton
from effwb.analysis.explorer.drawings import Drawing, training_cell
from effwb.analysis.explorer.notice import Notice
from effwb.analysis.run_filter import EXAMPLE, matching_runs
from effwb.analysis.run_root import TrainingRun, settings_of
from effwb.analysis.training_metrics import QUANTITIES, STATE, metrics_about
from effwb.errors import ConfigError

MAX_WINDOW = 50  # steps
CHOSEN_AT_START = 6


class TrainingPane:
    """Training curves of the chosen trainings.

    Args:
        notice: Where errors are shown.
        root: The run root, for the cell that draws the figure again.
        trainings: All trainings by name.
        names: Those that are chosen first, if they are among `trainings`; default: the first six.

    Attributes:
        filter: Words of the names, and conditions on settings (`run_filter`).
        chosen: The trainings that are drawn.
        window: Steps in the moving mean.
        quantity: What is drawn: everything, or one of `QUANTITIES`.
        canvas: The figure.
    """

    def __init__(
        self, notice: Notice, root: str, trainings: Mapping[str, TrainingRun], names: Iterable[str] = ()
    ):
        self._notice, self._root = notice, root
        self.trainings = dict(trainings)
        self._steps: dict[str, int] = {}  # of the trainings that are drawn
        self._settings: dict[str, dict] = {}
        wide = widgets.Layout(width="auto")
        self.filter = widgets.Text(placeholder=f"for example {EXAMPLE}", continuous_update=False, layout=wide)
        self.chosen = widgets.SelectMultiple(options=[], rows=14, layout=wide)
        self.window = widgets.IntSlider(
            value=5, min=1, max=MAX_WINDOW, continuous_update=False, description="steps", layout=wide
        )
        self.quantity = widgets.Dropdown(options=list(QUANTITIES), layout=wide)
        self.canvas, self.copy = new_canvas(), CellButton()
        self._place = widgets.VBox([self.canvas], layout={"flex": "1 1 auto", "min_width": "0"})
        first = [name for name in names if name in self.trainings] or list(self.trainings)[:CHOSEN_AT_START]
        with notice.silent():
            self._offer(first)
        notice.when(self.filter, self._filter)
        for widget in (self.chosen, self.window, self.quantity):
            notice.when(widget, self.draw)

    @property
    def widget(self) -> widgets.Widget:
        """The choices on the left, the figure on the right."""
        choices = {
            "trainings (several: with Ctrl or Shift)": [self.filter, self.chosen],
            "smoothing: mean of so many steps": [self.window],
            "drawn": [self.quantity],
            "": [self.copy.widget],
        }
        left = [
            part for title, parts in choices.items() for part in (widgets.HTML(f"<b>{title}</b>"), *parts)
        ]
        fixed = {"width": "300px", "flex": "0 0 auto", "margin": "0 12px 0 0"}
        return widgets.HBox([widgets.VBox(left, layout=fixed), self._place])

    # ---------------------------------------------------------------------------------- the choice
    def _offer(self, chosen: Iterable[str]) -> None:
        """List the trainings that the filter describes, the chosen ones first."""
        chosen = list(chosen)
        matching = matching_runs(self.filter.value, self.trainings, self._settings_of)
        names = [*chosen, *(name for name in matching if name not in chosen)]
        self.chosen.options = [(self._label(name), name) for name in names]
        self.chosen.value = chosen

    def _filter(self) -> None:
        with self._notice.silent():
            self._offer(self.chosen.value)

    def _settings_of(self, name: str) -> dict:
        if name not in self._settings:
            training = self.trainings[name]
            self._settings[name] = settings_of(training.folder, training.info)
        return self._settings[name]

    def _label(self, name: str) -> str:
        return name if self.trainings[name].finished else f"{name} (not finished)"

    # ---------------------------------------------------------------------------------- the figure
    def metrics(self) -> dict[str, pd.DataFrame]:
        """The metrics of the chosen trainings, by name."""
        return {name: self.trainings[name].metrics() for name in self.chosen.value}

    def drawing(self) -> Drawing:
        """The figure as a call.

        Raises:
            ConfigError: No training is chosen, or too many.
            DataError: Metrics are damaged, or have nothing of the quantity.
        """
        count = len(self.chosen.value)
        if not 1 <= count <= MAX_RUNS:
            raise ConfigError(f"{count} trainings are chosen; choose 1 to {MAX_RUNS}")
        metrics, quantity = self.metrics(), self.quantity.value
        self._steps = {name: len(table) for name, table in metrics.items()}
        methods = {name: self.trainings[name].info.method for name in metrics}
        function = "state_figure" if quantity == STATE else "training_figure"
        imports = (
            "from effwb.analysis.run_root import survey",
            "from effwb.analysis.training_metrics import metrics_about",
        )
        data = {f"metrics_about(metrics, {quantity!r})": metrics_about(metrics, quantity)}
        return Drawing(function, data, {"window": self.window.value, "methods": methods}, imports)

    def figure(self) -> Figure:
        """The figure as it is now, as a plain figure that needs no kernel."""
        return self.drawing().figure()

    def cell(self) -> str:
        """The code of a cell that draws the figure again."""
        return training_cell(self.drawing(), self._root, list(self.chosen.value))

    def open(self) -> None:
        """Draw into a new canvas: in the page of Voila a canvas that was hidden takes no changes."""
        before, self.canvas = self.canvas, new_canvas()
        try:
            self.draw()
        finally:
            self._place.children = [self.canvas]
            before.close()

    def draw(self) -> None:
        """Draw the figure of the chosen trainings; nothing where they cannot be drawn."""
        self.copy.code = ""
        try:
            drawing = self.drawing()
            draw(self.canvas, drawing.figure())
        except Exception:
            empty(self.canvas)
            raise
        self.copy.code = training_cell(drawing, self._root, list(self.chosen.value))

    def renew(self, trainings: Mapping[str, TrainingRun]) -> None:
        """Take the trainings that are on disk now, and draw again where a chosen one has more steps.

        Args:
            trainings: All trainings by name.
        """
        under_way = [name for name in self.chosen.value if not self.trainings[name].finished]
        is_listed = [(name, training.finished) for name, training in self.trainings.items()]
        self.trainings = dict(trainings)
        if is_listed != [(name, training.finished) for name, training in trainings.items()]:
            with self._notice.silent():
                self._offer(name for name in self.chosen.value if name in trainings)
        known = [name for name in under_way if name in trainings]
        if self._steps and any(len(self.trainings[n].metrics()) != self._steps.get(n) for n in known):
            self.draw()
