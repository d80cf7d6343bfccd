"""The options that the operators share."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from airflow.providers.common.compat.sdk import conf

from mastra_workflows.errors import ConfigurationError
from mastra_workflows.integration import (
    AskOptions,
    WaitOptions,
    as_seconds,
    require_choice,
    require_flags,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk.bases.notifier import BaseNotifier
    from airflow.sdk.execution_time.hitl import HITLUser

    from mastra_workflows import JSON, Duration, OnStall
    from mastra_workflows.hitl import OnResponseTimeout, Responses

OnSuspension = Literal["fail", "return", "wait", "ask"]
"""How a task treats a suspended run."""

DEFAULT_DEFERRABLE: bool = conf.getboolean("operators", "default_deferrable", fallback=False)


@dataclass(frozen=True, kw_only=True)
class OperatorOptions:
    """The options for waiting for a run and for handling its suspensions.

    Each public operator lists the options with their defaults in its signature and passes them on
    as one `OperatorOptions`.
    """

    mastra_conn_id: str
    check_data: bool
    wait_for_completion: bool
    timeout: Duration | None
    on_suspend: OnSuspension
    responses: Responses | str | None
    assigned_users: HITLUser | Sequence[HITLUser] | None
    notifiers: BaseNotifier | Sequence[BaseNotifier] | None
    response_timeout: Duration | None
    on_response_timeout: OnResponseTimeout
    default_response: JSON
    response_poll_interval: Duration
    poll_interval: Duration
    max_poll_interval: Duration
    outage_timeout: Duration
    stall_timeout: Duration | None
    on_stall: OnStall
    observe: bool
    deferrable: bool
    defer_after: Duration
    cancel_on_kill: bool
    cancel_on_timeout: bool

    def wait_options(self) -> WaitOptions:
        """Validate and return the options for waiting.

        Raises:
            ConfigurationError: an option is out of range; the DAG file fails to import.
        """
        require_choice("on_suspend", self.on_suspend, get_args(OnSuspension))
        require_flags(
            wait_for_completion=self.wait_for_completion,
            deferrable=self.deferrable,
            cancel_on_kill=self.cancel_on_kill,
            cancel_on_timeout=self.cancel_on_timeout,
        )
        return WaitOptions.of(
            timeout=self.timeout,
            on_suspend="return" if self.on_suspend == "ask" else self.on_suspend,
            poll_interval=self.poll_interval,
            max_poll_interval=self.max_poll_interval,
            outage_timeout=self.outage_timeout,
            stall_timeout=self.stall_timeout,
            on_stall=self.on_stall,
            observe=self.observe,
        )

    def response_options(self) -> AskOptions:
        """Validate and return the options for responses; ``responses`` is validated once rendered.

        Raises:
            ConfigurationError: an option is out of range, or two options conflict.
        """
        options = AskOptions(
            responses=self.responses if isinstance(self.responses, Mapping) else None,
            response_timeout=self.response_timeout,  # type: ignore[arg-type] # or a timedelta
            on_response_timeout=self.on_response_timeout,
            default_response=self.default_response,
        )
        asks = self.on_suspend == "ask"
        if not asks and (self.responses is not None or options != AskOptions()):
            raise ConfigurationError('Options about responses need on_suspend="ask".')
        if asks and not self.wait_for_completion:
            raise ConfigurationError('on_suspend="ask" needs wait_for_completion.')
        return options


def defer_seconds(defer_after: Duration) -> float:
    """Validate how long a deferrable task waits on its worker before it defers.

    Raises:
        ConfigurationError: the value is not a duration, is negative or is infinite.
    """
    seconds = as_seconds("defer_after", defer_after)
    if not 0 <= seconds < math.inf:
        raise ConfigurationError(
            f"defer_after is {seconds}; it must be a finite number of at least 0."
        )
    return seconds
