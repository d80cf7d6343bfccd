"""Options of the procedures, in a light module: parsing a DAG file needs only these."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self, TypedDict, get_args

from mastra_workflows._arguments import require_callable
from mastra_workflows._policy import (
    PollPolicy,
    convert_durations,
    require_choice,
    require_flags,
    require_positive,
)
from mastra_workflows.errors import ConfigurationError

if TYPE_CHECKING:
    from mastra_workflows._models import Event, WorkflowRun

OnSuspend = Literal["fail", "return", "wait"]
"""What a wait does at a suspension: raise an error, return the record, or continue to wait."""

OnUnexpectedSuspend = Literal["fail", "wait"]
"""`OnSuspend` for calls that return a workflow's result, which a suspended run does not have."""

OnStall = Literal["fail", "restart", "wait"]
"""What a wait does about a run that its server seems to have lost."""

OnFailedRun = Literal["new_run", "from_failed_step", "fail"]
"""What a retry does about a run that failed, or that `cancel_work` cancelled with
``allow_retry=True``."""

OnOtherInput = Literal["fail", "attach"]
"""What to do about a run that was started with other input."""


class WaitArguments(TypedDict, total=False):
    """The keyword arguments of `Run.wait`, with durations as seconds."""

    timeout: float | None
    on_suspend: OnSuspend
    poll_interval: float
    max_poll_interval: float
    outage_timeout: float
    stall_timeout: float | None
    on_stall: OnStall
    observe: bool
    is_known: bool
    on_record: Callable[[WorkflowRun], None] | None
    on_event: Callable[[Event], None] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitOptions:
    """The options of a wait; see `Run.wait`.

    Raises:
        ConfigurationError: an option is invalid.
    """

    timeout: float | None = None
    on_suspend: OnSuspend = "return"
    poll_interval: float = 0.5
    max_poll_interval: float = 30.0
    outage_timeout: float = 300.0
    stall_timeout: float | None = 3600.0
    on_stall: OnStall = "fail"
    observe: bool = True
    is_known: bool = False
    on_record: Callable[[WorkflowRun], None] | None = None
    on_event: Callable[[Event], None] | None = None

    @classmethod
    def of(cls, **arguments: Any) -> Self:
        """Create the options from arguments whose durations may be `timedelta`."""
        return cls(**arguments)

    @property
    def poll(self) -> PollPolicy:
        """The poll intervals and the timeout of the wait."""
        return PollPolicy(
            first_wait=self.poll_interval,
            longest_wait=self.max_poll_interval,
            timeout=self.timeout,
        )

    def __post_init__(self) -> None:
        require_choice("on_suspend", self.on_suspend, get_args(OnSuspend))
        require_choice("on_stall", self.on_stall, get_args(OnStall))
        require_flags(observe=self.observe, is_known=self.is_known)
        require_callable(on_record=self.on_record, on_event=self.on_event)
        required = ("poll_interval", "max_poll_interval", "outage_timeout")
        convert_durations(self, *required, optional=["timeout", "stall_timeout"])
        if self.outage_timeout < 0:
            raise ConfigurationError("outage_timeout is negative; it must be 0 or more seconds.")
        if self.stall_timeout is not None:
            require_positive(stall_timeout=self.stall_timeout)
        _ = self.poll
