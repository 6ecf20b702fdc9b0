"""Train the pocket model from nothing: plain supervised learning on fresh traces, batches sorted by
length.
"""

import hashlib
import inspect
import time
from pathlib import Path

import numpy as np

from effwb import prompts
from effwb.pocket import tokenizer as tokenizer_module
from effwb.pocket import traces, world
from effwb.pocket.tokenizer import build_tokenizer
from effwb.pocket.traces import TraceMaker
from effwb.runs import check_identity, write_atomic

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


def new_model(tokenizer, seed: int = 0, **overrides):
    """An untrained Qwen3 of about 0.8 M parameters for the pocket tokenizer."""
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


def batches(tokenizer, seed: int, tokens_per_batch: int, start: int = 0, pool: int = 24):
    """Endless (ids, labels) int64 arrays (B, T), beginning with batch number `start`.

    `pool` batches are drawn at once, sorted by length and shuffled. Pool p depends on (seed, p) only, so
    training can be resumed at any batch. Rows are padded on the right, which causal attention never looks at;
    labels are -100 where there is no loss.
    """
    number = start // pool
    while True:
        ready = _pool(TraceMaker(tokenizer, f"{seed}-{number}"), tokens_per_batch, pool)
        yield from (_pad(batch, tokenizer.pad_token_id) for batch in ready[start % pool :])
        number, start = number + 1, 0


def _pool(maker, tokens_per_batch: int, pool: int) -> list[list]:
    """Exactly `pool` batches of at most `tokens_per_batch` tokens, padding included."""
    drawn, cost = [], 0
    while cost < 1.1 * pool * tokens_per_batch:
        drawn.append(maker.draw())
        cost += len(drawn[-1].tokens)
    drawn.sort(key=lambda e: len(e.tokens))
    ready, batch = [], []
    for example in drawn:
        if batch and (len(batch) + 1) * len(example.tokens) > tokens_per_batch:
            ready.append(batch)
            batch = []
        batch.append(example)
    ready.append(batch)
    maker.rng.shuffle(ready)
    return ready[:pool]


def _pad(examples, pad_id):
    width = max(len(e.tokens) for e in examples)
    ids = np.full((len(examples), width), pad_id)
    labels = np.full((len(examples), width), -100)
    for row, e in enumerate(examples):
        ids[row, : len(e.tokens)] = e.tokens
        labels[row, : len(e.tokens)] = np.where(e.loss, e.tokens, -100)
    return ids, labels


def optimizers(model, lr: float):
    """Muon for the matrices inside the layers, AdamW for embeddings and norms."""
    import torch

    matrices = [
        p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n and "lm_head" not in n
    ]
    chosen = {id(p) for p in matrices}
    rest = [p for p in model.parameters() if id(p) not in chosen]
    muon = torch.optim.Muon(matrices, lr=lr, weight_decay=0.01, adjust_lr_fn="match_rms_adamw")
    adam = torch.optim.AdamW(rest, lr=lr, betas=(0.9, 0.98), weight_decay=0.01)
    return [muon, adam]


def world_fingerprint() -> str:
    """Changes with world, traces, vocabulary and architecture: a half-done build belongs to one of them."""
    sources = [inspect.getsource(m) for m in (world, traces, tokenizer_module)]
    words = (MODEL, prompts.HINT_TEXTS, prompts.TEMPLATES["pocket"])
    return hashlib.sha256("".join([*sources, repr(words)]).encode()).hexdigest()[:12]


def learning_rate(step: int, steps: int, warmup: int = 100) -> float:
    """Share of the peak rate: linear warm-up, flat, linear to zero over the second half."""
    return min(1.0, (step + 1) / warmup, 2 * (1 - step / steps))


def build(
    out_dir: str | Path,
    *,
    work_dir: str | Path,
    steps: int = 4000,
    tokens_per_batch: int = 8192,
    lr: float = 6e-3,
    seed: int = 0,
    save_every: int = 250,
    report=None,
):
    """Train a pocket model from nothing and save it with its tokenizer in `out_dir`; returns the losses.

    Progress is saved in `work_dir` every `save_every` steps; a killed build continues from there with the
    same data. `report(step, mean loss, seconds)` is called every 50 steps. Deterministic up to the order of
    floating-point sums.
    """
    import torch

    tokenizer = build_tokenizer()
    model = new_model(tokenizer, seed)
    tools = optimizers(model, lr)
    progress = _Progress(Path(work_dir) / "progress.pt", model, tools)
    settings = dict(
        steps=steps, tokens_per_batch=tokens_per_batch, lr=lr, seed=seed, world=world_fingerprint()
    )
    losses = progress.restore(settings)
    stream, start = batches(tokenizer, seed, tokens_per_batch, len(losses)), time.perf_counter()
    model.train()
    for step in range(len(losses), steps):
        losses.append(
            _step(model, tools, lr * learning_rate(step, steps), *map(torch.from_numpy, next(stream)))
        )
        if (step + 1) % save_every == 0:
            progress.save(losses)
        if report and (step + 1) % 50 == 0:
            report(step + 1, float(np.mean(losses[-50:])), time.perf_counter() - start)
    model.eval().save_pretrained(out_dir)
    tokenizer.save_pretrained(out_dir)
    return losses


def _step(model, tools, rate: float, ids, labels) -> float:
    import torch

    for tool in tools:
        for group in tool.param_groups:
            group["lr"] = rate
    with torch.autocast("cpu", torch.bfloat16):
        hidden = model.model(input_ids=ids[:, :-1], use_cache=False).last_hidden_state
        keep = labels[:, 1:] != -100
        logits = model.lm_head(hidden[keep])
    loss = torch.nn.functional.cross_entropy(logits.float(), labels[:, 1:][keep])
    for tool in tools:
        tool.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for tool in tools:
        tool.step()
    return loss.item()


class _Progress:
    """Weights, optimizers and losses on disk, with the settings they belong to."""

    def __init__(self, path: Path, model, tools):
        self.path, self.model, self.tools, self.settings = path, model, tools, {}

    def restore(self, settings: dict) -> list[float]:
        import torch

        self.settings = settings
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if not self.path.exists():
            return []
        saved = torch.load(self.path, weights_only=True)
        check_identity(saved["settings"], settings, self.path)
        self.model.load_state_dict(saved["model"])
        for tool, state in zip(self.tools, saved["tools"], strict=True):
            tool.load_state_dict(state)
        return saved["losses"]

    def save(self, losses: list[float]) -> None:
        import io

        import torch

        buffer = io.BytesIO()
        tools = [t.state_dict() for t in self.tools]
        state = dict(settings=self.settings, model=self.model.state_dict(), tools=tools, losses=losses)
        torch.save(state, buffer)
        write_atomic(self.path, buffer.getvalue())
