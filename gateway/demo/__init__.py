"""The main job on a simulated site, with everything going wrong on purpose, and a verdict at the end."""
