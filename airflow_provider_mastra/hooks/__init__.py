"""Hooks: connections to Mastra servers."""
