"""Provide the conformance suite's servers, and write its results to docs/servers.md."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import pytest

from mastra_workflows import MastraClient
from tests.servers import conformance_table as table
from tests.servers.limits import FOOTNOTES, LIMITS
from tests.servers.rig import TARGETS, Endpoint, Target, running

_BY_NAME = {target.name: target for target in TARGETS}
_seen: dict[str, table.Cells] = {}
_features: list[str] = []


@pytest.fixture(scope="session", params=TARGETS, ids=lambda target: target.name)
def target(request: pytest.FixtureRequest) -> Target:
    """Each column of the table. pytest runs all tests of a column before the next one."""
    chosen: Target = request.param
    return chosen


@pytest.fixture(scope="session")
def endpoint(target: Target) -> Iterator[Endpoint]:
    """The running servers of the column."""
    with running(target) as endpoint:
        yield endpoint


@pytest.fixture
def client(endpoint: Endpoint) -> Iterator[MastraClient]:
    """A client of the column's servers."""
    with endpoint.client() as client:
        yield client


@pytest.fixture
def version(endpoint: Endpoint) -> str:
    """The version of `@mastra/core` on the column's first server."""
    return endpoint.servers[0].version


def unsupported(footnote: str) -> None:
    """Mark a feature as unsupported, after the test has verified the client's error for it."""
    assert footnote in FOOTNOTES
    pytest.skip(footnote)


@pytest.hookimpl(tryfirst=True)  # before -k deselects tests: the table keeps their rows
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark known failures as strict xfail: the suite fails when one of them passes."""
    for item in items:
        feature, server = _place(item)
        if feature and feature not in _features:
            _features.append(feature)
        if footnote := LIMITS.get((feature, server)):
            assert footnote in FOOTNOTES
            item.add_marker(pytest.mark.xfail(strict=True, reason=footnote))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    feature, server = _place(item)
    if server in _BY_NAME and (report.when == "call" or report.skipped):
        marks = _seen.setdefault(_BY_NAME[server].table, {})
        if marks.get((feature, server), table.PASSES).startswith(table.PASSES):
            marks[feature, server] = _mark(report)
    return report


def pytest_sessionfinish() -> None:
    """Write the results to the tables, if a target file is set."""
    if (path := table.target_file()) is None or not _seen:
        return
    for name, cells in _seen.items():
        servers = [target.name for target in TARGETS if target.table == name]
        table.rewrite(path, name, cells, _features, servers)
    table.rewrite_footnotes(path, FOOTNOTES)


def _mark(report: pytest.TestReport) -> str:
    if report.passed:
        return table.PASSES
    if hasattr(report, "wasxfail"):
        return f"{table.FAILS}[^{report.wasxfail.removeprefix('reason: ')}]"
    if report.skipped and isinstance(report.longrepr, tuple):
        return f"{table.UNSUPPORTED}[^{report.longrepr[2].removeprefix('Skipped: ')}]"
    return table.FAILS


def _place(item: pytest.Item) -> tuple[str, str]:
    """Return the row and the column of a test's cell; empty strings for a test without a cell."""
    mark = item.get_closest_marker("feature")
    parameters = (
        item.callspec.params
        if isinstance(item, pytest.Function) and hasattr(item, "callspec")
        else {}
    )
    target = parameters.get("target")
    if mark is None or not isinstance(target, Target):
        return "", ""
    return mark.args[0].format(**parameters), target.name
