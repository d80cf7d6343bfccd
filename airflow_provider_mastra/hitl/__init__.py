"""Human-in-the-loop (HITL): gates for pending requests of suspended steps, and inboxes."""
