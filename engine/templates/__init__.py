"""Templates parsed once, found by whoever calls them, and the specification that is in force."""
