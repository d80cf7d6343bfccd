"""The duration of an outage during a wait, and when to reload the connection.

A client keeps the address and token that it was created with. The connection may be edited during
an outage, for example after a token was rotated. A wait is therefore split into shorter ones, each
of which starts with the current connection.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from mastra_workflows.errors import ConfigurationError, ServerLostError
from mastra_workflows.integration import is_outage

if TYPE_CHECKING:
    from mastra_workflows.errors import MastraError

RECONNECT_SECONDS = 60.0
"""The interval at which the connection is reloaded during an outage."""

PAUSE_SECONDS = 5.0
"""How long to wait after an immediate error response, such as 401."""


class Outage:
    """The time for which a server has been unreachable, across several waits.

    Args:
        patience: for how many seconds the server may be unreachable.
    """

    def __init__(self, patience: float) -> None:
        self._timeout = patience
        self._since: float | None = None

    @property
    def next_timeout(self) -> float:
        """The ``outage_timeout`` of the next wait, in seconds."""
        return min(RECONNECT_SECONDS, self._left)

    def end(self) -> None:
        """Record that the server has responded."""
        self._since = None

    def pause_after(self, error: MastraError) -> float | None:
        """Record the error that ended a wait.

        Returns:
            After how many seconds to wait again with a new client; None to give up.
        """
        may_pass = is_outage(error) or isinstance(error, ServerLostError)
        # The connection may be in the middle of being edited.
        may_pass |= isinstance(error, ConfigurationError) and self._since is not None
        if not may_pass:
            return None
        if self._since is None:
            lasted = self.next_timeout if isinstance(error, ServerLostError) else 0.0
            self._since = time.monotonic() - lasted
        if self._left <= 0:
            return None
        return 0.0 if isinstance(error, ServerLostError) else min(PAUSE_SECONDS, self._left)

    @property
    def seconds(self) -> float:
        """For how many seconds the server has been unreachable so far."""
        return 0.0 if self._since is None else time.monotonic() - self._since

    @property
    def _left(self) -> float:
        if self._since is None:
            return self._timeout
        return max(0.0, self._since + self._timeout - time.monotonic())
