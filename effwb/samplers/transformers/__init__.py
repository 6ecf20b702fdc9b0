"""The Transformers engine: sampling in slots, and probing as a tree over the cache of a rollout."""

from effwb.samplers.transformers.engine import TransformersSampler

__all__ = ["TransformersSampler"]
