"""Fixtures and Hypothesis settings for the tests of the client."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

from mastra_workflows import MastraClient, RetryPolicy
from testkit.sample_server import SampleServer
from tests.support.fault_proxy import FaultProxy

# No deadline, since the machine may be busy. No database: Hypothesis would create a folder in each
# directory that pytest is called from.
settings.register_profile("core", deadline=None, database=None)
settings.register_profile("quick", settings.get_profile("core"), max_examples=20)
settings.load_profile("core")


@pytest.fixture
def proxy(server: SampleServer) -> Iterator[FaultProxy]:
    """A proxy in front of the server, which applies the test's fault rules."""
    with FaultProxy(server.url) as proxy:
        yield proxy


@pytest.fixture
def proxied(proxy: FaultProxy) -> Iterator[MastraClient]:
    """A client that connects through the proxy and retries after a short backoff."""
    with MastraClient(proxy.url, retry=RetryPolicy(first_wait=0.02)) as client:
        yield client
