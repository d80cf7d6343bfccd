"""Test the fault proxy: it forwards requests unchanged, and its faults do what they specify."""

from __future__ import annotations

import gc
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import pytest
import requests

from mastra_workflows import MastraClient
from mastra_workflows.errors import UnknownRunError
from testkit.sample_server import SampleServer
from tests.support.fault_proxy import FaultProxy
from tests.support.faults import CutResponse, Delay, DropRequest, Hold, LoseResponse, Respond


def get(proxy: FaultProxy, path: str = "/api/workflows") -> requests.Response:
    return requests.get(f"{proxy.url}{path}", timeout=10)


def create_run(proxy: FaultProxy, run_id: str, seconds: float = 10) -> requests.Response:
    url = f"{proxy.url}/api/workflows/earlyExit/create-run?runId={run_id}"
    return requests.post(url, json={}, timeout=seconds)


def exists(server: SampleServer, run_id: str) -> bool:
    with MastraClient(server.url) as client:
        try:
            client.get_workflow("earlyExit").run_execution_result(run_id)
        except UnknownRunError:
            return False
    return True


def test_proxy_is_transparent_without_rules(proxy: FaultProxy, server: SampleServer) -> None:
    response = get(proxy, "/api/workflows?partial=true&x=%C3%A9")
    assert response.json() == requests.get(f"{server.url}/api/workflows?partial=true").json()
    url = f"{proxy.url}/api/workflows/earlyExit/start-async?runId=a%2Fb"
    posted = requests.post(url, json={"inputData": {"stock": 3}}, timeout=10)
    assert posted.json()["result"] == {"ordered": 0, "reason": "enough in stock"}
    get_seen, post_seen = proxy.seen
    assert (get_seen.method, get_seen.path) == ("GET", "/api/workflows")
    assert get_seen.query == "partial=true&x=%C3%A9"
    assert (post_seen.query, post_seen.body) == ("runId=a%2Fb", b'{"inputData": {"stock": 3}}')
    assert get_seen.fault is post_seen.fault is None


def test_the_nth_match_of_a_rule(proxy: FaultProxy) -> None:
    proxy.on("GET", "/workflows$", Respond(503), nth=2)
    proxy.on("POST", "", Respond(502))
    assert [get(proxy).status_code for _ in range(3)] == [200, 503, 200]
    assert get(proxy, "/api/system/packages").status_code in (200, 404)
    assert proxy.count() == 4
    assert proxy.count("GET", "/workflows$") == 3
    assert [seen.fault is not None for seen in proxy.seen] == [False, True, False, False]
    proxy.clear()
    assert proxy.count() == 0
    assert get(proxy).status_code == 200


@pytest.mark.parametrize("fault", [DropRequest(), LoseResponse(), LoseResponse(wait=False)])
def test_no_response(proxy: FaultProxy, fault: DropRequest | LoseResponse) -> None:
    proxy.on("GET", "", fault)
    with pytest.raises(requests.ConnectionError):
        get(proxy)


def test_truncated_response(proxy: FaultProxy) -> None:
    proxy.on("GET", "", CutResponse(100))
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        get(proxy)


def test_stubbed_response(proxy: FaultProxy) -> None:
    proxy.on("GET", "", Respond(429, {"Retry-After": "3"}, b"slow down"), nth=1)
    proxy.on("GET", "", Respond(504, forwarded=True))
    response = get(proxy)
    assert (response.status_code, response.headers["Retry-After"]) == (429, "3")
    assert response.text == "slow down"
    assert get(proxy).status_code == 504


def test_delayed_response(proxy: FaultProxy) -> None:
    proxy.on("GET", "", Delay(0.3))
    began = time.monotonic()
    assert get(proxy).ok
    assert time.monotonic() - began >= 0.3


@pytest.mark.parametrize("at", ["request", "response"])
def test_held_request_is_sent_after_release(
    proxy: FaultProxy, at: Literal["request", "response"]
) -> None:
    hold = Hold(at)
    proxy.on("GET", "/workflows$", hold, nth=1)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(get, proxy)
        assert hold.held.wait(10)
        assert get(proxy).ok  # another one is not held
        assert not asked.done()
        hold.release()
        assert asked.result().json() == get(proxy).json()


@pytest.mark.parametrize("at", ["request", "response"])
def test_held_request_can_be_dropped(
    proxy: FaultProxy, server: SampleServer, key: str, at: Literal["request", "response"]
) -> None:
    hold = Hold(at)
    proxy.on("POST", "", hold, nth=1)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(create_run, proxy, key)
        assert hold.held.wait(10)
        hold.drop()
        with pytest.raises(requests.ConnectionError):
            asked.result()
    assert exists(server, key) == (at == "response")


def test_held_request_reaches_the_server_after_the_client_disconnects(
    proxy: FaultProxy, server: SampleServer, key: str
) -> None:
    hold = Hold()
    proxy.on("POST", "", hold, nth=1)
    with pytest.raises(requests.ReadTimeout):
        create_run(proxy, key, seconds=0.2)
    assert not exists(server, key)
    hold.release()
    deadline = time.monotonic() + 10
    while not exists(server, key):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_rule_can_be_activated_later(proxy: FaultProxy) -> None:
    proxy.on("GET", "/workflows$", Respond(503), nth=1, when=lambda: proxy.count("POST") > 0)
    assert get(proxy).ok
    create_run(proxy, "any")
    assert [get(proxy).status_code for _ in range(2)] == [503, 200]


def test_proxy_closes_during_requests(server: SampleServer) -> None:
    with FaultProxy(server.url) as proxy:
        proxy.on("GET", "/workflows$", Delay(3600))
        with pytest.raises(requests.ReadTimeout):
            requests.get(f"{proxy.url}/api/workflows", timeout=0.2)


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_proxy_closes_all_connections(server: SampleServer) -> None:
    """Not even one that is accepted as it stops: a later test would get its ResourceWarning."""
    for _ in range(20):
        with FaultProxy(server.url) as proxy:
            address = ("127.0.0.1", int(proxy.url.rpartition(":")[2]))
            clients = [socket.create_connection(address) for _ in range(20)]
        for client in clients:
            client.close()
    gc.collect()
