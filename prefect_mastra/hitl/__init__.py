"""Human-in-the-loop: a person responds to a suspended run on the page of a paused flow run."""
