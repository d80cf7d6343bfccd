"""Test arguments of wrong types: an error names the argument, and no request is sent."""

from __future__ import annotations

import asyncio
import datetime as dt
import inspect
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastra_workflows import AsyncMastraClient, MastraClient, RetryPolicy
from mastra_workflows._arguments import is_sendable, require_step, require_text
from mastra_workflows.errors import ConfigurationError
from mastra_workflows.hitl._inbox import InboxOptions
from tests.support.stand_in import StandIn, http

ODD: list[Any] = [5, -1, True, 1.5, float("nan"), 10**400, b"x", {}, {"a": 1}, {1, 2}, object()]
TEXTS = ["", "x", "3m"]
HALF = ["\ud800", "a\0b"]
NAIVE = [dt.datetime(2026, 1, 1), dt.date(2026, 1, 1)]  # noqa: DTZ001

Call = Callable[[Any, Any], Any]
CALLS: dict[str, tuple[Call, list[Any]]] = {
    "get_workflow": (lambda w, v: w.client.get_workflow(v).details(), [*ODD, *HALF, None, [], ""]),
    "run": (lambda w, v: w.get_run(v).read(), [*ODD, *HALF, None, ["a"], "", ".."]),
    "create_run": (lambda w, v: w.create_run(v), [*ODD, *HALF, ["a"], ".."]),
    "create_run_resource": (lambda w, v: w.create_run("r", v), [*ODD, *HALF, ["a"]]),
    "cancel_work": (lambda w, v: w.cancel_work(v), [*ODD, *HALF, None, ["a"]]),
    "attach_or_start": (lambda w, v: w.attach_or_start(v), [*ODD, *HALF, None, ["a"]]),
    "started_after": (
        lambda w, v: w.attach_or_start("r", started_after=v),
        [*ODD, *TEXTS, *NAIVE, [1]],
    ),
    "resource_id": (lambda w, v: w.get_run("r").start(resource_id=v), [*ODD, *HALF, ["a"]]),
    "page_size": (lambda w, v: w.runs(page_size=v), [*ODD[1:], *TEXTS, None, 0, [1]]),
    "runs_resource": (lambda w, v: w.runs(resource_id=v), [*ODD, *HALF, ["a"]]),
    "status": (lambda w, v: w.runs(status=v), [*ODD, *HALF, ["a"]]),
    "from_date": (lambda w, v: w.runs(from_date=v), [*ODD, *TEXTS, *NAIVE]),
    "to_date": (lambda w, v: w.runs(to_date=v), [*ODD, *TEXTS, *NAIVE]),
    "state": (lambda w, v: w.new_pending_requests(v), [*ODD, *TEXTS, 0, []]),
    "most": (lambda w, v: w.new_pending_requests(most=v), [*ODD[1:], *TEXTS, 0]),
    "on_record": (lambda w, v: w.get_run("r").wait(on_record=v), [*ODD, *TEXTS]),
    "on_event": (lambda w, v: w.get_run("r").wait(on_event=v), [*ODD, *TEXTS]),
    "travel": (
        lambda w, v: w.get_run("r").time_travel(step=v),
        [*ODD, None, "", [], [5], ["a", 5]],
    ),
    "step": (lambda w, v: w.get_run("r").resume(step=v), [*ODD, "", [], [5], ["a", None]]),
    "item": (lambda w, v: w.get_run("r").resume(for_each_index=v), [*ODD[1:5], *TEXTS, []]),
    "suspended_at": (lambda w, v: w.get_run("r").resume(suspended_at=v), [*ODD, *TEXTS]),
    "pending_request": (lambda w, v: w.get_run("r").respond(v, {}), [*ODD, *TEXTS, None]),
    "confirm_timeout": (
        lambda w, v: w.get_run("r").cancel(confirm_timeout=v),
        [*ODD[6:], *TEXTS, None, True, -1],
    ),
    "work_confirm_timeout": (
        lambda w, v: w.cancel_work("r", confirm_timeout=v),
        [*ODD[6:], *TEXTS, None, True],
    ),
    "allow_retry": (lambda w, v: w.get_run("r").cancel(allow_retry=v), [*TEXTS, None, 1]),
}
CASES = pytest.mark.parametrize(("call", "values"), CALLS.values(), ids=list(CALLS))
ONCE = RetryPolicy(seconds=0)


@pytest.fixture
def host() -> Iterator[StandIn]:
    with StandIn(http(500, b"{}", Connection="close")) as host:
        yield host
        assert host.requests == []


class Both:
    """A workflow's handle, with the client that it is of."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self._workflow = client.get_workflow("w")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._workflow, name)


@CASES
def test_a_wrong_argument(host: StandIn, call: Call, values: list[Any]) -> None:
    with MastraClient(host.url, retry=ONCE) as client:
        for value in values:
            with pytest.raises(ConfigurationError):
                _first(call(Both(client), value))


def _first(result: Any) -> None:
    if inspect.isgenerator(result):
        next(result)


@CASES
def test_a_wrong_argument_of_the_asyncio_client(
    host: StandIn, call: Call, values: list[Any]
) -> None:
    async def ask() -> None:
        async with AsyncMastraClient(host.url, retry=ONCE) as client:
            for value in values:
                with pytest.raises(ConfigurationError):
                    await _first_of(partial(call, Both(client), value))

    asyncio.run(ask())


async def _first_of(call: Callable[[], Any]) -> None:
    result = call()
    await (anext(result) if inspect.isasyncgen(result) else result)


def test_an_error_names_the_argument_and_its_value(host: StandIn) -> None:
    with MastraClient(host.url) as client:
        run = client.get_workflow("w").get_run("r")
        with pytest.raises(ConfigurationError, match=r"^on_record: expected a callable, got 5\.$"):
            run.wait(on_record=5)  # type: ignore[arg-type]
        with pytest.raises(
            ConfigurationError, match=r"^step: expected the name of a step.*got None\.$"
        ):
            run.time_travel(step=None)  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError, match=r"^most: expected an integer.*got 0\.$"):
            InboxOptions(most=0)


@given(st.text(st.characters(codec=None)))
def test_any_string_is_accepted_or_rejected(text: str) -> None:
    if is_sendable(text):
        require_text(status=text)
        assert "\0" not in text.encode().decode()
    else:
        with pytest.raises(ConfigurationError, match="status"):
            require_text(status=text)


@given(st.recursive(st.none() | st.text() | st.integers(), st.lists))
def test_any_step_is_accepted_or_rejected(step: Any) -> None:
    names = [step] if isinstance(step, str) else step
    if isinstance(names, list) and names and step != "" and all(isinstance(n, str) for n in names):
        require_step(step)
    else:
        with pytest.raises(ConfigurationError, match="step"):
            require_step(step)
