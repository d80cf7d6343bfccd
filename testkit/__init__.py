"""Real servers for tests, benchmarks and demos: Mastra, Airflow, Prefect, PostgreSQL, Chromium.

Each is a context manager that boots the server on loopback and stops it with its processes.
"""
