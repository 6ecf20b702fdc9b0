"""Line styles and token axes."""

from itertools import combinations

import numpy as np
import pytest

from effwb.designs import DESIGNS, Design
from effwb.plots.style import (
    COLOURS,
    HUES,
    METHODS,
    OWN_COLOUR,
    line_styles,
    log_token_axis,
    method_style,
    round_ticks,
)
from tests.plots.examples import METHOD_FIGURES, looks

FIXED_METHODS = ("base", "vanilla", "reo_rl", "lead", "lapo_internalization", "length_group_norm", "kimi")
VARIANTS = [
    "kimi weight=0.5",
    "kimi weight=1",
    "kimi weight=2",
    "reo_rl oracle",
    "reo_rl n=10",
    "mine rate=3",
]


class TestMethodStyle:
    """The look of a method is a property of its name."""

    @pytest.mark.parametrize("kind", METHOD_FIGURES)
    def test_every_design_has_one_colour_in_every_kind_of_figure(self, kind):
        names = ["base", *DESIGNS, *VARIANTS]
        expected = {name: method_style(name).colour for name in names}
        drawn = looks(METHOD_FIGURES[kind](names), names)
        assert {name: colour for name, (colour, *_) in drawn.items()} == expected
        in_small_figures = {}
        for some in (names[i::6] for i in range(6)):  # whatever else is in the figure
            fig = METHOD_FIGURES[kind](some)
            in_small_figures |= {name: colour for name, (colour, *_) in looks(fig, some).items()}
        assert in_small_figures == expected

    @pytest.mark.parametrize("kind", METHOD_FIGURES)
    def test_no_two_methods_of_a_figure_share_colour_and_marker_or_dash(self, kind):
        names = ["base", *DESIGNS, *VARIANTS]
        drawn = looks(METHOD_FIGURES[kind](names), names)
        assert len(drawn) == len(names)
        for (first, a), (second, b) in combinations(drawn.items(), 2):
            assert (a[0], a[1]) != (b[0], b[1]), (first, second)
            has_dash = kind not in (
                "training",
                "state",
                "published",
                "reg tradeoff",
            )  # quantities have dashes
            assert not (has_dash and a[0] == b[0] and a[2] == b[2] and kind != "owners"), (first, second)

    def test_a_design_of_ones_own_has_one_colour_by_module_path_and_by_name(self):
        assert method_style("my_designs:LengthPrice") == method_style("length_price")
        assert method_style("my_designs:LengthPrice rate=0.1") == method_style("length_price rate=0.1")

    def test_a_design_registered_later_changes_no_colour(self, monkeypatch):
        names = ["base", *DESIGNS, *VARIANTS, "mine", "mine rate=3"]
        before = {name: method_style(name) for name in names}
        monkeypatch.setitem(DESIGNS, "mine", type("Mine", (Design,), {}))
        monkeypatch.setitem(DESIGNS, "kimi_too", type("KimiToo", (Design,), {}))
        assert {name: method_style(name) for name in names} == before
        both = line_styles([*names, "kimi_too"])
        assert {name: both[name].colour for name in names} == {n: style.colour for n, style in before.items()}

    def test_every_design_has_a_place_and_no_two_look_alike(self):
        assert set(DESIGNS) <= {*OWN_COLOUR, *METHODS}
        styles = {name: method_style(name) for name in (*OWN_COLOUR, *METHODS)}
        assert len({(style.colour, style.symbol) for style in styles.values()}) == len(styles)
        assert len({(style.colour, style.dash) for style in styles.values()}) == len(styles)
        assert len({(style.symbol, style.dash) for style in styles.values()}) == len(styles)  # in grey print

    def test_base_vanilla_and_the_frontier_have_colours_that_no_other_method_has(self):
        assert not {*COLOURS[:2], "#000000", "black"} & set(HUES)
        others = [method_style(name).colour for name in (*METHODS, *VARIANTS, "mine")]
        assert not {*COLOURS[:2], "#000000"} & set(others)

    def test_places_are_worked_out_by_hand(self):
        # reo_rl is the first of METHODS: first hue, third marker (base and vanilla have the first two), solid
        assert method_style("reo_rl") == ("#009E73", "diamond", "solid")
        # gdpo is the tenth: nine hues, so the first again, (9 + 2) mod 11 = marker 0, in the second dash
        assert method_style("gdpo") == ("#009E73", "circle", "dash")
        assert method_style("base") == ("#0072B2", "circle", "solid")

    @pytest.mark.parametrize(
        ("name", "same"),
        [
            ("kimi weight=0.5", "kimi_weight=0.5-seed0"),
            ("kimi weight=0.5", "training/pocket/kimi_weight=0.5-seed12"),
            ("truncation target=64 variant=-I", "truncation_target=64_variant=-I-seed2"),
            ("lapo_internalization after lapo_discovery", "lapo_internalization_after_lapo_discovery-seed0"),
            ("tail_tax rate=0.01", "tail_tax_rate=0.01-seed3"),
            ("tail_tax after vanilla", "tail_tax_after_vanilla-seed3"),
            ("LAPO-I", "lapo_internalization"),
            ("free", "base"),
            ("low", "low effort"),
            ("Vanilla RL", "vanilla"),
        ],
    )
    def test_a_run_and_its_method_look_the_same(self, name, same):
        assert method_style(name) == method_style(same)

    def test_variants_have_the_hue_of_their_design_in_other_shades(self):
        shades = [method_style(f"length_group_norm alpha={alpha}").colour for alpha in (0.05, 0.1, 0.2, 0.4)]
        rgb = np.array([[int(shade[k : k + 2], 16) for k in (1, 3, 5)] for shade in shades])
        assert (np.diff(rgb.sum(axis=1)) > 20).all()  # lighter with every doubling
        assert (rgb[:, 0] < rgb[:, 1]).all()
        assert (rgb[:, 1] < rgb[:, 2]).all()  # sky blue like "length_group_norm"
        assert method_style("length_group_norm").colour not in shades

    def test_shades_have_the_luminance_they_should(self):
        # 0.5 is one octave below 1: step round(log2 0.5) + 4 = 3 of the shades, luminance 0.28
        colour = method_style("kimi weight=0.5").colour
        linear = [(int(colour[k : k + 2], 16) / 255) ** 2.2 for k in (1, 3, 5)]
        assert np.dot(linear, (0.2126, 0.7152, 0.0722)) == pytest.approx(0.28, abs=0.005)


