"""How a leaf runs is the embedder's: the protocol, and the executors that need no cluster."""
