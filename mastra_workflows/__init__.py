"""A client of Mastra's HTTP Workflows API, sync and asyncio."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mastra_workflows import errors
    from mastra_workflows._async_transport import AsyncEventStream
    from mastra_workflows._sync.client import MastraClient
    from mastra_workflows._sync.run import Run
    from mastra_workflows._sync.workflow import Workflow
    from mastra_workflows._transport import EventStream
    from mastra_workflows.aio.client import AsyncMastraClient
    from mastra_workflows.aio.run import AsyncRun
    from mastra_workflows.aio.workflow import AsyncWorkflow
    from mastra_workflows.api import ServerGeneration
    from mastra_workflows.errors import MastraError
    from mastra_workflows.models import (
        Event,
        RunFailure,
        RunStatus,
        Step,
        StepDetails,
        Suspension,
        WorkflowDetails,
        WorkflowRun,
    )
    from mastra_workflows.policy import Duration, PollPolicy, RetryPolicy
    from mastra_workflows.procedures import Attachment, OnFailedRun, OnStall, OnSuspend, Receipt
    from mastra_workflows.procedures.acting import Cancellation
    from mastra_workflows.procedures.comparing import OnOtherInput

__all__ = [
    "AsyncEventStream",
    "AsyncMastraClient",
    "AsyncRun",
    "AsyncWorkflow",
    "Attachment",
    "Cancellation",
    "Duration",
    "Event",
    "EventStream",
    "MastraClient",
    "MastraError",
    "OnFailedRun",
    "OnOtherInput",
    "OnStall",
    "OnSuspend",
    "PollPolicy",
    "Receipt",
    "RetryPolicy",
    "Run",
    "RunFailure",
    "RunStatus",
    "ServerGeneration",
    "Step",
    "StepDetails",
    "Suspension",
    "Workflow",
    "WorkflowDetails",
    "WorkflowRun",
    "__version__",
    "errors",
]

__version__ = "0.1.0"

_MODULES = {
    "AsyncMastraClient": "mastra_workflows.aio.client",
    "AsyncRun": "mastra_workflows.aio.run",
    "AsyncWorkflow": "mastra_workflows.aio.workflow",
    "AsyncEventStream": "mastra_workflows._async_transport",
    "MastraClient": "mastra_workflows._sync.client",
    "Run": "mastra_workflows._sync.run",
    "Workflow": "mastra_workflows._sync.workflow",
    "EventStream": "mastra_workflows._transport",
    "ServerGeneration": "mastra_workflows.api",
    "MastraError": "mastra_workflows.errors",
    "Event": "mastra_workflows.models",
    "RunFailure": "mastra_workflows.models",
    "RunStatus": "mastra_workflows.models",
    "Step": "mastra_workflows.models",
    "StepDetails": "mastra_workflows.models",
    "Suspension": "mastra_workflows.models",
    "WorkflowDetails": "mastra_workflows.models",
    "WorkflowRun": "mastra_workflows.models",
    "Duration": "mastra_workflows.policy",
    "PollPolicy": "mastra_workflows.policy",
    "RetryPolicy": "mastra_workflows.policy",
    "Attachment": "mastra_workflows.procedures",
    "OnFailedRun": "mastra_workflows.procedures",
    "OnStall": "mastra_workflows.procedures",
    "OnSuspend": "mastra_workflows.procedures",
    "Receipt": "mastra_workflows.procedures",
    "Cancellation": "mastra_workflows.procedures.acting",
    "OnOtherInput": "mastra_workflows.procedures.comparing",
}
"""Each name is imported when it is used first: HTTP clients and JSON Schema take their time, and a
scheduler that parses a DAG file needs neither."""


def __getattr__(name: str) -> Any:
    if name == "errors":
        return import_module("mastra_workflows.errors")
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
