"""A client of Mastra's HTTP Workflows API, synchronous and asyncio."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mastra_workflows import errors
    from mastra_workflows._api import ServerGeneration
    from mastra_workflows._async_transport import AsyncEventStream
    from mastra_workflows._models import (
        JSON,
        Event,
        RunFailure,
        RunStatus,
        Step,
        StepDetails,
        Suspension,
        WorkflowDetails,
        WorkflowRun,
    )
    from mastra_workflows._options import OnFailedRun, OnOtherInput, OnStall, OnSuspend
    from mastra_workflows._policy import Duration, RetryPolicy
    from mastra_workflows._procedures import Attachment, Receipt
    from mastra_workflows._procedures.acting import Cancellation
    from mastra_workflows._settings import ClientCertificate
    from mastra_workflows._sync.client import MastraClient
    from mastra_workflows._sync.run import Run
    from mastra_workflows._sync.workflow import Workflow
    from mastra_workflows._transport import EventStream
    from mastra_workflows.aio.client import AsyncMastraClient
    from mastra_workflows.aio.run import AsyncRun
    from mastra_workflows.aio.workflow import AsyncWorkflow
    from mastra_workflows.errors import MastraError

__all__ = [
    "JSON",
    "AsyncEventStream",
    "AsyncMastraClient",
    "AsyncRun",
    "AsyncWorkflow",
    "Attachment",
    "Cancellation",
    "ClientCertificate",
    "Duration",
    "Event",
    "EventStream",
    "MastraClient",
    "MastraError",
    "OnFailedRun",
    "OnOtherInput",
    "OnStall",
    "OnSuspend",
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
    "AsyncEventStream": "mastra_workflows._async_transport",
    "AsyncMastraClient": "mastra_workflows.aio.client",
    "AsyncRun": "mastra_workflows.aio.run",
    "AsyncWorkflow": "mastra_workflows.aio.workflow",
    "Attachment": "mastra_workflows._procedures",
    "Cancellation": "mastra_workflows._procedures.acting",
    "ClientCertificate": "mastra_workflows._settings",
    "Duration": "mastra_workflows._policy",
    "Event": "mastra_workflows._models",
    "EventStream": "mastra_workflows._transport",
    "JSON": "mastra_workflows._models",
    "MastraClient": "mastra_workflows._sync.client",
    "MastraError": "mastra_workflows.errors",
    "OnFailedRun": "mastra_workflows._options",
    "OnOtherInput": "mastra_workflows._options",
    "OnStall": "mastra_workflows._options",
    "OnSuspend": "mastra_workflows._options",
    "Receipt": "mastra_workflows._procedures",
    "RetryPolicy": "mastra_workflows._policy",
    "Run": "mastra_workflows._sync.run",
    "RunFailure": "mastra_workflows._models",
    "RunStatus": "mastra_workflows._models",
    "ServerGeneration": "mastra_workflows._api",
    "Step": "mastra_workflows._models",
    "StepDetails": "mastra_workflows._models",
    "Suspension": "mastra_workflows._models",
    "Workflow": "mastra_workflows._sync.workflow",
    "WorkflowDetails": "mastra_workflows._models",
    "WorkflowRun": "mastra_workflows._models",
}
"""The module of each public name. Names are imported on first use: HTTP clients and JSON Schema are
slow to import, and a scheduler that parses a DAG file needs neither."""


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
