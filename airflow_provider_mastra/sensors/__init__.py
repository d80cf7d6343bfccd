"""Sensors that wait for runs started elsewhere."""
