"""The decision: which checkpoints a request gets."""
