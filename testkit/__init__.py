"""Real servers for tests, benchmarks and demos: Mastra, Airflow, Prefect, PostgreSQL, Chromium.

Each is a context manager that starts the server on loopback and stops all its processes.
"""
