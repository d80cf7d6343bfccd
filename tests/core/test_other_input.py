"""Test a run id that belongs to other work: with other input, or started before this work."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mastra_workflows import AsyncMastraClient, MastraClient
from mastra_workflows._api import StartOptions
from mastra_workflows._procedures import attach_or_start
from mastra_workflows.errors import (
    FINAL,
    ConfigurationError,
    InvalidDataError,
    RunMismatchError,
)
from testkit.sample_server import SampleServer
from tests.core.samples import charge
from tests.core.virtual import World

SECRET = "sk-live-1234"


def test_other_input_under_the_same_id_is_an_error(
    client: MastraClient, server: SampleServer, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    workflow = client.get_workflow("orderReport")
    workflow.attach_or_start(key, input_data={"city": "Oslo", "limit": 2})
    workflow.get_run(key).wait()
    other = {"city": SECRET, "limit": 3}
    with pytest.raises(RunMismatchError) as caught:
        workflow.attach_or_start(key, input_data=other)
    text = str(caught.value)
    assert f"Run '{key}' of workflow 'orderReport' succeeded" in text
    assert "$.city, $.limit" in text
    assert "Nothing was started" in text
    assert "on_other_input='attach'" in text
    assert SECRET not in text + caplog.text
    assert "Oslo" not in text + caplog.text
    assert isinstance(caught.value, FINAL)
    with pytest.raises(RunMismatchError, match=r"\$\.city"):
        workflow.get_run(key).start(input_data=other)


def test_other_input_can_be_attached_to(
    client: MastraClient, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    workflow = client.get_workflow("orderReport")
    workflow.attach_or_start(key, input_data={"city": "Oslo", "limit": 2})
    workflow.get_run(key).wait()
    other: dict[str, Any] = {"input_data": {"city": SECRET, "limit": 2}, "on_other_input": "attach"}
    assert workflow.attach_or_start(key, **other).run_id == key
    assert workflow.get_run(key).start(**other).found is not None
    assert caplog.text.count("the inputs differ at $.city") == 2
    assert SECRET not in caplog.text
    assert "Oslo" not in caplog.text


async def test_async_client_compares_the_input(server: SampleServer, key: str) -> None:
    async with AsyncMastraClient(server.url) as client:
        workflow = client.get_workflow("countedCharge")
        await workflow.attach_or_start(key, input_data=charge(key))
        other = {**charge(key), "amount": 6}
        with pytest.raises(RunMismatchError, match=r"differ at \$\.amount"):
            await workflow.attach_or_start(key, input_data=other)
        with pytest.raises(RunMismatchError, match=r"differ at \$\.amount"):
            await workflow.get_run(key).start(input_data=other)
        later = datetime.now(UTC) + timedelta(seconds=90)
        with pytest.raises(RunMismatchError, match="It belongs to other work"):
            await workflow.attach_or_start(key, input_data=charge(key), started_after=later)
        found = await workflow.attach_or_start(key, input_data=other, on_other_input="attach")
        assert found.found is not None


def test_defaults_and_dropped_fields_are_not_differences(client: MastraClient, key: str) -> None:
    workflow = client.get_workflow("orderReport")
    given = {"city": "Oslo", "unknown": [1]}
    workflow.attach_or_start(key, input_data=given)
    workflow.get_run(key).wait()
    assert workflow.attach_or_start(key, input_data=given).found is not None
    assert workflow.attach_or_start(key, input_data={"city": "Oslo"}).found is not None


def test_after_a_failed_run_the_next_one_takes_the_new_input(
    client: MastraClient, key: str
) -> None:
    """As after a correction of the input: nothing is used of the run that failed."""
    workflow = client.get_workflow("failingImport")
    workflow.attach_or_start(key, input_data={"file": "a.csv"})
    assert workflow.get_run(key).wait().status == "failed"
    assert workflow.attach_or_start(key, input_data={"file": "b.csv"}).run_id == f"{key}-2"
    with pytest.raises(RunMismatchError, match=r"differ at \$\.file"):
        workflow.attach_or_start(
            key, input_data={"file": "c.csv"}, on_failed_run="from_failed_step"
        )


def test_run_older_than_started_after_is_rejected(
    client: MastraClient, server: SampleServer, key: str
) -> None:
    workflow = client.get_workflow("countedCharge")
    began = datetime.now(UTC)
    workflow.attach_or_start(key, input_data=charge(key), started_after=began)
    workflow.get_run(key).wait()
    found = workflow.attach_or_start(key, input_data=charge(key), started_after=began).found
    assert found is not None
    skewed = began + timedelta(seconds=45)  # clocks differ
    assert workflow.attach_or_start(key, input_data=charge(key), started_after=skewed).found
    with pytest.raises(RunMismatchError, match="of another deployment"):
        workflow.attach_or_start(
            key, input_data=charge(key), started_after=began + timedelta(seconds=90)
        )
    assert server.executions(key) == 1


def test_options_are_validated_before_any_request() -> None:
    world = World()
    for options, text in (
        ({"on_other_input": "retry"}, "on_other_input is 'retry'"),
        (
            {"started_after": datetime.now(UTC).replace(tzinfo=None)},
            "expected a timezone-aware datetime",
        ),
    ):
        arguments: dict[str, Any] = dict(options)
        with pytest.raises(ConfigurationError, match=text):
            world.run(attach_or_start(world.server, "w", "r", StartOptions(), **arguments))
    assert world.requests == []


def test_input_that_is_not_json_is_rejected_for_an_existing_run() -> None:
    world = World()
    world.on_run("success")
    options = StartOptions(input_data={"city": float("nan")})
    with pytest.raises(InvalidDataError, match="not valid JSON"):
        world.run(attach_or_start(world.server, "w", "r", options))
