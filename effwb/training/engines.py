"""Who samples during training. One callable per engine: prompts as ids in, completions as ids out, with the
weights the trainer has at that moment."""

import os
from collections.abc import Sequence
from contextlib import contextmanager, nullcontext

from effwb.errors import ConfigError, EngineError, one_of
from effwb.samplers import SamplingParams, open_sampler

ENGINES = ("transformers", "vllm", "trl", "trl-vllm-colocate", "trl-vllm-server")


def trl_options(engine: str, context: int) -> dict:
    """What GRPOConfig has to know about the engine; `context`: tokens of prompt and completion, at most."""
    if not engine.startswith("trl-vllm"):
        return {}
    import torch

    if not torch.cuda.is_available():
        raise EngineError(f"engine {engine!r} needs CUDA; on a CPU use 'transformers' or 'vllm'")
    return {
        "use_vllm": True,
        "vllm_mode": engine.removeprefix("trl-vllm-"),
        "vllm_max_model_length": context,
        # the default multiplies the ratios of all tokens of a rollout: noise there grows with its length
        "vllm_importance_sampling_mode": "token_truncate",
    }


def open_engine(name: str, model: str, params: SamplingParams):
    """The engine `name`; its first call loads what it needs."""
    one_of("training engine", name, ENGINES)
    kinds = {"transformers": OwnDecode, "vllm": OwnVllm}
    return kinds.get(name, TrlGenerate)(model, params)


class OwnDecode:
    """effwb's decode loop on the trainer's own model: finished rows leave the batch, every rollout has a seed
    of its own, nothing is tokenised again."""

    def __init__(self, model: str, params: SamplingParams):
        self.params = params

    def __call__(self, trainer, prompt_ids: Sequence, seeds: Sequence[int]):
        with self.sampler(trainer) as sampler:
            rows = sampler.generate(prompt_ids, self.params, [[s] for s in seeds])
        return [row[0].token_ids for row in rows], None

    def sampler(self, trainer):
        """A context that gives a sampler on the trainer's weights, for rollouts and probes."""
        return live_sampler(trainer)

    def close(self) -> None:
        """Nothing is held."""


@contextmanager
def live_sampler(trainer):
    """A sampler on the trainer's model, unwrapped and in evaluation mode as long as the context lasts."""
    import torch
    from trl.models import unwrap_model_for_generation

    from effwb.samplers.hf import TransformersSampler

    if trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled:
        raise ConfigError("sharded weights cannot be sampled from here; train with a trl-vllm engine")
    if torch.cuda.is_available():
        torch.cuda.empty_cache()  # the sampler's share is taken of what the driver calls free
    with unwrap_model_for_generation(
        trainer.model_wrapped,
        trainer.accelerator,
        gather_deepspeed3_params=trainer.args.ds3_gather_for_generation,
        gradient_checkpointing_kwargs=trainer.args.gradient_checkpointing_kwargs,
    ) as model:
        model.eval()
        try:
            yield TransformersSampler.around(model, trainer.processing_class)
        finally:
            model.train()


class OwnVllm:
    """vLLM in this process, given the trainer's weights before every round. Made for a CPU, where the copied
    weights give the trainer's log-probabilities; on a GPU take TRL's, which corrects for what they do not."""

    def __init__(self, model: str, params: SamplingParams):
        import torch

        if int(os.environ.get("WORLD_SIZE", "1")) > 1 or torch.cuda.is_available():
            raise ConfigError("engine 'vllm' trains in one process on a CPU; use a trl-vllm engine")
        self.params, self._sampler = params, open_sampler(model, "vllm", updatable=True)

    def __call__(self, trainer, prompt_ids: Sequence, seeds: Sequence[int]):
        with self.sampler(trainer) as sampler:
            rows = sampler.generate(prompt_ids, self.params, [[s] for s in seeds])
        return [row[0].token_ids for row in rows], None

    def sampler(self, trainer):
        """A context that gives a sampler on the trainer's weights, for rollouts and probes."""
        if self._loaded_at != trainer.state.global_step:
            model = trainer.accelerator.unwrap_model(trainer.model)
            self._sampler.update_weights(_merged(model))
            self._loaded_at = trainer.state.global_step
        return nullcontext(self._sampler)

    _loaded_at = None

    def close(self) -> None:
        self._sampler.close()


def _merged(model):
    """(name, tensor) of the weights as a plain model has them, adapters merged in."""
    if not hasattr(model, "merge_adapter"):
        yield from model.named_parameters()
        return
    model.merge_adapter()
    try:
        for name, tensor in model.get_base_model().named_parameters():
            if "lora_" not in name:
                yield name.replace(".base_layer", ""), tensor
    finally:
        model.unmerge_adapter()


class TrlGenerate:
    """TRL's own generation: `model.generate`, or its vLLM (colocated or a server) where the config says
    so."""

    def __init__(self, model: str, params: SamplingParams):
        self.params = params

    def __call__(self, trainer, prompt_ids: Sequence, seeds: Sequence[int]):
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seeds[0] % 2**63)
            return trainer._generate_single_turn([list(p) for p in prompt_ids], None, {}, 1)

    def sampler(self, trainer):
        return live_sampler(trainer)

    def close(self) -> None:
        """What TRL opened goes with its trainer."""
