"""Filling in `{{...}}`: texts with tags, the variables that hold, and where they come from."""
