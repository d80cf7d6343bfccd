"""Asyncio tasks, flow and functions. `make generate` derives the synchronous ones from them."""
