"""The engines that sample during training, always with the weights that the trainer has at that moment."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from effwb._internal import private_trl
from effwb.errors import ConfigError
from effwb.probes import ForcedAnswer, Prober, ProbeTarget
from effwb.samplers import SamplingParams, open_sampler
from effwb.samplers.base import Completion, Sampler, completed
from effwb.training.trl_config import world_size

if TYPE_CHECKING:
    from effwb.training.trainer import GroupTrainer

Logprobs = list[list[float]] | None  # of the sampled tokens; None where the loss computes the same


def open_engine(
    name: str, model: str, params: SamplingParams, trust_remote_code: bool = False
) -> ModelEngine:
    """The training engine of that name; what it needs is loaded at its first use.

    Args:
        name: As in `Training.engine`.
        model: The starting model.
        params: How rollouts are sampled.
        trust_remote_code: Whether code that comes with the model may run.

    Raises:
        ConfigError: If the engine cannot train here.
    """
    engines = {"transformers": ModelEngine, "vllm": VllmEngine}
    return engines.get(name, TrlEngine)(model, params, trust_remote_code)


class ModelEngine:
    """effwb's decode loop on the trainer's own model.

    No rollout waits for a longer one, each has its own seed, and nothing is tokenised again.

    Args:
        model: The starting model.
        params: How rollouts are sampled.
        trust_remote_code: Whether code that comes with the model may run.
    """

    def __init__(self, model: str, params: SamplingParams, trust_remote_code: bool = False):
        self.params = params

    def sample(
        self,
        trainer: GroupTrainer,
        prompt_ids: Sequence[list[int]],
        seeds: Sequence[int],
        params: SamplingParams | None = None,
    ) -> tuple[list[Completion], Logprobs]:
        """One completion per prompt.

        Args:
            trainer: The trainer whose model samples.
            prompt_ids: The prompts as token ids.
            seeds: A seed for each.
            params: Other sampling parameters than the engine's.

        Returns:
            The completions, and the log-probabilities of their tokens where the loss has to know them.
        """
        with self.sampler(trainer) as sampler:
            rows = sampler.generate(prompt_ids, params or self.params, [[seed] for seed in seeds])
        return [completion for (completion,) in rows], None

    def sample_and_probe(
        self,
        trainer: GroupTrainer,
        prompt_ids: Sequence[list[int]],
        seeds: Sequence[int],
        prober: Prober,
        target_of: Callable[[int, Completion], ProbeTarget],
    ) -> tuple[list[Completion], Logprobs, list[list[ForcedAnswer]]]:
        """As `sample`, and each completion's forced answers while its keys and values are still cached.

        Args:
            trainer: The trainer whose model samples.
            prompt_ids: The prompts as token ids.
            seeds: A seed for each.
            prober: Asks for the forced answers.
            target_of: (number of the prompt, completion) -> where that completion is probed.

        Returns:
            Completions and log-probabilities as from `sample`, and the forced answers of each completion.
        """
        with self.sampler(trainer) as sampler:
            rows, answers = prober.sample_and_answer(
                sampler, self.params, [[seed] for seed in seeds], prompt_ids, target_of
            )
        return [completion for (completion,) in rows], None, [row for (row,) in answers]

    @contextmanager
    def sampler(self, trainer: GroupTrainer) -> Iterator[Sampler]:
        """A sampler on the trainer's own model, which is in evaluation mode meanwhile.

        Raises:
            ConfigError: If the weights are sharded over processes (FSDP, DeepSpeed).
        """
        import torch
        from trl.models import unwrap_model_for_generation

        from effwb.samplers.transformers.engine import TransformersSampler

        if trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled:
            raise ConfigError("this engine cannot sample from sharded weights; train with a trl-vllm engine")
        if torch.cuda.is_available():
            torch.cuda.empty_cache()  # the sampler takes a share of the memory that the driver calls free
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

    def close(self) -> None:
        """Free what the engine holds; this one holds nothing."""


class VllmEngine(ModelEngine):
    """vLLM in this process, given the trainer's weights before every round.

    For a CPU, where the copied weights give the trainer's log-probabilities. On a GPU they do not; TRL's vLLM
    engines correct for the difference.

    Args:
        model: The starting model.
        params: How rollouts are sampled.
        trust_remote_code: Whether code that comes with the model may run.

    Raises:
        ConfigError: On several processes or with a GPU.
    """

    def __init__(self, model: str, params: SamplingParams, trust_remote_code: bool = False):
        import torch

        if world_size() > 1 or torch.cuda.is_available():
            raise ConfigError("engine 'vllm' trains in one process on a CPU; use a trl-vllm engine")
        super().__init__(model, params, trust_remote_code)
        self._sampler: Any = open_sampler(model, "vllm", updatable=True, trust_remote_code=trust_remote_code)
        self._loaded_step: int | None = None

    @contextmanager
    def sampler(self, trainer: GroupTrainer) -> Iterator[Sampler]:
        """Give vLLM with the trainer's weights."""
        if self._loaded_step != trainer.state.global_step:
            model = trainer.accelerator.unwrap_model(trainer.model)
            self._sampler.update_weights(_merged_weights(model))
            self._loaded_step = trainer.state.global_step
        yield self._sampler

    def close(self) -> None:
        """Shut vLLM down."""
        self._sampler.close()


def _merged_weights(model) -> Iterator[tuple[str, Any]]:
    """(name, tensor) of the weights under the names of a plain model, adapters merged in."""
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


class TrlEngine(ModelEngine):
    """TRL's own generation: `model.generate`, or its vLLM (colocated or a server), as the config says.

    Forced answers come from a second call, with effwb's sampler on the trainer's model.
    """

    def sample(
        self,
        trainer: GroupTrainer,
        prompt_ids: Sequence[list[int]],
        seeds: Sequence[int],
        params: SamplingParams | None = None,
    ) -> tuple[list[Completion], Logprobs]:
        """One completion per prompt, as `ModelEngine.sample`; TRL knows only its own sampling parameters."""
        ids, logprobs = private_trl.generate(trainer, prompt_ids, seed=seeds[0])
        completions = [completed(trainer.processing_class, trainer.eos_token_ids, row) for row in ids]
        return completions, logprobs

    def sample_and_probe(
        self,
        trainer: GroupTrainer,
        prompt_ids: Sequence[list[int]],
        seeds: Sequence[int],
        prober: Prober,
        target_of: Callable[[int, Completion], ProbeTarget],
    ) -> tuple[list[Completion], Logprobs, list[list[ForcedAnswer]]]:
        """As `ModelEngine.sample_and_probe`, in two calls."""
        completions, logprobs = self.sample(trainer, prompt_ids, seeds)
        targets = [target_of(i, completion) for i, completion in enumerate(completions)]
        with self.sampler(trainer) as sampler:
            return completions, logprobs, prober.answers(sampler, targets)
