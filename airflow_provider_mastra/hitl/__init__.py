"""Human-in-the-loop: gates that ask people for the response of a suspended step, and inboxes."""
