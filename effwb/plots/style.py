"""The one template of all figures, and the token axis they share.

Token axes are logarithmic by default, with ticks at powers of two. Budget 0, accuracy without thinking, has
no place on such an axis: it is drawn left of the first tick, behind a break in the axis.
"""

import numpy as np
import plotly.graph_objects as go
import plotly.io as pio

# Okabe and Ito's colours without yellow, which is lost on white; distinct for all common colour blindness
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star")  # so that grey prints work
GREY = "#595959"
AXES = ("log", "linear")


def _template() -> go.layout.Template:
    axis = {
        "showline": True,
        "linecolor": "black",
        "ticks": "outside",
        "gridcolor": "#E6E6E6",
        "zeroline": False,
        "title": {"standoff": 12},
        "automargin": True,
    }
    return go.layout.Template(
        layout={
            "colorway": COLOURS,
            "font": {"family": "Arial, Helvetica, sans-serif", "size": 16, "color": "black"},
            "title": {"x": 0.0, "xref": "paper", "font": {"size": 18}},
            "paper_bgcolor": "white",
            "plot_bgcolor": "white",
            "xaxis": axis,
            "yaxis": axis,
            "legend": {"bgcolor": "rgba(255,255,255,0.8)", "font": {"size": 14}},
            "margin": {"l": 70, "r": 25, "t": 60, "b": 65},
            "width": 860,
            "height": 520,
            "hoverlabel": {"font": {"size": 14}},
        }
    )


pio.templates["effwb"] = _template()


def token_axis(fig: go.Figure, budgets, axis: str, *, has_zero: bool, title: str) -> float:
    """Set up the token axis and return where budget 0 goes: 0 itself, or half the first budget on a log
    axis.
    """
    low, high = float(budgets[0]), float(budgets[-1])
    ticks = powers(low, high)
    if axis == "linear":
        fig.update_xaxes(title=title, range=[0, high * 1.01], tickformat=",d")
        return 0.0
    zero, labels = low / 2, [label(t) for t in ticks]
    if has_zero:
        ticks, labels = [zero, *ticks], ["0", *labels]
        fig.add_annotation(
            x=np.log10(zero * 2**0.5),
            y=0,
            yref="paper",
            text="//",
            showarrow=False,
            bgcolor="white",
            yanchor="middle",
        )
    start = np.log10((zero if has_zero else low) / 1.25)
    fig.update_xaxes(
        title=title, type="log", tickvals=ticks, ticktext=labels, range=[start, np.log10(high * 1.15)]
    )
    return zero


def powers(low: float, high: float) -> list[int]:
    return [2**i for i in range(int(np.ceil(np.log2(low))), int(np.floor(np.log2(high))) + 1)]


def label(tokens: int) -> str:
    return f"{tokens // 1024}k" if tokens >= 1024 else str(tokens)


def faint(colour: str, alpha: float) -> str:
    r, g, b = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({r},{g},{b},{alpha})"
