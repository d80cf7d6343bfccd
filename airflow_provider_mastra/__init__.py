"""The Apache Airflow provider for Mastra workflows."""
