"""What failing plugins cost, measured against what is promised."""
