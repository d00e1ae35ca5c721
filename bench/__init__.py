"""Oarlock's benchmark: what the fan-out costs, and who is slow."""
