"""TLS configuration of both drivers."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

from requests.utils import DEFAULT_CA_BUNDLE_PATH

from mastra_workflows._settings import Settings
from mastra_workflows.errors import ConfigurationError


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """Create a TLS context with the trusted CAs and the client certificate.

    Returns:
        None for a plain connection, and for one with neither verification nor a client certificate.

    Raises:
        ConfigurationError: the CA bundle or the client certificate cannot be read.
    """
    is_plain = settings.base_url.startswith("http:")
    if is_plain or (settings.verify is False and settings.client_cert is None):
        return None
    bundle = settings.verify if isinstance(settings.verify, str) else _default_bundle()
    try:
        if Path(bundle).is_dir():
            context = ssl.create_default_context(capath=bundle)
        else:
            context = ssl.create_default_context(cafile=bundle)
    except OSError as error:
        raise ConfigurationError(f"The CA bundle {bundle!r} cannot be read: {error}.") from None
    if settings.verify is False:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if settings.client_cert is not None:
        _load(context, settings.client_cert)
    return context


def _load(context: ssl.SSLContext, certificate: str | tuple[str, ...]) -> None:
    parts = (certificate,) if isinstance(certificate, str) else certificate
    paths, password = parts[:2], "".join(parts[2:])
    try:
        # Without a password, OpenSSL would prompt for one on the terminal.
        context.load_cert_chain(paths[0], paths[1] if paths[1:] else None, password)
    except (OSError, ValueError):
        raise ConfigurationError(
            f"client_cert: {' and '.join(map(repr, paths))} cannot be loaded. The files must "
            "contain a certificate and its key, and the password must match."
        ) from None


def _default_bundle() -> str:
    """Return the CA bundle of `requests`, so that both clients trust the same CAs."""
    named = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    return named or DEFAULT_CA_BUNDLE_PATH
