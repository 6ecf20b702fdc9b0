"""Private helpers that no notebook needs."""
