"""URLs of Mastra Studio, where people see runs."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

from mastra_workflows.errors import ConfigurationError
from mastra_workflows.hitl._markdown import URL_CHARACTERS


def check_studio_url(value: object) -> str:
    """Validate the URL of a Mastra Studio before a link to it is shown.

    Args:
        value: the URL from a connection, a block or an option.

    Returns:
        The URL, with the characters percent-encoded that have a meaning in Markdown or HTML.

    Raises:
        ConfigurationError: the value is not an http or https URL, or contains a user or password.
            The message does not quote it.
    """
    example = "expected an address such as https://studio.example.com"
    if not isinstance(value, str):
        raise ConfigurationError(f"studio_url: {example}, got {type(value).__name__}.")
    text = value.strip()
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        raise ConfigurationError(f"studio_url: malformed address; {example}.") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(f"studio_url: no http:// or https:// address; {example}.")
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError(
            "studio_url contains a user or password, which every link would show; leave it out."
        )
    return quote(text, safe=URL_CHARACTERS, errors="replace")


def run_url(studio_url: str | None, workflow_id: str, run_id: str) -> str | None:
    """Return the URL of a run's page in Mastra Studio.

    Args:
        studio_url: the URL of Studio, as returned by `check_studio_url`; None without a Studio.

    Returns:
        ``<studio>/workflows/<workflow>/graph/<run>``, or None without a Studio.
    """
    if not studio_url:
        return None
    workflow, run = (quote(part, safe="", errors="replace") for part in (workflow_id, run_id))
    return f"{studio_url.rstrip('/')}/workflows/{workflow}/graph/{run}"
