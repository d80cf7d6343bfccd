"""Requests as values: one function for each endpoint."""

from __future__ import annotations

import json
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
    """Which of the two server generations answers."""

    V0 = "0.x"
    V1 = "1.x"


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request below the API prefix.

    Attributes:
        method: the HTTP method.
        path: percent-encoded, with a leading slash.
        query: the query parameters, not yet encoded.
        body: the JSON body; None for none.
        repeatable: whether sending it twice does no more than sending it once.
        waits: whether the server answers only when the run is done.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, JSON] | None = None
    repeatable: bool = False
    waits: bool = False

    @property
    def target(self) -> str:
        """Path and query, encoded."""
        return f"{self.path}?{urlencode(self.query, quote_via=quote)}" if self.query else self.path

    @property
    def run_id(self) -> str | None:
        """The run that it is about; None where the path names it, or no run is meant."""
        return self.query.get("runId")

    def encode(self, *, max_bytes: int) -> bytes | None:
        """The body as it is sent; None for none.

        Raises:
            InvalidDataError: it holds something that JSON has no form for.
            BodyTooLargeError: it is over the limit.
        """
        if self.body is None:
            return None
        body = encode_json(self.body)
        if len(body) > max_bytes:
            raise BodyTooLargeError(
                f"The request's body has {len(body)} bytes, over the limit of {max_bytes} "
                "(max_body_bytes). Nothing was sent."
            )
        return body


