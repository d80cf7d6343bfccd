"""Detect the features of a server, by its version or by a probe request."""

from __future__ import annotations

import logging
from functools import partial
from math import inf

from mastra_workflows import _api as api
from mastra_workflows._api import Feature, Response, ServerGeneration
from mastra_workflows._procedures._effects import Parse, Procedure, Server, through_outage
from mastra_workflows._procedures.reading import generation
from mastra_workflows.errors import ConnectionFailedError, UnsupportedError

log = logging.getLogger(__name__)

MAX_AGE = 3600.0
"""How many seconds a detected feature is cached."""

UNKNOWN_AGE = 60.0
"""How many seconds a server counts as one without the feature after an inconclusive response."""


def supports(server: Server, feature: Feature, *, max_age: float = MAX_AGE) -> Procedure[bool]:
    """Return whether a server has a feature. An inconclusive detection counts as no.

    Args:
        max_age: the maximum age of a cached result, in seconds.
    """
    if (yield from generation(server)) is ServerGeneration.V0:
        return False
    if server.known.version is not None:
        return server.known.version >= feature.value
    now = server.clock()
    found, at = server.known.features.get(feature, (None, -inf))
    if now - at < (UNKNOWN_AGE if found is None else max_age):
        return bool(found)
    soon = server.until(min(server.deadline, now + server.timeout))
    try:
        response: Response = yield soon.ask(api.detect(feature))
    except ConnectionFailedError as error:
        log.debug("Could not detect %s: %s", feature.name, error)
        found = None
    else:
        found = yield Parse(response, partial(api.parse_detection, feature))
    server.known.features[feature] = (found, now)
    return bool(found)


def check_starts_once(server: Server) -> Procedure[None]:
    """Refuse to start a run on a server that may execute it twice.

    Raises:
        UnsupportedError: the server is older than 0.17.
    """
    yield from generation(server)
    if server.known.starts_once:
        return

    def attempt() -> Procedure[bool]:
        response: Response = yield server.ask(api.detect_exact_start())
        return api.parse_exact_start(response)

    if not (yield from through_outage(server, attempt)):
        raise UnsupportedError(
            "This server is older than Mastra 0.17: it has no /resume-stream, and two concurrent "
            "starts execute a run twice. Nothing was started. Upgrade the server."
        )
    server.known.starts_once = True
