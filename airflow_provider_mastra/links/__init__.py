"""Links from a task's page to Mastra Studio."""
