"""Trained weights: for each a safetensors file, a JSON file (SHA-256, hyper-parameters, validation) and a model card."""
