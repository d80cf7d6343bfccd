"""A JSON client for HTTP APIs on this machine, based on the standard library."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

REQUEST_SECONDS = 30.0

# No proxy, because the servers are on this machine.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class ApiError(RuntimeError):
    """The server responded with an error.

    Args:
        status: the HTTP status.
        message: the request and the server's error message.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class JsonApi:
    """A client of one HTTP API.

    Args:
        base_url: the prefix of every path.
    """

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self.headers: dict[str, str] = {"Accept": "application/json"}

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        query: Mapping[str, str | int | float | bool] | None = None,
    ) -> Any:
        """Send one request, without retries.

        Args:
            method: GET, POST, PATCH, …
            path: the path below the base URL, already quoted (see `quote`).
            body: the JSON body, if any.
            query: the parameters of the query string.

        Returns:
            The parsed response; None if it has no body.

        Raises:
            ApiError: the response has a status of 4xx or 5xx.
            OSError: the server is unreachable (``urllib.error.URLError``), or the connection broke.
        """
        url = self.base_url + path
        if query:
            url += "?" + urllib.parse.urlencode(query)
        headers = dict(self.headers)
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        request = urllib.request.Request(url, data=data, headers=headers, method=method)
        try:
            with _opener.open(request, timeout=REQUEST_SECONDS) as response:
                content = response.read()
        except urllib.error.HTTPError as error:
            with error:
                told = error.read().decode(errors="replace")
            raise ApiError(
                error.code, f"{method} {url}: HTTP {error.code}: {told[:2000]}"
            ) from None
        return json.loads(content) if content else None


def quote(part: str) -> str:
    """Percent-encode a path segment, such as a run id."""
    return urllib.parse.quote(part, safe="")