class TestLineStyles:
    """No two things in one figure look alike."""

    def test_the_most_compared_methods_have_different_colours(self):
        alone = {name: line_styles([name])[name] for name in FIXED_METHODS}
        assert len({colour for colour, *_ in alone.values()}) == len(FIXED_METHODS)
        assert line_styles([*reversed(FIXED_METHODS)]) == {
            name: alone[name] for name in reversed(FIXED_METHODS)
        }
        assert line_styles(["LAPO-I", "free"]) == {
            "LAPO-I": alone["lapo_internalization"],
            "free": alone["base"],
        }

    def test_no_two_styles_are_equal(self):
        names = ["base", *DESIGNS, *(f"reo_rl n={n}" for n in range(12)), "somebody's"]
        assert len(set(line_styles(names).values())) == len(names)
        first = list(line_styles(["gdpo", "gfpo", "alp", "hapo", "gr3", "brpo", "mrt"]).values())
        assert len({style.colour for style in first}) == 7  # colours before symbols

    def test_seeds_of_a_method_share_its_colour_and_differ_in_marker_and_dash(self):
        styles = line_styles([f"kimi-seed{seed}" for seed in range(5)]).values()
        assert {style.colour for style in styles} == {method_style("kimi").colour}
        assert len({style.symbol for style in styles}) == len({style.dash for style in styles}) == 5

    def test_order_does_not_matter_for_colours(self):
        names = ["reo_rl", "reo_rl n=10", "base", "what"]
        colours = {name: style.colour for name, style in line_styles(names).items()}
        assert {n: style.colour for n, style in line_styles(names[::-1]).items()} == colours

    def test_a_given_method_is_used_instead_of_the_name(self):
        kimi, lead = (line_styles([method])[method] for method in ("kimi", "lead"))
        assert line_styles(["run 1", "lead"], {"run 1": "kimi"}) == {"run 1": kimi, "lead": lead}
        assert line_styles(["lead b"], {"lead b": "kimi"}) == {"lead b": kimi}


def test_token_ticks_are_powers_of_two_or_round_numbers():
    assert log_token_axis(100, 4000)["ticktext"] == ["128", "256", "512", "1k", "2k", "4k"]
    assert log_token_axis(190, 230)["ticktext"] == ["180", "200", "220", "240"]
    assert round_ticks(180.0, 260.0) == [180.0, 200.0, 220.0, 240.0, 260.0]
