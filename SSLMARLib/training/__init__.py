"""Training: metal-free slices, simulated pairs, the loop with checkpoints, and one file a network that learns."""
