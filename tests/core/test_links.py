"""Test the link check: it finds broken files, anchors and pages, and reports only those."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from scripts import check_links

PAGE = """# A page

[good](other.md#some-heading) [self](#a-page) [site](https://mastra.ai)
[no file](missing.md)
[no heading](other.md#missing)
<img src="missing.png">
`[code](missing.md)`

```python
x = "[code](missing.md)"
```
"""


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(check_links, "ROOT", tmp_path)
    (tmp_path / "other.md").write_text("# Other\n\n## `Some` heading\n")
    path = tmp_path / "page.md"
    path.write_text(PAGE)
    return path


def test_relative_links(page: Path) -> None:
    assert sorted(check_links.internal_problems(page, only_html=False)) == [
        "page.md:4: missing.md: no such file",
        "page.md:5: other.md#missing: no such heading",
        "page.md:6: missing.png: no such file",
    ]
    assert list(check_links.internal_problems(page, only_html=True)) == [
        "page.md:6: missing.png: no such file"
    ]


class Site(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(HTTPStatus.OK if self.path == "/there" else HTTPStatus.NOT_FOUND)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def site() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Site) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_links_to_other_sites(page: Path, site: str) -> None:
    urls = {f"{site}/there": page, f"{site}/gone": page}
    assert check_links.external_problems(urls) == [f"page.md: {site}/gone: HTTP 404"]


def test_an_unreachable_site_is_a_problem(page: Path) -> None:
    url = "http://127.0.0.1:9/"
    (problem,) = check_links.external_problems({url: page})
    assert problem.startswith(f"page.md: {url}: unreachable: ")


def test_examples_are_no_sites() -> None:
    urls = check_links.external_urls()
    assert "https://mastra.ai" in urls
    assert not [url for url in urls if "localhost" in url or "example.com" in url]
