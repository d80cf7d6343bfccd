"""Human-in-the-loop: a person responds to a suspended run on the page of a paused flow run."""

from prefect_mastra.hitl._ask import aask_and_resume, ask_and_resume

__all__ = ["aask_and_resume", "ask_and_resume"]
