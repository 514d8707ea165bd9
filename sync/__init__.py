"""The delivery: at least once out, exactly once there."""
