"""Procedures: operations of several requests, shared by the synchronous and the asyncio driver."""

from mastra_workflows._options import (
    OnFailedRun,
    OnStall,
    OnSuspend,
    OnUnexpectedSuspend,
    WaitOptions,
)
from mastra_workflows._procedures._effects import (
    Effect,
    Listen,
    Open,
    Parse,
    Procedure,
    Send,
    Server,
    ServerState,
    Sleep,
    StreamResult,
)
from mastra_workflows._procedures.acting import cancel, delete, restart
from mastra_workflows._procedures.attaching import (
    Attachment,
    attach_or_start,
    cancel_work,
    execute,
    find_work,
    resume,
)
from mastra_workflows._procedures.following import Follower
from mastra_workflows._procedures.looking import new_pending_requests
from mastra_workflows._procedures.reading import (
    RunsPage,
    details,
    find_run,
    generation,
    list_workflows,
    read_run,
    runs_page,
    watchable,
)
from mastra_workflows._procedures.responding import respond
from mastra_workflows._procedures.resuming import (
    resume_async,
    resume_request,
    supports_for_each_index,
)
from mastra_workflows._procedures.starting import (
    Receipt,
    create_run,
    start,
    start_async,
    stream_request,
)
from mastra_workflows._procedures.travelling import time_travel
from mastra_workflows._procedures.waiting import wait

__all__ = [
    "Attachment",
    "Effect",
    "Follower",
    "Listen",
    "OnFailedRun",
    "OnStall",
    "OnSuspend",
    "OnUnexpectedSuspend",
    "Open",
    "Parse",
    "Procedure",
    "Receipt",
    "RunsPage",
    "Send",
    "Server",
    "ServerState",
    "Sleep",
    "StreamResult",
    "WaitOptions",
    "attach_or_start",
    "cancel",
    "cancel_work",
    "create_run",
    "delete",
    "details",
    "execute",
    "find_run",
    "find_work",
    "generation",
    "list_workflows",
    "new_pending_requests",
    "read_run",
    "respond",
    "restart",
    "resume",
    "resume_async",
    "resume_request",
    "runs_page",
    "start",
    "start_async",
    "stream_request",
    "supports_for_each_index",
    "time_travel",
    "wait",
    "watchable",
]
