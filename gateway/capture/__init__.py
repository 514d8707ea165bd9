"""Capture: readings become events, and each is on disk before its device hears so."""
