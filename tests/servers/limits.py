"""List the known limitations, with the reason for each failed or unsupported cell."""

from __future__ import annotations

FOOTNOTES: dict[str, str] = {
    "delete": "Deleting a run came with Mastra 1.0. Before, the client raises `UnsupportedError`.",
    "restart": "`restart` and time travel came with Mastra 0.24.8. Before, the client raises "
    "`UnsupportedError`.",
    "cancel": "Before 1.0 a cancel does not end a suspended run. The returned `Cancellation` is "
    "not confirmed, and its text states it.",
    "items": "Before 1.26 a server gives one response to all suspended items of a `foreach`. The "
    "client detects that: `resume` refuses to resume one item, and `respond` logs a warning. The "
    "event-driven engine gives it to the first item, so respond to the items in their order there.",
    "item-index": "Before 0.24 a record does not show which item of a `foreach` is suspended.",
    "replica-events": "Only the replica that executes a run sends its events, and the balancer may "
    "lead to another one. The end is then detected by polling.",
    "javascript": "The JavaScript client has no client certificates: nothing to compare with.",
    "evented-old": "Until 1.20 at least, the event-driven engine does not finish these runs, with "
    "any client: a loop never gets as far as its suspension; after one of several parallel steps "
    "has been resumed, the run stays `running` and the others cannot be resumed; items of a "
    "`foreach` are lost, or the run fails after the last one with `Step not found in step graph`. "
    "Use the default engine, or Mastra 1.57 or later.",
    "dev-restarts": "`mastra dev` restarts the runs that it lost by itself, so that a `restart` "
    "executes the step once more.",
    "replicas": "Each replica executes the run once: replicas do not share which runs are "
    "executing. Starts one after the other execute once.",
}


_OLD = ("0.18.0", "0.24.9", "1.0.4", "1.20.0")
_REPLICAS = "two replicas on PostgreSQL"
_EVENTED = "evented engine: "

LIMITS: dict[tuple[str, str], str] = {
    ("restart, after a crash", "`mastra dev`"): "dev-restarts",
    **{
        (feature, version): "evented-old"
        for version in _OLD
        for feature in (
            f"{_EVENTED}suspended in parallel branches",
            f"{_EVENTED}suspended in a loop, again and again",
            "as the JavaScript client: parallel suspensions, evented engine",
            "as the JavaScript client: a loop, evented engine",
        )
    },
    **{
        (f"{_EVENTED}one foreach item after the other", version): "evented-old"
        for version in ("0.24.9", "1.0.4")
    },
    **{
        (f"{_EVENTED}foreach items at once, each its own response", version): "evented-old"
        for version in _OLD[1:]
    },
    **{
        (feature, _REPLICAS): "replicas"
        for feature in (
            "start: 20 at once execute once",
            "default engine: 20 starts at once execute once",
            "evented engine: 20 starts at once execute once",
        )
    },
}
"""Footnotes by feature and server."""
