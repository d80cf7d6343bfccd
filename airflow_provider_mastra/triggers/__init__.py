"""Triggers that wait for runs, responses and suspensions."""