def encode_json(data: JSON) -> bytes:
    """Data as it is sent.

    Raises:
        InvalidDataError: it holds something that JSON has no form for.
    """
    try:
        return json.dumps(data, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError:
        raise InvalidDataError(
            f"The data is no JSON: the text at {_half_character(data)} holds half a character, "
            "such as an emoji that was cut. Nothing was sent."
        ) from None
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidDataError(f"The data is no JSON: {error}. Nothing was sent.") from error


def _half_character(data: JSON) -> str:
    """Where data hold a lone surrogate: ``$.notes[2]``, or ``a key of $.notes``."""
    waiting: list[tuple[str, JSON]] = [("$", data)]
    while waiting:
        place, value = waiting.pop()
        if isinstance(value, str) and not _is_utf8(value):
            return place
        if isinstance(value, dict):
            if not all(_is_utf8(str(key)) for key in value):
                return f"a key of {place}"
            waiting.extend((f"{place}.{key}", part) for key, part in value.items())
        elif isinstance(value, list | tuple):
            waiting.extend((f"{place}[{index}]", part) for index, part in enumerate(value))
    return "$"


@dataclass(frozen=True, slots=True)
class Response:
    """One HTTP answer, read to its end. Header names are lower case."""

    status_code: int
    headers: Mapping[str, str]
    content: bytes


def _path(*segments: str) -> str:
    return "".join(f"/{quote(require_id(segment), safe='')}" for segment in segments)


def require_id(name: object) -> str:
    """The id of a workflow or run, if it can be one.

    Servers take the path "/runs/.." for "/", percent-encoded or not: another call altogether. A NUL
    ends an id in a server's database: it answers about the run "a" where "a\\0b" is meant.

    Raises:
        ConfigurationError: it cannot.
    """
    if not isinstance(name, str) or name in ("", ".", "..") or not is_sendable(name):
        raise ConfigurationError(
            f"{quoted(name)} cannot be the id of a workflow or run: it must be a text other than "
            "'.' and '..', without a NUL or half a character. Nothing was sent."
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
    """``GET /system/packages``: there on 1.x, 404 on 0.x. Changes nothing."""
    return _get("system", "packages")


def list_workflows() -> Request:
    """``GET /workflows``."""
    return _get("workflows")


def workflow_details(workflow_id: str) -> Request:
    """``GET /workflows/{workflow}``."""
    return _get("workflows", workflow_id)


def create_run(workflow_id: str, run_id: str, resource_id: str | None = None) -> Request:
    """``POST /workflows/{workflow}/create-run``; once more with the same id changes nothing."""
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
    """What a run starts with; see `Run.start_async`.

    Attributes:
        none_is_null: whether an ``input_data`` of None is sent as null.

    Raises:
        ConfigurationError: ``resource_id`` is no text.
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
        """As both generations take it."""
        body = _without_none(
            initialState=self.initial_state,
            tracingOptions=self.tracing_options,
            resourceId=self.resource_id,
            **_context(self.request_context),
        )
        if self.input_data is None and not self.none_is_null:
            # 1.x takes an absent input for invalid, also where every field of it may be left out.
            return {"inputData": {}, **body}
        return {"inputData": self.input_data, **body}


def start(workflow_id: str, run_id: str, options: StartOptions) -> Request:
    """``POST .../start``: answers at once. Every one of them executes the run."""
    return _act(workflow_id, "start", run_id, options.body())


def start_async(workflow_id: str, run_id: str, options: StartOptions) -> Request:
    """``POST .../start-async``: answers when the run is done, or 504 after three minutes."""
    return _act(workflow_id, "start-async", run_id, options.body(), waits=True)


def stream(workflow_id: str, run_id: str, options: StartOptions) -> Request:
    """``POST .../stream``: starts the run, or attaches to it while it is under way."""
    return _act(workflow_id, "stream", run_id, options.body())


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeOptions:
    """What a suspended step is resumed with.

    Attributes:
        step: the step's path.
        resume_data: the answer to its question.
        for_each_index: which item of a ``foreach`` is meant, counted from 0.
        request_context: as at the start.
        tracing_options: as at the start.
    """

    step: StepPath
    resume_data: JSON = None
    for_each_index: int | None = None
    request_context: Mapping[str, JSON] | None = None
    tracing_options: Mapping[str, JSON] | None = None

    def body(self) -> dict[str, JSON]:
        """As both generations take it."""
        return _without_none(
            step=_step(self.step),
            resumeData=self.resume_data,
            forEachIndex=self.for_each_index,
            tracingOptions=self.tracing_options,
            **_context(self.request_context),
        )


def resume_async(workflow_id: str, run_id: str, options: ResumeOptions) -> Request:
    """``POST .../resume-async``: answers when the run is done or suspended again."""
    return _act(workflow_id, "resume-async", run_id, options.body(), waits=True)


def resume_stream(workflow_id: str, run_id: str, options: ResumeOptions) -> Request:
    """``POST .../resume-stream``: resumes, and tells what happens from then on."""
    return _act(workflow_id, "resume-stream", run_id, options.body())


def watch(
    workflow_id: str, run_id: str, generation: ServerGeneration, *, offset: int = 0
) -> Request:
    """``GET .../watch`` on 0.x, ``POST .../observe`` on 1.x.

    0.24's own `/observe` now and then lacks a run's end, its ``/watch`` does not.
    """
    if generation is ServerGeneration.V0:
        return _get("workflows", workflow_id, "watch", runId=require_id(run_id))
    return observe(workflow_id, run_id, offset=offset)


NO_HISTORY = 1_000_000_000
"""An offset past every event."""


def observe(workflow_id: str, run_id: str, *, offset: int = 0) -> Request:
    """``POST .../observe`` (from 0.22): what happened and happens in a run begun by a stream.

    A run that is under way is replayed twice: from the stored events, which ``offset`` skips (from
    1.30), and from the events of the stream that it executes in.
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
    """``GET .../runs``. All four paging words go together: one alone returns every row.

    Raises:
        ConfigurationError: a page without rows, a time without a zone, or a filter that is no text.
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
    """``POST .../runs/{run}/cancel``. 1.x rewrites even a finished run: look before."""
    path = _path("workflows", workflow_id, "runs", run_id, "cancel")
    return Request("POST", path, {}, {})


def delete(workflow_id: str, run_id: str) -> Request:
    """``DELETE .../runs/{run}`` (1.x)."""
    return Request("DELETE", _path("workflows", workflow_id, "runs", run_id), repeatable=True)


def restart_async(workflow_id: str, run_id: str) -> Request:
    """``POST .../restart-async`` (from 0.24.8): answers when the run is done."""
    return _act(workflow_id, "restart-async", run_id, {}, waits=True)


def time_travel_stream(
    workflow_id: str, run_id: str, step: StepPath, input_data: JSON = None
) -> Request:
    """``POST .../time-travel-stream`` (from 0.24.8): runs again, and tells what happens."""
    body = _without_none(step=_step(step), inputData=input_data)
    return _act(workflow_id, "time-travel-stream", run_id, body)


def _step(path: StepPath) -> JSON:
    """A step's path as servers take it.

    A text is split at its dots, so an id that has some goes in a list. Others go as a text where
    one id will do: the oldest servers do not understand a list of one.
    """
    return path[0] if len(path) == 1 and "." not in path[0] else list(path)


def _act(
    workflow_id: str, verb: str, run_id: str, body: Mapping[str, JSON], *, waits: bool = False
) -> Request:
    path = _path("workflows", workflow_id, verb)
    return Request("POST", path, {"runId": require_id(run_id)}, body, waits=waits)


def _context(values: Mapping[str, JSON] | None) -> dict[str, JSON]:
    # The two generations call it by two names and each ignores the other's.
    return {} if values is None else {"runtimeContext": values, "requestContext": values}


def _without_none(**values: JSON) -> dict[str, JSON]:
    return {key: value for key, value in values.items() if value is not None}
