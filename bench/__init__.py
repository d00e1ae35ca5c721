"""What the fan-out costs: scenarios, peers on the same server, and a report that says where it was measured."""
