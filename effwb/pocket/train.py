"""Train the pocket model from scratch: supervised learning on fresh traces, batched by length."""

from __future__ import annotations

import hashlib
import inspect
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from effwb import prompts
from effwb.pocket import tokenizer as tokenizer_module
from effwb.pocket import traces, world
from effwb.pocket.tokenizer import build_tokenizer
from effwb.pocket.traces import Example, TraceMaker
from effwb.runs import check_identity, write_atomic

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

MODEL = dict(
    hidden_size=128,
    intermediate_size=384,
    num_hidden_layers=4,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=32,
    max_position_embeddings=2048,
    tie_word_embeddings=True,
    attention_bias=False,
    use_sliding_window=False,
)


def build(
    out_dir: str | Path,
    *,
    work_dir: str | Path,
    steps: int = 4000,
    tokens_per_batch: int = 8192,
    lr: float = 6e-3,
    seed: int = 0,
    save_every: int = 250,
    report: Callable[[int, float, float], None] | None = None,
) -> list[float]:
    """Train a pocket model from scratch and save it with its tokenizer.

    A build that was killed continues from the last saved step with the same data. The result is deterministic
    up to the order of floating-point sums.

    Args:
        out_dir: Directory for model and tokenizer.
        work_dir: Directory for the progress of the build.
        steps: Number of optimizer steps.
        tokens_per_batch: Tokens per batch, padding included.
        lr: Peak learning rate.
        seed: Seed of the weights and the data.
        save_every: Save the progress after so many steps.
        report: Called every 50 steps with the step, the mean loss since the last call, and the seconds
            so far.

    Returns:
        The loss of each step.

    Raises:
        IdentityError: `work_dir` holds the progress of a build with other settings or another pocket world.
    """
    import torch

    tokenizer = build_tokenizer()
    model = new_model(tokenizer, seed)
    optims = optimizers(model, lr)
    progress = _Progress(Path(work_dir) / "progress.pt", model, optims)
    settings = dict(
        steps=steps, tokens_per_batch=tokens_per_batch, lr=lr, seed=seed, world=world_fingerprint()
    )
    losses = progress.restore(settings)
    stream, start = batches(tokenizer, seed, tokens_per_batch, len(losses)), time.perf_counter()
    model.train()
    for step in range(len(losses), steps):
        losses.append(
            _step(model, optims, lr * learning_rate(step, steps), *map(torch.from_numpy, next(stream)))
        )
        if (step + 1) % save_every == 0:
            progress.save(losses)
        if report and (step + 1) % 50 == 0:
            report(step + 1, float(np.mean(losses[-50:])), time.perf_counter() - start)
    model.eval().save_pretrained(out_dir)
    tokenizer.save_pretrained(out_dir)
    return losses


def new_model(
    tokenizer: PreTrainedTokenizerFast, seed: int = 0, **overrides: int | float | bool
) -> Qwen3ForCausalLM:
    """Return an untrained Qwen3 of about 0.8 M parameters.

    Args:
        tokenizer: The pocket tokenizer; it gives the vocabulary and the special tokens.
        seed: Seed of the weights.
        overrides: Settings of `Qwen3Config` to use instead of those in `MODEL`.
    """
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(seed)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **{**MODEL, **overrides},
    )
    return Qwen3ForCausalLM(config)


