# Generated from mastra_workflows/aio/__init__.py by `make generate`. Do not edit.
"""The synchronous client.

Import its classes from `mastra_workflows`.
"""
