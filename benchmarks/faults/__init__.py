"""The fault bench: what becomes of damaged files, kills, full disks, hostile answers and wrong values."""
