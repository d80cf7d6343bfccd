"""Where a person sees a run: Mastra Studio."""

from __future__ import annotations

from urllib.parse import quote


def run_url(studio_url: str | None, workflow_id: str, run_id: str) -> str | None:
    """The page of a run in Mastra Studio.

    Args:
        studio_url: where Studio is served; None if it is not.

    Returns:
        ``<studio>/workflows/<workflow>/graph/<run>``, or None without a Studio.
    """
    if not studio_url:
        return None
    workflow, run = quote(workflow_id, safe=""), quote(run_id, safe="")
    return f"{studio_url.rstrip('/')}/workflows/{workflow}/graph/{run}"
