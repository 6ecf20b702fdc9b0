"""Finished runs: read them, compare them, look at them, report on them."""
