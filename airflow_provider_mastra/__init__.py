"""Mastra workflows as tasks of Apache Airflow."""
