"""Line styles and token axes."""

from effwb.plots.style import FIXED_METHODS, line_styles, log_token_axis, round_ticks


class TestLineStyles:
    """A method looks the same in every figure, and no two things in one figure look alike."""

    def test_the_most_compared_methods_have_fixed_styles(self):
        alone = {name: line_styles([name])[name] for name in FIXED_METHODS}
        assert len({colour for colour, _ in alone.values()}) == len(FIXED_METHODS)
        assert line_styles([*reversed(FIXED_METHODS)]) == {
            name: alone[name] for name in reversed(FIXED_METHODS)
        }
        assert line_styles(["other", "lead static=0.5", "vanilla-seed2"]) | {"other": None} == {
            "other": None, "lead static=0.5": alone["lead"], "vanilla-seed2": alone["vanilla"],
        }  # fmt: skip
        assert line_styles(["LAPO-I", "free"]) == {
            "LAPO-I": alone["lapo_internalization"],
            "free": alone["base"],
        }

    def test_no_two_styles_are_equal(self):
        from effwb.designs import DESIGNS

        names = ["base", *DESIGNS, *(f"reo_rl n={n}" for n in range(12)), "somebody's"]
        assert len(set(line_styles(names).values())) == len(names)
        first = list(line_styles(["gdpo", "gfpo", "alp", "hapo", "gr3", "brpo", "mrt"]).values())
        assert len({colour for colour, _ in first}) == 7  # colours before symbols

    def test_order_matters_only_for_unknown_names(self):
        names = ["reo_rl", "reo_rl n=10", "base", "what"]
        for method in ("reo_rl", "base"):
            assert line_styles(names)[method] == line_styles([method])[method]

    def test_a_given_method_is_used_instead_of_the_name(self):
        kimi, lead = (line_styles([method])[method] for method in ("kimi", "lead"))
        assert line_styles(["run 1", "lead b"], {"run 1": "kimi"}) == {"run 1": kimi, "lead b": lead}
        assert line_styles(["lead b"], {"lead b": "kimi"}) == {"lead b": kimi}


def test_token_ticks_are_powers_of_two_or_round_numbers():
    assert log_token_axis(100, 4000)["ticktext"] == ["128", "256", "512", "1k", "2k", "4k"]
    assert log_token_axis(190, 230)["ticktext"] == ["180", "200", "220", "240"]
    assert round_ticks(180.0, 260.0) == [180.0, 200.0, 220.0, 240.0, 260.0]
