"""Triggers of Mastra."""