def batches(
    tokenizer: PreTrainedTokenizerFast, seed: int, tokens_per_batch: int, start: int = 0, pool: int = 24
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield training batches without end.

    Examples are drawn for `pool` batches at once, sorted by length, cut into batches and shuffled. Pool p
    depends on (seed, p) only, so training can be resumed at any batch.

    Args:
        tokenizer: The pocket tokenizer.
        seed: Seed of the data.
        tokens_per_batch: Tokens per batch, padding included.
        start: Number of the first batch to yield.
        pool: Number of batches that are drawn together.

    Yields:
        Token ids and labels, int64 (B, T) each. Rows are padded on the right, where causal attention never
        looks; labels are -100 for tokens without loss.
    """
    number = start // pool
    while True:
        ready = _pool(TraceMaker(tokenizer, f"{seed}-{number}"), tokens_per_batch, pool)
        yield from (_pad(batch, tokenizer.pad_token_id) for batch in ready[start % pool :])
        number, start = number + 1, 0


def optimizers(model: torch.nn.Module, lr: float) -> list[torch.optim.Optimizer]:
    """Return two optimizers: Muon for the matrices inside the layers, AdamW for embeddings and norms."""
    import torch

    matrices = [
        p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n and "lm_head" not in n
    ]
    matrix_ids = {id(p) for p in matrices}
    rest = [p for p in model.parameters() if id(p) not in matrix_ids]
    muon = torch.optim.Muon(matrices, lr=lr, weight_decay=0.01, adjust_lr_fn="match_rms_adamw")
    adam = torch.optim.AdamW(rest, lr=lr, betas=(0.9, 0.98), weight_decay=0.01)
    return [muon, adam]


def learning_rate(step: int, steps: int, warmup: int = 100) -> float:
    """Return the learning rate as a share of its peak: linear warm-up, flat, linear to 0 in the second half.

    Args:
        step: The step, from 0.
        steps: Number of steps in total.
        warmup: Number of steps of the warm-up.
    """
    return min(1.0, (step + 1) / warmup, 2 * (1 - step / steps))


def world_fingerprint() -> str:
    """Return a hash of all that determines the data and the model: world, traces, tokenizer, architecture.

    A build that was interrupted is continued only if this has not changed.
    """
    sources = [inspect.getsource(m) for m in (world, traces, tokenizer_module)]
    words = (MODEL, prompts.HINT_TEXTS, prompts.TEMPLATES["pocket"])
    return hashlib.sha256("".join([*sources, repr(words)]).encode()).hexdigest()[:12]


def _pool(maker: TraceMaker, tokens_per_batch: int, pool: int) -> list[list[Example]]:
    """Exactly `pool` batches of at most `tokens_per_batch` tokens, padding included."""
    examples: list[Example] = []
    tokens = 0
    while tokens < 1.1 * pool * tokens_per_batch:
        examples.append(maker.draw())
        tokens += len(examples[-1].tokens)
    examples.sort(key=lambda e: len(e.tokens))
    ready: list[list[Example]] = []
    batch: list[Example] = []
    for example in examples:
        if batch and (len(batch) + 1) * len(example.tokens) > tokens_per_batch:
            ready.append(batch)
            batch = []
        batch.append(example)
    ready.append(batch)
    maker.rng.shuffle(ready)
    return ready[:pool]


def _pad(examples: list[Example], pad_id: int) -> tuple[np.ndarray, np.ndarray]:
    width = max(len(e.tokens) for e in examples)
    ids = np.full((len(examples), width), pad_id)
    labels = np.full((len(examples), width), -100)
    for row, e in enumerate(examples):
        ids[row, : len(e.tokens)] = e.tokens
        labels[row, : len(e.tokens)] = np.where(e.loss, e.tokens, -100)
    return ids, labels


def _step(model, optims, rate: float, ids, labels) -> float:
    import torch

    for optim in optims:
        for group in optim.param_groups:
            group["lr"] = rate
    with torch.autocast("cpu", torch.bfloat16):
        hidden = model.model(input_ids=ids[:, :-1], use_cache=False).last_hidden_state
        has_loss = labels[:, 1:] != -100
        logits = model.lm_head(hidden[has_loss])
    loss = torch.nn.functional.cross_entropy(logits.float(), labels[:, 1:][has_loss])
    for optim in optims:
        optim.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for optim in optims:
        optim.step()
    return loss.item()


class _Progress:
    """Weights, optimizer states and losses on disk, with the settings of their build."""

    def __init__(self, path: Path, model, optims):
        self.path, self.model, self.optims = path, model, optims
        self.settings: dict = {}

    def restore(self, settings: dict) -> list[float]:
        import torch

        self.settings = settings
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if not self.path.exists():
            return []
        saved = torch.load(self.path, weights_only=True)
        check_identity(saved["settings"], settings, self.path)
        self.model.load_state_dict(saved["model"])
        for optim, state in zip(self.optims, saved["tools"], strict=True):
            optim.load_state_dict(state)
        return saved["losses"]

    def save(self, losses: list[float]) -> None:
        import io

        import torch

        buffer = io.BytesIO()
        states = [o.state_dict() for o in self.optims]
        saved = dict(settings=self.settings, model=self.model.state_dict(), tools=states, losses=losses)
        torch.save(saved, buffer)
        write_atomic(self.path, buffer.getvalue())
