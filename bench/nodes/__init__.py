"""What a node costs the engine itself, and for how long it holds the event loop, beside another commit of it."""
