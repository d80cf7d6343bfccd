"""Internals shared by the hook, operators, sensor and triggers."""
