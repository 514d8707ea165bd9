"""The canonical events: models, JSON Schema, CloudEvents."""
