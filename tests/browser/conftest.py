"""Fixtures for the browser tests: a browser and real orchestrators, each started on first use.

The orchestrators run with the Python of their own environments.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect, sync_playwright

from testkit.airflow_stack import AirflowStack
from testkit.chromium import FLAGS, ensure_chromium
from testkit.postgres import PostgresServer
from testkit.prefect_stack import PrefectStack
from testkit.processes import LOOPBACK, ServiceError
from testkit.sample_server import ROOT, Generation, SampleServer
from tests.conftest import SERVERS

HERE = Path(__file__).parent
SECONDS = 30.0
"""The timeout for page content, long enough for a busy machine."""

PICTURES = os.environ.get("PICTURES")
"""The folder for screenshots of the pages; None to take none."""

WATCH = "Object.defineProperty(window, 'hostile', {set: value => window.itRan(value)})"
"""A script that reports if a script in a payload is executed."""

VIEWPORT: ViewportSize = {"width": 1200, "height": 900}


class Picture(Protocol):
    """Takes a screenshot of a page, by default with the height of the tests' window."""

    def __call__(self, name: str, page: Page, *, height: int = ...) -> None: ...


def python_of(environment: str) -> Path:
    return ROOT / ".build" / environment / "bin" / "python"


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """A browser. Skip the test if Chromium is neither installed nor installable."""
    try:
        path = ensure_chromium()
    except ServiceError as error:
        pytest.skip(str(error))
    expect.set_options(timeout=SECONDS * 1000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A browser tab. Fail the test if a page executed a payload's script or loaded its image.

    The hostile payload sets ``window.hostile`` if it is executed, and contains a remote image.
    """
    context = chromium.new_context(viewport=VIEWPORT, locale="en-GB")
    context.set_default_timeout(SECONDS * 1000)
    context.add_init_script(WATCH)
    ran: list[str] = []
    context.expose_function("itRan", lambda value: ran.append(f"script {value}"))
    page = context.new_page()
    page.on("dialog", lambda dialog: ran.append(f"dialog {dialog.message}"))
    page.on("request", lambda request: ran.extend(elsewhere(request.url)))
    yield page
    context.close()
    assert ran == []


def elsewhere(url: str) -> list[str]:
    """Return a message if a page's request leaves this machine or loads the payload's image."""
    parts = urlsplit(url)
    is_image_of_payload = parts.port == 9
    ours = parts.hostname in (LOOPBACK, None) and not is_image_of_payload
    return [] if ours else [f"request {url}"]


@pytest.fixture
def picture() -> Picture:
    """Take screenshots for the documentation, if `PICTURES` is set."""

    def take(name: str, page: Page, *, height: int = VIEWPORT["height"]) -> None:
        if PICTURES:
            page.set_viewport_size({"width": VIEWPORT["width"], "height": height})
            page.screenshot(path=Path(PICTURES) / f"{name}.png")
            page.set_viewport_size(VIEWPORT)

    return take


@pytest.fixture(scope="session")
def airflow(
    postgres: PostgresServer, servers: Callable[[Generation], SampleServer]
) -> Iterator[AirflowStack]:
    """A complete Airflow, connected to both servers, with the DAGs of ``tests/browser/dags``."""
    connections = {
        f"mastra_{one}": {"conn_type": "mastra", "host": servers(one).url} for one in SERVERS
    }
    with AirflowStack(
        HERE / "dags",
        connections=connections,
        database_url=postgres.create_database("browser"),
        python=python_of("airflow"),
    ) as stack:
        yield stack


@pytest.fixture(scope="session")
def prefect(postgres: PostgresServer) -> Iterator[PrefectStack]:
    """A Prefect server and a runner of the deployments in ``tests/browser/flows/serve.py``.

    It uses PostgreSQL: with a busy SQLite file, the server rejects a page's request (503), and the
    page does not retry it.
    """
    with PrefectStack(
        HERE / "flows" / "serve.py",
        database_url=postgres.create_database("browser_prefect"),
        python=python_of("prefect"),
    ) as stack:
        yield stack
