"""The networks, and loading their weights. One file a network."""
