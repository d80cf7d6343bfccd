"""How long a wait goes on while its server is unavailable, and when to read the connection again.

A client keeps the address and the token that it was made with. Somebody may edit the connection
during an outage, for example after a token was rotated; so a wait is cut into shorter ones, and
each begins with the connection as it is then.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from mastra_workflows.errors import ConfigurationError, ServerLostError
from mastra_workflows.integration import is_outage

if TYPE_CHECKING:
    from mastra_workflows.errors import MastraError

RECONNECT_SECONDS = 60.0
"""After how long an outage the connection is read again, and again after each such time."""

PAUSE_SECONDS = 5.0
"""How long to wait after an answer that comes at once, such as 401."""


class Outage:
    """The time that a server has been unavailable for, over several waits.

    Args:
        patience: for how many seconds the server may be unavailable.
    """

    def __init__(self, patience: float) -> None:
        self._timeout = patience
        self._since: float | None = None

    @property
    def next_timeout(self) -> float:
        """The ``outage_timeout`` of the next wait, in seconds."""
        return min(RECONNECT_SECONDS, self._left)

    def end(self) -> None:
        """Note that the server has answered."""
        self._since = None

    def pause_after(self, error: MastraError) -> float | None:
        """Note how a wait ended.

        Returns:
            After how many seconds to wait again with a new client; None to give up.
        """
        may_pass = is_outage(error) or isinstance(error, ServerLostError)
        # Somebody edits the connection, and not yet right.
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
        """For how long the server has been unavailable by now."""
        return 0.0 if self._since is None else time.monotonic() - self._since

    @property
    def _left(self) -> float:
        if self._since is None:
            return self._timeout
        return max(0.0, self._since + self._timeout - time.monotonic())
