"""Trying plugins without a workflow: one call and what would come of it, or everything that the protocol asks."""
