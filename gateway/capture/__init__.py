"""From readings to events, in one step."""
