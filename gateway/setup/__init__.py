"""Setting a gateway up: what is plugged in, whether each answer is true, and the file that comes of it."""
