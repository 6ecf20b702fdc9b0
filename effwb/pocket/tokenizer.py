"""The pocket tokenizer: a few dozen whole-string tokens in an ordinary `PreTrainedTokenizerFast`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

SPECIAL = ("<|pad|>", "<|end|>", "<|unk|>", "<|system|>", "<|user|>", "<|assistant|>")
TOKENS = (
    *"0123456789",
    *("+", "-", "=", "?", ",", ":", ";", ".\n", ".", " ", "\n"),
    *("<think>", "</think>", "\\boxed{", "}"),
    *("By digits: ", "Wait", ", check: "),
    *("I will answer the question with ", "Think for ", "Think for maximum ", " tokens."),
    *("Low effort.", "Medium effort.", "High effort."),
)
CHAT_TEMPLATE = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>' + m['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|><think>' }}"
    "{% if enable_thinking is defined and not enable_thinking %}{{ '</think>' }}{% endif %}{% endif %}"
)


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Return the pocket tokenizer.

    It splits a text into the strings of `TOKENS`, longest match first; decoding concatenates them again.
    """
    import re

    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocab = {token: i for i, token in enumerate((*SPECIAL, *TOKENS))}
    core = Tokenizer(models.WordLevel(vocab, unk_token="<|unk|>"))
    pattern = "|".join(re.escape(t).replace("\\\n", "\\n") for t in sorted(TOKENS, key=len, reverse=True))
    core.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), behavior="isolated")
    core.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="<|pad|>",
        eos_token="<|end|>",
        unk_token="<|unk|>",
        extra_special_tokens=list(SPECIAL[3:]),
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        model_max_length=2048,
        padding_side="left",
    )
