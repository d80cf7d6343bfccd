"""What a server can do that does not tell its version, as built servers do not.

A request that a server with the feature refuses as invalid, about a workflow that nobody has: one
without the feature answers that there is no such workflow. Seen on 0.16 to 1.71.
"""

from __future__ import annotations

import json
from enum import Enum

from mastra_workflows._api._requests import Request, Response

NO_WORKFLOW = "mastra-workflows-feature-detection"


class Feature(Enum):
    """A feature of some versions; the value is the first version of ``@mastra/core`` with it."""

    FOREACH_INDEX = (1, 26)
    """Resuming one of several suspended items of a ``foreach``."""

    OBSERVE_OFFSET = (1, 30)
    """``/observe`` as it is since then, which tells of every end."""


_FIELDS = {Feature.FOREACH_INDEX: "forEachIndex", Feature.OBSERVE_OFFSET: "offset"}


def detect(feature: Feature) -> Request:
    """The request that shows whether a server has a feature; it changes nothing."""
    path = f"/workflows/{NO_WORKFLOW}"
    if feature is Feature.FOREACH_INDEX:
        body = {"step": "none", "resumeData": {}, "forEachIndex": "none"}
        return Request("POST", f"{path}/resume-async", {"runId": "none"}, body, repeatable=True)
    query = {"runId": "none", "offset": "none"}
    return Request("POST", f"{path}/observe", query, {}, repeatable=True)


def parse_detection(feature: Feature, response: Response) -> bool | None:
    """What the answer to `detect` shows; None if it shows nothing."""
    if response.status_code == 404:
        return False
    if response.status_code != 400:
        return None
    try:
        issues = json.loads(response.content)["issues"]
        return any(issue["field"] == _FIELDS[feature] for issue in issues)
    except (KeyError, RecursionError, TypeError, ValueError):
        return None


def detect_exact_start() -> Request:
    """The request that shows whether a legacy server starts a run once; it changes nothing.

    Up to 0.16 several starts of one run at once execute several times, seen with ``/stream``.
    From 0.17 on they execute once, and there is ``/resume-stream``.
    """
    path = f"/workflows/{NO_WORKFLOW}/resume-stream"
    return Request("POST", path, {"runId": "none"}, {}, repeatable=True)


def parse_exact_start(response: Response) -> bool:
    """Whether the answer to `detect_exact_start` shows a server that is too old."""
    return response.status_code != 404 or "json" in response.headers.get("content-type", "")
