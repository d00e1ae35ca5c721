"""The adaptive limit against every fixed one."""
