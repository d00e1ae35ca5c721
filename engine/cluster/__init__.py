"""A fleet: workflows sharded over engines in other processes, and a driver that starts leaves and has what counts."""
