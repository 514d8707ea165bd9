"""The promise: what was emitted survives."""
