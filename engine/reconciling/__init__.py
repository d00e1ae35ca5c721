"""One workflow after another, pass after pass: what a run is, what a pass does, in which order."""
