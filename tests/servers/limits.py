"""What is known not to work: a cell that fails or is not supported has its reason here."""

from __future__ import annotations

from tests.servers.rig import TARGETS

FOOTNOTES: dict[str, str] = {
    "delete": "Deleting a run came with Mastra 1.0. The client says so (`UnsupportedError`).",
    "restart": "`restart` and time travel came with Mastra 0.24.8. The client says so.",
    "cancel": "Before 1.0 a cancelled run that was suspended stays so. The client says so.",
    "items": "Before 1.26 a server gives one answer to all suspended items of a `foreach`; one "
    "that does not tell its version counts as such. The client refuses to resume one item.",
    "item-index": "Before 0.24 a record does not tell which item of a `foreach` waits.",
    "replica-events": "Only the replica that executes a run tells its events, and the balancer may "
    "lead to another one. The end is then known by polling.",
    "javascript": "The JavaScript client has no client certificates: nothing to compare with.",
    "evented-old": "Before 1.57 the event-driven engine never ends these runs, or keeps records in "
    "which nested steps and items cannot be told apart. Use the default engine there.",
    "evented-cancel": "Before 1.0 the event-driven engine runs on to its end when it is cancelled.",
    "evented-items": "The event-driven engine shows every item of a `foreach` as suspended, also "
    "where they come one by one.",
    "dev-restarts": "`mastra dev` restarts the runs that it lost by itself, so that a `restart` "
    "executes the step once more.",
    "old-events": "The events of this version have other names, which are passed on as they are: "
    "the last one does not count as an end. `wait` knows of the end by the run's record.",
    "replicas": "Each replica executes the run once: they do not share what is under way. Starts "
    "one after the other execute once.",
}


_OLD = ("0.18.0", "0.24.9", "1.0.4", "1.20.0")
_REPLICAS = "two replicas on PostgreSQL"
_EVENTED = "evented engine: "
_ITEMS = (
    f"{_EVENTED}one foreach item after the other",
    f"{_EVENTED}foreach items at once, each its own answer",
)
_NEVER_ENDING = ("parallel suspensions", "a loop", "a nested suspension")

LIMITS: dict[tuple[str, str], str] = {
    ("stream", "0.18.0"): "old-events",
    ("restart, after a crash", "`mastra dev`"): "dev-restarts",
    **{
        (f"{_EVENTED}{what}", version): "evented-old"
        for version in _OLD
        for what in (
            "suspended in a nested workflow",
            "suspended in parallel branches",
            "suspended in a loop, again and again",
        )
    },
    **{
        (f"as the JavaScript client: {work}, evented engine", version): "evented-old"
        for version in _OLD
        for work in _NEVER_ENDING
        if (work, version) != ("a nested suspension", "1.20.0")
    },
    **{(f"{_EVENTED}cancel", version): "evented-cancel" for version in _OLD[:2]},
    **{(row, version): "evented-old" for row in _ITEMS for version in _OLD[1:]},
    **{(_ITEMS[0], target.name): "evented-items" for target in TARGETS if target.name not in _OLD},
    **{
        (row, _REPLICAS): "replicas"
        for row in (
            "ensure_started: 20 at once execute once",
            "default engine: 20 starts at once execute once",
            "evented engine: 20 starts at once execute once",
        )
    },
}
"""Footnotes by feature and server."""
