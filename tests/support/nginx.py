"""Run nginx as a reverse proxy in front of real servers."""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from testkit import debian
from testkit.processes import LOOPBACK, Service, ServiceError, TemporaryFolder, free_port

START_SECONDS = 15.0
USER, PASSWORD = "ada", "correct horse"

GZIP = "gzip on; gzip_types application/json text/plain; gzip_min_length 1;"
"""A value for the ``settings`` of `Nginx` that compresses responses."""


class Nginx:
    """A reverse proxy on a free port of 127.0.0.1, with nginx's defaults except for its settings.

    Args:
        backends: base URLs of the servers, used in turn (round robin).
        settings: additional directives for the ``server`` block.
        path: the path prefix to serve them under, such as ``/team/mastra``.
        certificate: the server's certificate and private key; None for plain HTTP.
        client_authority: the CA certificate that client certificates are verified against; None to
            require no client certificate.
        basic_auth: whether to require `USER` and `PASSWORD`.
    """

    def __init__(
        self,
        *backends: str,
        settings: str = "",
        path: str = "",
        certificate: tuple[Path, Path] | None = None,
        client_authority: Path | None = None,
        basic_auth: bool = False,
    ) -> None:
        self._backends = backends
        self._settings = [settings]
        self._path = path
        self._port = free_port()
        self._folder = TemporaryFolder("nginx")
        self._scheme = "http"
        if certificate is not None:
            self._scheme = "https"
            chain, key = certificate
            self._settings += [f"ssl_certificate {chain};", f"ssl_certificate_key {key};"]
        if client_authority is not None:
            self._settings += [f"ssl_client_certificate {client_authority};"]
            self._settings += ["ssl_verify_client on;"]
        if basic_auth:
            users = self._folder.path / "users"
            users.write_text(f"{USER}:{{PLAIN}}{PASSWORD}\n")
            self._settings += ['auth_basic "Mastra";', f"auth_basic_user_file {users};"]
        self._service: Service | None = None

    @property
    def url(self) -> str:
        """The base URL for clients, including the path."""
        return f"{self._scheme}://{LOOPBACK}:{self._port}{self._path}"

    def __enter__(self) -> Self:
        program = ensure_nginx()
        folder = self._folder.path
        (folder / "nginx.conf").write_text(self._configuration(folder))
        self._service = Service(
            "nginx",
            [program, "-e", "stderr", "-p", folder, "-c", folder / "nginx.conf"],
            log_path=folder / "nginx.log",
            environment={"PATH": os.environ.get("PATH", os.defpath)},
            folder=folder,
        )
        self._service.start()
        try:
            self._wait_until_ready(self._service)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._service is not None:
            self._service.stop()
        self._folder.remove()

    def _configuration(self, folder: Path) -> str:
        servers = "".join(f"server {url.removeprefix('http://')}; " for url in self._backends)
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        temporary = " ".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
        tls = " ssl" if self._scheme == "https" else ""
        # The workers must be able to read files of root. They only serve local tests.
        user = "user root;" if os.geteuid() == 0 else ""
        return f"""{user} daemon off; worker_processes 1; pid {folder}/pid; error_log stderr;
events {{ }}
http {{
  access_log off; {temporary}
  upstream mastra {{ {servers} }}
  server {{
    listen {LOOPBACK}:{self._port}{tls};
    {_lines(self._settings)}
    location {self._path}/ {{ proxy_pass http://mastra/; }}
  }}
}}
"""

    def _wait_until_ready(self, service: Service) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            service.check()
            with socket.socket() as probe:
                if probe.connect_ex((LOOPBACK, self._port)) == 0:
                    return
            if time.monotonic() > deadline:
                raise ServiceError(f"nginx was not ready in time. {service.log_tail()}")
            time.sleep(0.05)


def _lines(settings: Sequence[str]) -> str:
    return "\n    ".join(setting for setting in settings if setting)


def ensure_nginx() -> Path:
    """Return the path of nginx, after installing its Debian package if missing and permitted.

    Raises:
        ServiceError: nginx is missing and cannot be installed.
    """
    places = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"])
    if (found := shutil.which("nginx", path=places)) is None:
        if not debian.may_install():
            raise ServiceError("nginx is not installed")
        debian.install_without_service("nginx-light")
        found = shutil.which("nginx", path=places)
    if found is None:
        raise ServiceError("nginx was installed, and is not on PATH")
    return Path(found)
