"""What the hook, operators, sensor and triggers share."""
