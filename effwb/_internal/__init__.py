"""Private helpers; notebooks do not need them."""
