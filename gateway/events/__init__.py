"""The canonical events."""
