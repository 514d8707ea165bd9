"""The program: turns readings into events and is the only place that wires things."""
