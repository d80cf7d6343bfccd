"""The asyncio client, from which `mastra_workflows._sync` is generated.

Import its classes from `mastra_workflows`.
"""
