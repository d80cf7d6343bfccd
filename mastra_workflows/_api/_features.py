"""Detect features of servers that do not report their version, such as bundled servers.

The probe is an invalid request about a workflow that does not exist. A server with the feature
refuses it as invalid; one without the feature responds that there is no such workflow. Verified on
0.16 to 1.71.
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
    """``/observe`` with an offset, which reports every end."""


_FIELDS = {Feature.FOREACH_INDEX: "forEachIndex", Feature.OBSERVE_OFFSET: "offset"}


def detect(feature: Feature) -> Request:
    """Return the request that detects a feature; it has no side effects."""
    path = f"/workflows/{NO_WORKFLOW}"
    if feature is Feature.FOREACH_INDEX:
        body = {"step": "none", "resumeData": {}, "forEachIndex": "none"}
        return Request("POST", f"{path}/resume-async", {"runId": "none"}, body, repeatable=True)
    query = {"runId": "none", "offset": "none"}
    return Request("POST", f"{path}/observe", query, {}, repeatable=True)


def parse_detection(feature: Feature, response: Response) -> bool | None:
    """Parse the response to `detect`; None if it is inconclusive."""
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
    """Return the request that detects whether a legacy server starts a run only once.

    It has no side effects. Up to 0.16, concurrent starts of one run execute it several times (seen
    with ``/stream``). From 0.17 on, they execute it once, and there is ``/resume-stream``.
    """
    path = f"/workflows/{NO_WORKFLOW}/resume-stream"
    return Request("POST", path, {"runId": "none"}, {}, repeatable=True)


def parse_exact_start(response: Response) -> bool:
    """Return whether the response to `detect_exact_start` shows a server that starts runs once."""
    return response.status_code != 404 or "json" in response.headers.get("content-type", "")
