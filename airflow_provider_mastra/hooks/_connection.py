"""Conversion of an Airflow connection to the arguments of a Mastra client."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any, Protocol, TypedDict
from urllib.parse import urlsplit

from mastra_workflows.errors import ConfigurationError
from mastra_workflows.integration import check_studio_url

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mastra_workflows import ClientCertificate

log = logging.getLogger(__name__)


class ConnectionLike(Protocol):
    """The attributes that are read from a connection, on workers and on the API server alike."""

    conn_id: str
    host: str | None
    schema: str | None
    port: int | None
    login: str | None
    password: str | None
    extra: str | None


class ClientArguments(TypedDict, total=False):
    """Arguments of `mastra_workflows.MastraClient`; missing ones keep the client's defaults."""

    base_url: str
    token: str | None
    basic_auth: tuple[str, str] | None
    headers: Mapping[str, str]
    api_prefix: str
    verify: bool | str
    client_cert: ClientCertificate | None
    timeout: float
    connect_timeout: float


EXTRAS = (
    "headers",
    "secret_headers",
    "api_prefix",
    "verify",
    "client_cert",
    "client_key",
    "timeout",
    "connect_timeout",
    "studio_url",
)


def client_arguments(connection: ConnectionLike) -> ClientArguments:
    """Return the client arguments for a connection.

    Args:
        connection: host, port and schema, or a full URL as host; a token as password, or login and
            password for basic auth. The extra may contain any of `EXTRAS`, as JSON values or as the
            strings that the form submits.

    Raises:
        ConfigurationError: a field is invalid. The message contains no secret values.
    """
    extra = _extra(connection)
    if unknown := sorted(set(extra) - set(EXTRAS)):
        log.warning(
            "The extra of connection %r has unknown fields: %s. Known fields: %s.",
            connection.conn_id,
            ", ".join(unknown),
            ", ".join(EXTRAS),
        )
    arguments: ClientArguments = {
        "base_url": _base_url(connection),
        "token": None if connection.login else connection.password or None,
        "headers": {**_headers(extra, "headers"), **_headers(extra, "secret_headers")},
    }
    if connection.login:
        arguments["basic_auth"] = (connection.login, connection.password or "")
    if "api_prefix" in extra:
        arguments["api_prefix"] = _text(extra, "api_prefix")
    if "verify" in extra:
        arguments["verify"] = _verify(extra["verify"])
    if "client_cert" in extra or "client_key" in extra:
        arguments["client_cert"] = _client_cert(extra)
    if "timeout" in extra:
        arguments["timeout"] = _seconds(extra, "timeout")
    if "connect_timeout" in extra:
        arguments["connect_timeout"] = _seconds(extra, "connect_timeout")
    return arguments


def studio_url(connection: ConnectionLike) -> str | None:
    """Return the connection's URL of Mastra Studio; None if it has none.

    Raises:
        ConfigurationError: the value is not an http or https URL; see `check_studio_url`.
    """
    extra = _extra(connection)
    if "studio_url" not in extra:
        return None
    return check_studio_url(extra["studio_url"])


def secrets(arguments: ClientArguments) -> set[str]:
    """Return the values among a client's arguments that must be masked in logs."""
    login = arguments.get("basic_auth") or ("", "")
    values = {arguments.get("token") or "", login[1], *arguments.get("headers", {}).values()}
    # After an auth scheme such as "Bearer", the rest is the secret itself.
    return (values | {value.rpartition(" ")[2] for value in values}) - {""}


def _base_url(connection: ConnectionLike) -> str:
    host = (connection.host or "").strip()
    if not host:
        raise ConfigurationError(
            f"Connection {connection.conn_id!r} has no host. Give host, port and schema, or a "
            "whole URL such as http://localhost:4111 as host."
        )
    if "://" not in host:
        if host.count(":") > 1 and not host.startswith("["):
            host = f"[{host}]"  # an IPv6 address
        host = f"{connection.schema or 'http'}://{host}"
    if not connection.port:
        return host
    parts = urlsplit(host)
    try:
        port = parts.port
    except ValueError:
        return host  # the client raises an error for it
    if port is None:
        return parts._replace(netloc=f"{parts.netloc}:{connection.port}").geturl()
    if port != connection.port:
        raise ConfigurationError(
            f"Connection {connection.conn_id!r} has port {connection.port}, but port {port} in "
            "its host. Leave one out."
        )
    return host


def _extra(connection: ConnectionLike) -> dict[str, Any]:
    """Return the extra without null and empty values, which a form sends for unset fields."""
    if not connection.extra:
        return {}
    # Airflow's `extra_dejson` returns an empty dict for invalid JSON.
    extra = _json(connection.extra, f"The extra of connection {connection.conn_id!r}")
    return {key: value for key, value in extra.items() if value not in (None, "")}


def _json(text: str, what: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        # Without the cause, which contains the text.
        raise ConfigurationError(f"{what} is not valid JSON: {error}.") from None
    if not isinstance(value, dict):
        raise ConfigurationError(f"{what} must be a JSON object.")
    return value


def _headers(extra: Mapping[str, Any], name: str) -> dict[str, str]:
    value = extra.get(name, {})
    if isinstance(value, str):
        value = _json(value, f"Connection extra {name!r}")
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise ConfigurationError(f"Connection extra {name!r} must be a JSON object of strings.")
    return value


def _text(extra: Mapping[str, Any], name: str) -> str:
    value = extra[name]
    if not isinstance(value, str):
        raise ConfigurationError(f"Connection extra {name!r} must be a string.")
    return value.strip()


def _verify(value: Any) -> bool | str:
    if isinstance(value, bool):
        return value
    if not isinstance(value, str):
        raise ConfigurationError(
            "Connection extra 'verify' must be true, false or the path of a CA bundle."
        )
    return {"true": True, "false": False}.get(value.strip().lower(), value.strip())


def _client_cert(extra: Mapping[str, Any]) -> ClientCertificate:
    if "client_cert" not in extra:
        raise ConfigurationError("Connection extra 'client_key' needs 'client_cert'.")
    certificate = _text(extra, "client_cert")
    return (certificate, _text(extra, "client_key")) if "client_key" in extra else certificate


def _seconds(extra: Mapping[str, Any], name: str) -> float:
    value = extra[name]
    try:
        if isinstance(value, bool):
            raise ValueError
        return float(value)
    except (TypeError, ValueError):
        raise ConfigurationError(
            f"Connection extra {name!r} must be a number of seconds."
        ) from None
