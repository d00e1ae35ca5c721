"""What it costs to spread workflows over other processes, beside an engine that has them to itself."""
