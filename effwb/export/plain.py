"""Plain drawings of plotly figures with matplotlib, for machines without Chrome.

Data, scales, titles, legend and colours are those of the figure; fonts and places may differ.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.transforms import Affine2D, blended_transform_factory

from effwb.export.arrays import decoded, values
from effwb.export.plain_traces import DASHES, POINTS, TRACES, add_bar, colour, plain_text

DPI = 96  # CSS pixels of an inch
COLOURS = ("#636EFA", "#EF553B", "#00CC96", "#AB63FA", "#FFA15A")  # plotly's, where the template has none
MARGIN = {"l": 80, "r": 80, "t": 100, "b": 80}  # plotly's
VERTICAL = {"top": "top", "bottom": "bottom"}
LEGEND = {"fontsize": 9, "framealpha": 0.8, "edgecolor": "none"}


def draw(figure: Mapping[str, Any], suffix: str, width: float, height: float) -> bytes:
    """Draw a figure.

    Args:
        figure: A plotly figure as a dictionary.
        suffix: ".svg", ".pdf" or ".png".
        width: Width in CSS pixels.
        height: Height in CSS pixels.

    Returns:
        The bytes of the file.
    """
    figure = decoded(figure)
    drawing = _Drawing(figure, width, height)
    for i, trace in enumerate(figure.get("data", [])):
        if trace.get("visible", True) is True:
            drawing.add_trace(trace, drawing.colours[i % len(drawing.colours)])
    drawing.finish()
    file = io.BytesIO()
    drawing.page.savefig(file, format=suffix[1:])
    return file.getvalue()


class _Drawing:
    """A page of matplotlib with the panels of a plotly figure, by the names of their axes."""

    def __init__(self, figure: Mapping[str, Any], width: float, height: float):
        self.layout = figure.get("layout", {})
        self.template = self.layout.get("template", {}).get("layout", {})
        self.colours = self.template.get("colorway") or COLOURS
        self.page = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")
        FigureCanvasAgg(self.page)
        self.panels: dict[tuple[str, str], Any] = {}
        self.handles: dict[str, dict[str, Any]] = {}  # by legend and entry
        self.stacks: dict[tuple[str, str], np.ndarray] = {}
        self.legend = {**self.template.get("legend", {}), **self.layout.get("legend", {})}
        margin = {**MARGIN, **self.template.get("margin", {}), **self.layout.get("margin", {})}
        left, bottom = margin["l"] + 10, margin["b"] + 10
        right = margin["r"] + (150 if (self.legend.get("x") or 0) >= 1 else 0)  # room for the legend
        self.start = np.array([left / width, bottom / height])
        self.area = np.array([1 - (left + right) / width, 1 - (bottom + margin["t"]) / height])

    def axis(self, name: str) -> dict[str, Any]:
        """Settings of an axis by its short name, such as "x2", over those of the template."""
        own, default = (
            settings.get(key, {})
            for settings, key in (
                (self.layout, f"{name[0]}axis{name[1:]}"),
                (self.template, f"{name[0]}axis"),
            )
        )
        return {**default, **own}

    def panel(self, x: str, y: str) -> Any:
        """The axes of matplotlib for two axes of plotly."""
        if (x, y) in self.panels:
            return self.panels[x, y]
        above = self.axis(y).get("overlaying")
        domains = np.array(
            [self.axis(x).get("domain", (0, 1)), self.axis(above or y).get("domain", (0, 1))], dtype=float
        )
        place = self.start + self.area * domains[:, 0]
        panel = self.page.add_axes((*place, *(self.area * np.diff(domains)[:, 0])))
        panel.set_axisbelow(True)
        panel.grid(not above, color="#E6E6E6", linewidth=0.8)
        panel.spines[["top", "right"]].set_visible(False)
        if above:
            panel.patch.set_visible(False)
            panel.yaxis.tick_right()
            panel.yaxis.set_label_position("right")
        self.panels[x, y] = panel
        return panel

    def add_trace(self, trace: Mapping[str, Any], default: str) -> None:
        key = (trace.get("xaxis") or "x", trace.get("yaxis") or "y")
        panel, kind = self.panel(*key), trace.get("type", "scatter")
        if kind not in TRACES:
            panel.text(0.5, 0.5, f"{kind}: needs Chrome", transform=panel.transAxes, ha="center")
            return
        if kind == "bar" and self.layout.get("barmode") == "stack":
            length = values(trace.get("x" if trace.get("orientation") == "h" else "y")).astype(float)
            base = self.stacks.get(key, np.zeros(len(length)))
            self.stacks[key] = base + np.nan_to_num(length)
            handle = add_bar(panel, trace, default, base)
        else:
            handle = TRACES[kind](panel, trace, default)
        if trace.get("name") and handle is not None and trace.get("showlegend") is not False:
            handles = self.handles.setdefault(trace.get("legend") or "legend", {})
            handles.setdefault(plain_text(trace["name"]), handle)

    def finish(self) -> None:
        """Add what stands around the data: axes, shapes, texts, title and legend."""
        for (x, y), panel in self.panels.items():
            _set_axis(panel, panel.xaxis, "x", self.axis(x))
            _set_axis(panel, panel.yaxis, "y", self.axis(y))
        for shape in self.layout.get("shapes") or ():
            self.add_shape(shape)
        for note in self.layout.get("annotations") or ():
            self.add_note(note)
        self.page.text(0.02, 0.985, _title(self.layout), fontsize=13, va="top")
        if self.layout.get("showlegend") is not False:
            for name, handles in self.handles.items():
                if len(self.handles) > 1 or len(handles) > 1:
                    self.add_legend({**self.template.get("legend", {}), **self.layout.get(name, {})}, handles)

    def add_legend(self, settings: Mapping[str, Any], handles: Mapping[str, Any]) -> None:
        """Draw a legend where plotly has it: x and y are shares of the area, or of the page."""
        at = np.array([settings.get("x", 1.02), settings.get("y", 1.0)], dtype=float)
        for i, name in enumerate(("xref", "yref")):
            at[i] = at[i] if settings.get(name) == "container" else self.start[i] + self.area[i] * at[i]
        is_row = settings.get("orientation") == "h"
        sides = settings.get("yanchor") or ("upper" if at[1] > 0.5 else "lower"), settings.get("xanchor")
        vertical = {"top": "upper", "bottom": "lower", "middle": "center"}.get(sides[0], sides[0])
        horizontal = {"right": "right", "center": "center"}.get(sides[1] or "", "left")
        where = "center" if (vertical, horizontal) == ("center", "center") else f"{vertical} {horizontal}"
        longest = 0.008 * self.page.dpi * max(map(len, handles)) / self.page.get_figwidth() / 9.6 + 0.06
        columns = min(len(handles), max(1, int(self.area[0] / longest))) if is_row else 1
        box: dict[str, Any] = {
            "bbox_to_anchor": tuple(at),
            "bbox_transform": self.page.transFigure,
            "borderaxespad": 0.2,
        }
        style: dict[str, Any] = {"loc": where, "ncols": columns, **box, **LEGEND}
        self.page.legend([*handles.values()], [*handles], **style)

    def place(self, item: Mapping[str, Any]) -> tuple[Any, Any]:
        """The panel of a shape or a text, and how its coordinates become places on the page."""
        references = [str(item.get(f"{name}ref") or name) for name in "xy"]
        names = [reference.split()[0] for reference in references]
        near = (panel for key, panel in self.panels.items() if key[0] == names[0] or key[1] == names[1])
        panel = next(near, None) or next(iter(self.panels.values()))
        panel = self.panels.get((names[0], names[1]), panel)
        paper = Affine2D().scale(*self.area).translate(*self.start) + self.page.transFigure
        transforms = [
            paper if reference == "paper" else panel.transAxes if "domain" in reference else panel.transData
            for reference in references
        ]
        return panel, blended_transform_factory(*transforms)

    def add_shape(self, shape: Mapping[str, Any]) -> None:
        if not self.panels or shape.get("type") not in ("line", "rect"):
            return
        panel, transform = self.place(shape)
        x, y = ([float(shape[f"{name}0"]), float(shape[f"{name}1"])] for name in "xy")
        line = shape.get("line", {})
        if shape["type"] == "line":
            dash, width = DASHES.get(line.get("dash", ""), "-"), POINTS * line.get("width", 2)
            style = {"color": colour(line.get("color")), "linestyle": dash, "linewidth": width}
            panel.add_line(Line2D(x, y, transform=transform, **style))
        else:
            fill = (*colour(shape.get("fillcolor"))[:3], shape.get("opacity", 1))
            size = x[1] - x[0], y[1] - y[0]
            panel.add_patch(Rectangle((x[0], y[0]), *size, color=fill, lw=0, transform=transform, zorder=0))

    def add_note(self, note: Mapping[str, Any]) -> None:
        if not self.panels or not all(isinstance(note.get(name), int | float) for name in "xy"):
            return
        panel, transform = self.place(note)
        at = [float(note["x"]), float(note["y"])]
        for i, (name, scale) in enumerate((("x", panel.get_xscale()), ("y", panel.get_yscale()))):
            reference = str(note.get(f"{name}ref") or name)
            if scale == "log" and reference != "paper" and "domain" not in reference:
                at[i] = 10.0 ** at[i]  # plotly wants the logarithm
        own = colour(note.get("font", {}).get("color") or "black")
        sides = {
            "ha": note.get("xanchor") or "center",
            "va": VERTICAL.get(note.get("yanchor") or "", "center"),
        }
        sides["ha"] = sides["ha"].replace("auto", "center")
        panel.text(*at, plain_text(note.get("text")), transform=transform, color=own, fontsize=9, **sides)


def _title(settings: Mapping[str, Any]) -> str:
    title = settings.get("title") or {}
    return plain_text(title.get("text") if isinstance(title, Mapping) else title)


def _set_axis(panel: Any, axis: Any, name: str, settings: Mapping[str, Any]) -> None:
    """Scale, range, ticks and title of one axis."""
    is_log, has_names = settings.get("type") == "log", axis.have_units()
    if is_log:
        getattr(panel, f"set_{name}scale")("log")
    limits = settings.get("range")
    if limits is not None and not has_names and None not in limits:
        getattr(panel, f"set_{name}lim")(*(10.0 ** float(v) if is_log else float(v) for v in limits))
    elif settings.get("rangemode") == "tozero" and not is_log:
        getattr(panel, f"set_{name}lim")(**{"bottom" if name == "y" else "left": 0})
    if settings.get("tickvals") is not None and not has_names:
        ticks = values(settings["tickvals"]).astype(float)
        texts = settings.get("ticktext")
        labels = [f"{tick:g}" for tick in ticks] if texts is None else [plain_text(t) for t in values(texts)]
        inside = (
            [min(limits) <= (np.log10(t) if is_log else t) <= max(limits) for t in ticks] if limits else ()
        )
        keep = np.array(inside or [True] * len(ticks), dtype=bool)
        axis.set_ticks(ticks[keep], [label for label, kept in zip(labels, keep, strict=False) if kept])
        axis.set_ticks([], minor=True)
    elif "%" in (settings.get("tickformat") or ""):
        axis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axis.set_tick_params(labelsize=9)
    if settings.get("showticklabels") is False:
        axis.set_tick_params(labelbottom=False, labelleft=False)
    axis.set_label_text(_title(settings), fontsize=11)
