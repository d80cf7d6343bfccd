"""A browser, and real orchestrators for it to look at, each booted once when first asked for.

They run with the Python of their own environments.
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
"""How long a page may take to show something; a machine with much to do needs them."""

PICTURES = os.environ.get("PICTURES")
"""The folder for pictures of the pages; None where nobody wants any."""

WATCH = "Object.defineProperty(window, 'hostile', {set: value => window.itRan(value)})"
"""Tells of a script in a payload that comes to run."""

VIEWPORT: ViewportSize = {"width": 1200, "height": 900}


class Picture(Protocol):
    """Takes a picture of a page, by default as high as the tests' window."""

    def __call__(self, name: str, page: Page, *, height: int = ...) -> None: ...


def python_of(environment: str) -> Path:
    return ROOT / ".build" / environment / "bin" / "python"


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """A browser; where none is and none may be installed, a skip that asks for it."""
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
    """A tab; fails a test in which a page did what only the content of a question can ask for.

    The hostile payload sets ``window.hostile`` wherever it comes to run, and has an image.
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
    """What is wrong with where a page asks for something."""
    parts = urlsplit(url)
    is_image_of_payload = parts.port == 9
    ours = parts.hostname in (LOOPBACK, None) and not is_image_of_payload
    return [] if ours else [f"request {url}"]


@pytest.fixture
def picture() -> Picture:
    """Takes pictures for the documentation, if asked to."""

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
    """A whole Airflow that knows both servers, with the DAGs of ``tests/browser/dags``."""
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

    On PostgreSQL: where an SQLite file is busy, the page's request is refused (503) and not sent
    again.
    """
    with PrefectStack(
        HERE / "flows" / "serve.py",
        database_url=postgres.create_database("browser_prefect"),
        python=python_of("prefect"),
    ) as stack:
        yield stack
