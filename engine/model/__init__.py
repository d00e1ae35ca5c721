"""What a workflow and its nodes are, and when it is."""
