"""Hooks for connections to Mastra servers."""
