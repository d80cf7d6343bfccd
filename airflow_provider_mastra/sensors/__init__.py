"""Sensors: tasks that wait for runs which something else started."""
