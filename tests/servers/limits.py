"""What is known not to work: a cell that fails or is not supported has its reason here."""

from __future__ import annotations

FOOTNOTES: dict[str, str] = {
    "delete": "Deleting a run came with Mastra 1.0. The client says so (`UnsupportedError`).",
    "restart": "`restart` and time travel came with Mastra 0.24.8. The client says so.",
    "cancel": "Before 1.0 a cancelled run that was suspended stays so. The client says so.",
    "items": "Before 1.26 a server gives one answer to all suspended items of a `foreach`; one "
    "that does not tell its version counts as such. The client refuses to resume one item.",
    "item-index": "Before 0.24 a record does not tell which item of a `foreach` waits.",
    "javascript": "The JavaScript client has no client certificates: nothing to compare with.",
}

LIMITS: dict[tuple[str, str], str] = {}
"""Footnotes by feature and server."""
