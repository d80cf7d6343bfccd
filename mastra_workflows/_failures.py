"""Create the connection errors of both drivers, with the same messages.

The errors are raised without their causes: four nested tracebacks of an HTTP library would hide the
one useful sentence.
"""

from __future__ import annotations

import errno
import os
import re
from typing import Any

from mastra_workflows.errors import ConfigurationError, ConnectionFailedError


class ReadTimeoutError(ConnectionFailedError):
    """The connection was established, but no data arrived in time."""


def refused(where: str, error: BaseException) -> ConnectionFailedError:
    """Create the error of a connection that could not be established."""
    why = reason(error)
    return ConnectionFailedError(
        f"No connection to {where}: {why}. Check that the server is running, and host and port.",
        request_sent=False,
        refused=why == os.strerror(errno.ECONNREFUSED),
    )


def no_connection_in_time(where: str, seconds: float) -> ConnectionFailedError:
    """Create the error of a connection that was not established in time."""
    return ConnectionFailedError(
        f"No connection to {where} within {seconds:g} s.", request_sent=False
    )


def no_proxy(where: str) -> ConnectionFailedError:
    """Create the error of a connection that the proxy refused."""
    return ConnectionFailedError(f"No connection to {where} through the proxy.", request_sent=False)


def insecure(where: str, error: BaseException) -> ConnectionFailedError:
    """Create the error of a failed TLS handshake; a retry cannot fix a certificate."""
    why = reason(error)
    hint = "Check verify or the CA bundle."
    if _NO_TLS.search(why):
        hint = "If the server does not use TLS, use an http:// address."
    return ConnectionFailedError(
        f"No secure connection to {where}: {why}. {hint}",
        request_sent=False,
        transient=False,
    )


_NO_TLS = re.compile("wrong.version.number|record.layer.failure", re.IGNORECASE)
"""OpenSSL 3's messages for a response that is not TLS; 3.2 and later use the second one."""


def silent(where: str) -> ReadTimeoutError:
    """Create the error of a request without a response in time."""
    return ReadTimeoutError(f"No response from {where} in time.", request_sent=True)


def broken(where: str, error: BaseException) -> ConnectionFailedError:
    """Create the error of a connection that broke during the request or response."""
    return ConnectionFailedError(
        f"The connection to {where} broke: {reason(error)}.", request_sent=True
    )


def cut(where: str) -> ConnectionFailedError:
    """Create the error of a stream that ended inside a record."""
    return ConnectionFailedError(
        f"The stream from {where} was cut in the middle of a record.", request_sent=True
    )


def inherited() -> ConfigurationError:
    """Create the error of a stream that is read in a process forked after it was opened."""
    return ConfigurationError(
        "This stream was opened in another process, which reads its events. Open one in this "
        "process: `watch` the run."
    )


def reason(error: BaseException) -> str:
    """Return the innermost message of a chain of exceptions, such as ``Connection refused``."""
    inner: Any = error
    while True:
        nested = getattr(inner, "reason", None) or getattr(inner, "os_error", None)
        if not isinstance(nested, BaseException):
            nested = next(
                (arg for arg in reversed(inner.args) if isinstance(arg, BaseException)), None
            )
        if nested is None or nested is inner:
            break
        inner = nested
    if isinstance(inner, ConnectionError) and inner.errno:
        return os.strerror(inner.errno)  # asyncio replaces the message by the address
    if isinstance(inner, OSError) and inner.strerror:
        return inner.strerror
    text = str(inner.args[-1] if inner.args else inner).rpartition(": ")[2]
    return re.sub(r"^\[Errno -?\d+\] ", "", text).rstrip(".") or type(inner).__name__
