"""The pocket model: a Qwen3 of 0.8 M parameters that adds numbers, its world, its data and its training."""
