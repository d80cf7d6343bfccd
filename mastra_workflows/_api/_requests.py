"""Requests as values: one function for each endpoint."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import TypedDict, Unpack
from urllib.parse import quote, urlencode

from mastra_workflows._arguments import is_sendable, require_aware, require_count, require_text
from mastra_workflows._models import (
    JSON,
    StepPath,
)
from mastra_workflows._policy import quoted
from mastra_workflows.errors import (
    BodyTooLargeError,
    ConfigurationError,
    InvalidDataError,
)


class ServerGeneration(Enum):
    """The major version of a server: 0.x or 1.x."""

    V0 = "0.x"
    V1 = "1.x"


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request below the API prefix.

    Attributes:
        method: the HTTP method.
        path: the percent-encoded path, with a leading slash.
        query: the query parameters, not encoded.
        body: the JSON body; None for no body.
        repeatable: whether the request is idempotent.
        waits: whether the server responds only when the run has finished.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, JSON] | None = None
    repeatable: bool = False
    waits: bool = False

    @property
    def target(self) -> str:
        """The encoded path and query."""
        return f"{self.path}?{urlencode(self.query, quote_via=quote)}" if self.query else self.path

    @property
    def run_id(self) -> str | None:
        """The run in the query; None if the path names the run, or there is no run."""
        return self.query.get("runId")

    def encode(self, *, max_bytes: int) -> bytes | None:
        """Encode the body; None for no body.

        Raises:
            InvalidDataError: the body cannot be serialised as JSON.
            BodyTooLargeError: the body exceeds the limit.
        """
        if self.body is None:
            return None
        body = encode_json(self.body)
        if len(body) > max_bytes:
            raise BodyTooLargeError(
                f"The request body has {len(body)} bytes, over the limit of {max_bytes} "
                "(max_body_bytes). Nothing was sent."
            )
        return body


def encode_json(data: JSON) -> bytes:
    """Encode data as JSON.

    Raises:
        InvalidDataError: the data cannot be serialised as JSON.
    """
    try:
        return json.dumps(data, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        fault = _fault_in(data) or str(error)
        raise InvalidDataError(f"The data is not valid JSON: {fault}. Nothing was sent.") from error


def _fault_in(data: object) -> str:
    """Describe a value that JSON cannot hold, with its place such as ``$.notes[2]``; "" if none."""
    half = "contains a lone surrogate, such as half of an emoji"
    seen: set[int] = set()  # a container may contain itself
    waiting: list[tuple[str, object]] = [("$", data)]
    while waiting:
        place, value = waiting.pop()
        if isinstance(value, dict | list | tuple):
            if id(value) in seen:
                continue
            seen.add(id(value))
        if isinstance(value, dict):
            for key in value:
                if not isinstance(key, str | int | float | None):
                    return f"a key of {place} is of type {type(key).__name__}"
                if not _is_utf8(str(key)):
                    return f"a key of {place} {half}"
            waiting.extend((f"{place}.{key}", part) for key, part in value.items())
        elif isinstance(value, list | tuple):
            waiting.extend((f"{place}[{index}]", part) for index, part in enumerate(value))
        elif isinstance(value, str):
            if not _is_utf8(value):
                return f"the string at {place} {half}"
        elif isinstance(value, float):
            if not math.isfinite(value):
                return f"the number at {place} is {value}"
        elif not isinstance(value, int | None):
            return f"the value at {place} is of type {type(value).__name__}"
    return ""


@dataclass(frozen=True, slots=True)
class Response:
    """One complete HTTP response. Header names are lower case."""

    status_code: int
    headers: Mapping[str, str]
    content: bytes


def _path(*segments: str) -> str:
    return "".join(f"/{quote(require_id(segment), safe='')}" for segment in segments)


def require_id(name: object) -> str:
    """Validate the id of a workflow or run.

    Servers resolve the path "/runs/.." to "/", percent-encoded or not, which is another endpoint. A
    NUL ends an id in a server's database: the server would respond about the run "a" in place of
    "a\\0b".

    Raises:
        ConfigurationError: the id is invalid.
    """
    if not isinstance(name, str) or name in ("", ".", "..") or not is_sendable(name):
        raise ConfigurationError(
            f"Invalid id of a workflow or run: {quoted(name)}. It must be a string other than '', "
            "'.' and '..', without NUL characters and lone surrogates. Nothing was sent."
        )
    return name


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _get(*segments: str, **query: str) -> Request:
    return Request("GET", _path(*segments), query, repeatable=True)


def system_packages() -> Request:
    """``GET /system/packages``: exists on 1.x, 404 on 0.x. No side effects."""
    return _get("system", "packages")


def list_workflows() -> Request:
    """``GET /workflows``."""
    return _get("workflows")


def workflow_details(workflow_id: str) -> Request:
    """``GET /workflows/{workflow}``."""
    return _get("workflows", workflow_id)


def create_run(workflow_id: str, run_id: str, resource_id: str | None = None) -> Request:
    """``POST /workflows/{workflow}/create-run``; idempotent for the same id."""
    require_text(resource_id=resource_id)
    body = {} if resource_id is None else {"resourceId": resource_id}
    path = _path("workflows", workflow_id, "create-run")
    return Request("POST", path, {"runId": require_id(run_id)}, body, repeatable=True)


class StartArguments(TypedDict, total=False):
    """The keyword arguments of `Run.start`."""

    input_data: JSON
    initial_state: JSON
    request_context: Mapping[str, JSON] | None
    tracing_options: Mapping[str, JSON] | None
    resource_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StartOptions:
    """The options of a start; see `Run.start_async`.

    Attributes:
        none_is_null: whether to send an ``input_data`` of None as null.

    Raises:
        ConfigurationError: ``resource_id`` is not a text.
    """

    input_data: JSON = None
    initial_state: JSON = None
    request_context: Mapping[str, JSON] | None = None
    tracing_options: Mapping[str, JSON] | None = None
    resource_id: str | None = None
    none_is_null: bool = False

    def __post_init__(self) -> None:
        require_text(resource_id=self.resource_id)

    def body(self) -> dict[str, JSON]:
        """Return the body, which is valid for 0.x and 1.x."""
        body = _without_none(
            initialState=self.initial_state,
            tracingOptions=self.tracing_options,
            resourceId=self.resource_id,
            **_context(self.request_context),
        )
        if self.input_data is None and not self.none_is_null:
            # 1.x refuses an absent input, even if all of its fields are optional.
            return {"inputData": {}, **body}
        return {"inputData": self.input_data, **body}


def start_async(workflow_id: str, run_id: str, options: StartOptions) -> Request:
    """``POST .../start-async``: responds when the run has finished, or 504 after three minutes."""
    return _act(workflow_id, "start-async", run_id, options.body(), waits=True)


def stream(workflow_id: str, run_id: str, options: StartOptions) -> Request:
    """``POST .../stream``: starts the run, or attaches to it while it is running."""
    return _act(workflow_id, "stream", run_id, options.body())


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeCommand:
    """What a resume sends.

    Attributes:
        step: the step's path.
        resume_data: the response to the pending request.
        for_each_index: the item of a ``foreach``, counted from 0.
        request_context: see `StartOptions`.
        tracing_options: see `StartOptions`.
    """

    step: StepPath
    resume_data: JSON = None
    for_each_index: int | None = None
    request_context: Mapping[str, JSON] | None = None
    tracing_options: Mapping[str, JSON] | None = None

    def body(self) -> dict[str, JSON]:
        """Return the body, which is valid for 0.x and 1.x."""
        return _without_none(
            step=_step(self.step),
            resumeData=self.resume_data,
            forEachIndex=self.for_each_index,
            tracingOptions=self.tracing_options,
            **_context(self.request_context),
        )


def resume_async(workflow_id: str, run_id: str, command: ResumeCommand) -> Request:
    """``POST .../resume-async``: responds when the run has finished or is suspended again."""
    return _act(workflow_id, "resume-async", run_id, command.body(), waits=True)


def resume_stream(workflow_id: str, run_id: str, command: ResumeCommand) -> Request:
    """``POST .../resume-stream``: resumes the run, and streams its events from then on."""
    return _act(workflow_id, "resume-stream", run_id, command.body())


def watch(
    workflow_id: str, run_id: str, generation: ServerGeneration, *, offset: int = 0
) -> Request:
    """``GET .../watch`` on 0.x, ``POST .../observe`` on 1.x.

    The `/observe` of 0.24 sometimes omits a run's end; its ``/watch`` does not.
    """
    if generation is ServerGeneration.V0:
        return _get("workflows", workflow_id, "watch", runId=require_id(run_id))
    return observe(workflow_id, run_id, offset=offset)


NO_HISTORY = 1_000_000_000
"""An offset past every stored event."""


def observe(workflow_id: str, run_id: str, *, offset: int = 0) -> Request:
    """``POST .../observe`` (from 0.22): past and new events of a run that was started by a stream.

    A running run is replayed twice: from the stored events, which ``offset`` skips (from 1.30), and
    from the events of the stream that it executes in.
    """
    path = _path("workflows", workflow_id, "observe")
    query = {"runId": require_id(run_id)}
    if offset:
        query["offset"] = str(offset)
    return Request("POST", path, query, {}, repeatable=True)


def run_execution_result(workflow_id: str, run_id: str, generation: ServerGeneration) -> Request:
    """``GET .../runs/{run}/execution-result`` on 0.x, ``GET .../runs/{run}`` on 1.x."""
    tail = ("execution-result",) if generation is ServerGeneration.V0 else ()
    return _get("workflows", workflow_id, "runs", run_id, *tail)


class RunFilter(TypedDict, total=False):
    """The keyword arguments of `Workflow.runs` that select runs."""

    from_date: datetime | None
    to_date: datetime | None
    resource_id: str | None
    status: str | None


def list_runs(workflow_id: str, *, page: int, per_page: int, **which: Unpack[RunFilter]) -> Request:
    """``GET .../runs``. All four paging parameters are required: one alone returns every row.

    Raises:
        ConfigurationError: the page size is not positive, a time has no zone, or a filter is not a
            text.
    """
    require_count("page_size", per_page)
    resource_id, status = which.get("resource_id"), which.get("status")
    require_text(resource_id=resource_id, status=status)
    require_aware(from_date=which.get("from_date"), to_date=which.get("to_date"))
    query = {
        "limit": str(per_page),
        "offset": str(page * per_page),
        "page": str(page),
        "perPage": str(per_page),
    }
    for name, word in (("from_date", "fromDate"), ("to_date", "toDate")):
        moment = which.get(name)
        if isinstance(moment, datetime):
            query[word] = moment.isoformat()
    if resource_id is not None:
        query["resourceId"] = resource_id
    if status is not None:
        query["status"] = status
    return _get("workflows", workflow_id, "runs", **query)


def cancel(workflow_id: str, run_id: str) -> Request:
    """``POST .../runs/{run}/cancel``. 1.x rewrites even a finished run: read the record first."""
    path = _path("workflows", workflow_id, "runs", run_id, "cancel")
    return Request("POST", path, {}, {})


def delete(workflow_id: str, run_id: str) -> Request:
    """``DELETE .../runs/{run}`` (1.x)."""
    return Request("DELETE", _path("workflows", workflow_id, "runs", run_id), repeatable=True)


def restart_async(workflow_id: str, run_id: str) -> Request:
    """``POST .../restart-async`` (from 0.24.8): responds when the run has finished."""
    return _act(workflow_id, "restart-async", run_id, {}, waits=True)


def time_travel_stream(
    workflow_id: str, run_id: str, step: StepPath, input_data: JSON = None
) -> Request:
    """``POST .../time-travel-stream`` (from 0.24.8): executes again, and streams the events."""
    body = _without_none(step=_step(step), inputData=input_data)
    return _act(workflow_id, "time-travel-stream", run_id, body)


def _step(path: StepPath) -> JSON:
    """Encode a step's path for servers.

    Servers split a text at its dots, so an id with dots is sent as a list. A single id without dots
    is sent as a text: the oldest servers do not accept a list of one.
    """
    return path[0] if len(path) == 1 and "." not in path[0] else list(path)


def _act(
    workflow_id: str, verb: str, run_id: str, body: Mapping[str, JSON], *, waits: bool = False
) -> Request:
    path = _path("workflows", workflow_id, verb)
    return Request("POST", path, {"runId": require_id(run_id)}, body, waits=waits)


def _context(values: Mapping[str, JSON] | None) -> dict[str, JSON]:
    # 0.x and 1.x use different names, and each ignores the other's.
    return {} if values is None else {"runtimeContext": values, "requestContext": values}


def _without_none(**values: JSON) -> dict[str, JSON]:
    return {key: value for key, value in values.items() if value is not None}
