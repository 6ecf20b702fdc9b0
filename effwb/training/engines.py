"""Who samples during training. One callable per engine: prompts as ids in; completions out, sampled with the
weights the trainer has at that moment, and log-probabilities where the loss has to know the sampler's.
"""

from collections.abc import Sequence
from contextlib import contextmanager, nullcontext

from effwb.errors import ConfigError, one_of
from effwb.samplers import SamplingParams, open_sampler
from effwb.samplers.base import completed
from effwb.training.trl_config import world_size

ENGINES = ("transformers", "vllm", "trl", "trl-vllm-colocate", "trl-vllm-server")


def open_engine(name: str, model: str, params: SamplingParams):
    """The engine `name`; its first call loads what it needs."""
    one_of("training engine", name, ENGINES)
    kinds = {"transformers": OwnDecode, "vllm": OwnVllm}
    return kinds.get(name, TrlGenerate)(model, params)


class OwnDecode:
    """effwb's decode loop on the trainer's own model: no rollout waits for a longer one, each has a seed of
    its own, nothing is tokenised again.
    """

    def __init__(self, model: str, params: SamplingParams):
        self.params = params

    def __call__(self, trainer, prompt_ids: Sequence, seeds: Sequence[int], params=None):
        """One completion per prompt, with other parameters than its own where they are given."""
        with self.sampler(trainer) as sampler:
            rows = sampler.generate(prompt_ids, params or self.params, [[s] for s in seeds])
        return [completion for (completion,) in rows], None

    def sampler(self, trainer):
        """A context that gives a sampler on the trainer's weights, for rollouts and probes."""
        return live_sampler(trainer)

    def close(self) -> None:
        """Let go of what is held; here nothing."""


@contextmanager
def live_sampler(trainer):
    """A sampler on the trainer's model, unwrapped and in evaluation mode as long as the context lasts."""
    import torch
    from trl.models import unwrap_model_for_generation

    from effwb.samplers.transformers.engine import TransformersSampler

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
            yield TransformersSampler.from_model(model, trainer.processing_class)
        finally:
            model.train()


class OwnVllm(OwnDecode):
    """vLLM in this process, given the trainer's weights before every round. Made for a CPU, where the copied
    weights give the trainer's log-probabilities; on a GPU take TRL's, which corrects for what they do not.
    """

    def __init__(self, model: str, params: SamplingParams):
        import torch

        if world_size() > 1 or torch.cuda.is_available():
            raise ConfigError("engine 'vllm' trains in one process on a CPU; use a trl-vllm engine")
        super().__init__(model, params)
        self._sampler, self._loaded_at = open_sampler(model, "vllm", updatable=True), None

    def sampler(self, trainer):
        if self._loaded_at != trainer.state.global_step:
            model = trainer.accelerator.unwrap_model(trainer.model)
            self._sampler.update_weights(_merged(model))
            self._loaded_at = trainer.state.global_step
        return nullcontext(self._sampler)

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


class TrlGenerate(OwnDecode):
    """TRL's own generation: `model.generate`, or its vLLM (colocated or a server) where the config says so;
    what TRL opened goes with its trainer. Probes are drawn as `OwnDecode` does.
    """

    def __call__(self, trainer, prompt_ids: Sequence, seeds: Sequence[int]):
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seeds[0] % 2**63)
            ids, logprobs = trainer._generate_single_turn([list(p) for p in prompt_ids], None, {}, 1)
        return [completed(trainer.processing_class, trainer.eos_token_ids, row) for row in ids], logprobs
