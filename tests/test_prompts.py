"""Prompts: hints, efforts and modes land where the papers put them."""

import pytest

from effwb import prompts
from effwb.errors import ConfigError

POCKET = prompts.TEMPLATES["pocket"]


def text(sampler, **options):
    return prompts.render(sampler.tokenizer, "1+2=?", POCKET, **options)[0]


def test_plain_prompt(pocket):
    assert text(pocket) == "<|user|>1+2=?<|end|><|assistant|><think>"
    assert prompts.opens_thinking(text(pocket))


def test_variations(pocket):
    assert "Think for 60 tokens.<|end|>" in text(pocket, hint=60)
    assert "Think for maximum 60 tokens.<|end|>" in text(pocket, hint=60, hint_place="max")
    think = text(pocket, hint=60, hint_place="think")
    assert think.endswith("<think>I will answer the question with 60 tokens.\n")
    assert text(pocket, effort="low").startswith("<|system|>Low effort.<|end|>")
    empty = text(pocket, thinking=False)
    assert empty.endswith("<think></think>")
    assert not prompts.opens_thinking(empty)


@pytest.mark.parametrize("name", sorted(set(prompts.TEMPLATES) - {"pocket"}))
def test_real_templates_have_the_effort_prompts_of_tops_as_printed(name):
    """Beginnings, ends and lengths in words, as in papers and repositories that reuse them."""
    printed = {
        "low": ("You have extremely limited time to think", "quick, clear and correct response.", 76),
        "medium": ("You have sufficient time to think", "without unnecessary delays and overthinking.", 102),
        "high": ("You have unlimited time to think", "and well-supported by your reasoning.", 119),
    }
    for effort, (begin, end, words) in printed.items():
        text = prompts.TEMPLATES[name].efforts[effort]
        assert text.startswith(f"{effort.capitalize()} Reasoning Effort: {begin}")
        assert text.endswith(end)
        assert len(text.split()) == words
    assert "UNLESS ABSOLUTELY NECESSARY" in prompts.TEMPLATES[name].efforts["low"]


def test_runs_without_an_effort_prompt_keep_the_identity_of_earlier_runs():
    boxed = prompts.TEMPLATES["boxed"]
    assert boxed.identity()["efforts"] == prompts.EARLIER_EFFORTS
    assert prompts.EARLIER_EFFORTS["medium"].endswith("stop once the analysis is sufficient.")
    assert boxed.identity("low")["efforts"] == prompts.EFFORTS
    own = prompts.Template("own", efforts={"low": "Be quick."})
    assert own.identity() == own.identity("low")
    assert own.identity()["efforts"] == {"low": "Be quick."}
    efforts = {"low": "Low effort.", "medium": "Medium effort.", "high": "High effort."}
    assert POCKET.identity()["efforts"] == POCKET.identity("low")["efforts"] == efforts


def test_every_pocket_text_is_in_the_vocabulary(pocket):
    for options in (
        *({"hint": 123, "hint_place": p} for p in prompts.HINTS),
        *({"effort": e} for e in POCKET.efforts),
        {"thinking": False},
    ):
        prompt, ids = prompts.render(pocket.tokenizer, "120+45=?", POCKET, **options)
        assert pocket.tokenizer.unk_token_id not in ids
        assert pocket.tokenizer.decode(ids) == prompt
    with pytest.raises(ConfigError, match="no token for part of the suffix"):
        prompts.check_known(pocket.tokenizer, "Oh", pocket.tokenizer.encode("Oh"), "the suffix")
    prompts.check_known(pocket.tokenizer, "<|unk|>", pocket.tokenizer.encode("<|unk|>"), "the suffix")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"effort": "lo"}, "'lo'.*low, medium, high"),
        ({"hint": 60, "hint_place": "end"}, "'end'.*user, max, think"),
        ({"hint": 0}, "positive whole number.*0"),
        ({"hint": 2.5}, "2.5"),
        ({"hint": 60, "hint_place": "think", "thinking": False}, "ends by opening <think>"),
    ],
)
def test_bad_options(pocket, options, message):
    with pytest.raises(ConfigError, match=message):
        text(pocket, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"thinking": "False"}, "thinking must be True or False, got 'False'"),
        ({"opening": "closed"}, "'closed'.*free, think, empty"),
        ({"hint_place": "end"}, "'end'.*user, max, think"),
    ],
)
def test_bad_prompting(options, message):
    with pytest.raises(ConfigError, match=message):
        prompts.Prompting(**options)


class NoThinking:
    """A tokenizer whose chat template ends every prompt with the same text and has no thinking mode."""

    unk_token_id = None

    def __init__(self, end):
        self.end = end

    def apply_chat_template(self, messages, **_):
        return messages[-1]["content"] + self.end

    def encode(self, text, **_):
        return list(text.encode())


def test_chat_templates_without_thinking():
    with pytest.raises(ConfigError, match="ends by opening <think>"):
        prompts.render(NoThinking(""), "q", prompts.TEMPLATES["boxed"], hint=5, hint_place="think")
    with pytest.raises(ConfigError, match="no effect"):
        prompts.render(NoThinking(""), "q", prompts.TEMPLATES["boxed"], thinking=False)


def test_unknown_template():
    with pytest.raises(ConfigError, match=r"'poket'.*pocket.*boxed"):
        prompts.template("poket")


def test_a_template_that_only_opens_the_thinking_has_it_closed():
    text, _ = prompts.render(NoThinking("<think>\n"), "q", prompts.TEMPLATES["boxed"], thinking=False)
    assert text.endswith("<think>\n</think>")


def test_graded_text_keeps_the_thinking_open():
    assert prompts.graded_text(True, "x").startswith("<think>")
    assert prompts.graded_text(False, "x") == "x"
