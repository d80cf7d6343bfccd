"""What went wrong on the way to the server, in the same words for every driver.

The errors are raised without their causes: four nested tracebacks of an HTTP library would hide the
one sentence that matters.
"""

from __future__ import annotations

import errno
import os
import re
from typing import Any

from mastra_workflows.errors import ConfigurationError, ConnectionFailedError


class ReadTimeoutError(ConnectionFailedError):
    """Connected, but silent for too long."""


def refused(where: str, error: BaseException) -> ConnectionFailedError:
    """No connection was made."""
    why = reason(error)
    return ConnectionFailedError(
        f"No connection to {where}: {why}. Is the server up, and are host and port right?",
        request_sent=False,
        refused=why == os.strerror(errno.ECONNREFUSED),
    )


def no_connection_in_time(where: str, seconds: float) -> ConnectionFailedError:
    """No connection was made in the time for it."""
    return ConnectionFailedError(
        f"No connection to {where} within {seconds:g} s.", request_sent=False
    )


def no_proxy(where: str) -> ConnectionFailedError:
    """The proxy between does not let us through."""
    return ConnectionFailedError(f"No connection to {where} through the proxy.", request_sent=False)


def insecure(where: str, error: BaseException) -> ConnectionFailedError:
    """TLS failed; a retry will not mend a certificate."""
    why = reason(error)
    question = "Is verify, or the CA bundle, right for this server?"
    if _NO_TLS.search(why):
        question = "Does the server speak https? If it does not, give it an http:// address."
    return ConnectionFailedError(
        f"No secure connection to {where}: {why}. {question}",
        request_sent=False,
        transient=False,
    )


_NO_TLS = re.compile("wrong.version.number|record.layer.failure", re.IGNORECASE)
"""What OpenSSL 3 says of an answer that is no TLS; 3.2 and later the second."""


def silent(where: str) -> ReadTimeoutError:
    """The server has the request and does not answer."""
    return ReadTimeoutError(f"No answer from {where} in time.", request_sent=True)


def broken(where: str, error: BaseException) -> ConnectionFailedError:
    """The connection broke with the request on its way, or the answer."""
    return ConnectionFailedError(
        f"The connection to {where} broke: {reason(error)}.", request_sent=True
    )


def cut(where: str) -> ConnectionFailedError:
    """A stream ended inside a record."""
    return ConnectionFailedError(
        f"The stream from {where} was cut in the middle of a record.", request_sent=True
    )


def inherited() -> ConfigurationError:
    """A stream is read in a process that was forked after it was opened."""
    return ConfigurationError(
        "This stream was opened in another process, which reads its events. Open one in this "
        "process: `watch` the run."
    )


def reason(error: BaseException) -> str:
    """The innermost words of a chain of exceptions, such as ``Connection refused``."""
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
        return os.strerror(inner.errno)  # asyncio puts the address in the place of the words
    if isinstance(inner, OSError) and inner.strerror:
        return inner.strerror
    text = str(inner.args[-1] if inner.args else inner).rpartition(": ")[2]
    return re.sub(r"^\[Errno -?\d+\] ", "", text).rstrip(".") or type(inner).__name__
