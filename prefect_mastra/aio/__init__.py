"""The asyncio tasks, flow and functions, from which `make generate` writes the synchronous ones."""
