"""Fixtures and settings of the shared part's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

from mastra_workflows import MastraClient, RetryPolicy
from testkit.sample_server import SampleServer
from tests.support.fault_proxy import FaultProxy

# No deadline: this machine may be busy. No database: a folder of it in every place that pytest is
# called from.
settings.register_profile("core", deadline=None, database=None)
settings.register_profile("quick", settings.get_profile("core"), max_examples=20)
settings.load_profile("core")


@pytest.fixture
def proxy(server: SampleServer) -> Iterator[FaultProxy]:
    """A proxy before the server, which does what the test's rules say."""
    with FaultProxy(server.url) as proxy:
        yield proxy


@pytest.fixture
def proxied(proxy: FaultProxy) -> Iterator[MastraClient]:
    """A client that reaches the server through the proxy, and tries again soon."""
    with MastraClient(proxy.url, retry=RetryPolicy(first_wait=0.02)) as client:
        yield client
