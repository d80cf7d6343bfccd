"""Start the servers of the conformance suite: each build, and the proxies in front of them."""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from mastra_workflows import MastraClient
from mastra_workflows._settings import SettingsArguments
from testkit.postgres import PostgresServer
from testkit.sample_server import ROOT, Generation, SampleServer, find_node
from tests.support.nginx import GZIP, PASSWORD, USER, Nginx
from tests.support.tls import Authority

BUILDS = Path(__file__).parent / "builds"
WORKFLOWS = BUILDS / "conformance.mjs"
APPLICATIONS = ROOT / ".build" / "servers"
TOOLS = ROOT / ".build" / "tools" / "bin"
COUNTS_VARIABLE = "CONFORMANCE_COUNTS"
CLI_START_SECONDS = 180.0


@dataclass(frozen=True)
class Endpoint:
    """Running servers, and how to reach them.

    Attributes:
        url: the base URL.
        servers: each of them; they count their executions together.
        arguments: of a client.
        javascript: options of the JavaScript client; None if it cannot reach them.
        environment: its environment variables.
    """

    url: str
    servers: tuple[SampleServer, ...]
    arguments: SettingsArguments = field(default_factory=SettingsArguments)
    javascript: Mapping[str, object] | None = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)

    def client(self) -> MastraClient:
        """A client of it; close it."""
        return MastraClient(self.url, **self.arguments)

    def executions(self, key: str) -> int:
        """How often a counting step has begun to execute for a key, on any of the servers."""
        return self.servers[0].executions(key)

    def lose_runs(self) -> None:
        """Kill every server, and start it again on the same database."""
        for server in self.servers:
            server.kill()
        for server in self.servers:
            server.start()


@dataclass(frozen=True)
class Target:
    """One column of the conformance table.

    Attributes:
        name: what stands above the column.
        table: which table it is in.
        boot: starts it; everything it starts is given to the stack.
    """

    name: str
    table: str
    boot: Callable[[ExitStack], Endpoint]


def _boot(
    program: Path | None = None,
    generation: Generation = "1",
    environment: Mapping[str, str] | None = None,
) -> Callable[[ExitStack], Endpoint]:
    def boot(stack: ExitStack) -> Endpoint:
        server = stack.enter_context(
            SampleServer(generation, program=program, environment=environment, workflows=WORKFLOWS)
        )
        return Endpoint(server.url, (server,))

    return boot


def _build(name: str, program: str = "server") -> Callable[[ExitStack], Endpoint]:
    return _boot(BUILDS / name / f"{program}.mjs")


newest = _build("newest")


def _application(stack: ExitStack, command: str) -> Path:
    """The root of the application that the CLI builds: its packages are those of the build."""
    root = APPLICATIONS / command
    root.mkdir(parents=True, exist_ok=True)
    shutil.copy(BUILDS / "newest" / "package.json", root)
    packages = root / "node_modules"
    packages.unlink(missing_ok=True)
    packages.symlink_to(BUILDS / "newest" / "node_modules")
    stack.callback(shutil.rmtree, root / ".mastra", ignore_errors=True)
    return root


def _by_cli(command: Literal["build", "dev"]) -> Callable[[ExitStack], Endpoint]:
    def boot(stack: ExitStack) -> Endpoint:
        root = _application(stack, command)
        if command == "build":
            cli = BUILDS / "newest" / "node_modules" / "mastra" / "dist" / "index.js"
            folders: list[str | Path] = ["--root", root, "--dir", BUILDS / "newest" / "application"]
            # It installs what it did not bundle, by the npm that is first on PATH.
            path = os.pathsep.join([str(TOOLS), os.environ["PATH"]])
            built = subprocess.run(
                [find_node(), cli, "build", *folders],
                env={**os.environ, "PATH": path},
                cwd=root,
                capture_output=True,
                text=True,
                check=False,
            )
            assert built.returncode == 0, built.stdout + built.stderr
        environment = {"CONFORMANCE_ROOT": str(root), "CONFORMANCE_CLI": command}
        server = stack.enter_context(
            SampleServer(
                program=BUILDS / "newest" / "built.mjs",
                environment=environment,
                start_timeout=CLI_START_SECONDS,
            )
        )
        return Endpoint(server.url, (server,))

    return boot


def _other_prefix(stack: ExitStack) -> Endpoint:
    prefix = "/internal/workflows-api"
    program = BUILDS / "newest" / "server.mjs"
    endpoint = _boot(program, environment={"CONFORMANCE_PREFIX": prefix})(stack)
    return replace(
        endpoint,
        arguments=SettingsArguments(api_prefix=prefix),
        javascript={"apiPrefix": prefix},
    )


def _behind_nginx(settings: str = "", path: str = "") -> Callable[[ExitStack], Endpoint]:
    def boot(stack: ExitStack) -> Endpoint:
        endpoint = newest(stack)
        proxy = stack.enter_context(Nginx(endpoint.url, settings=settings, path=path))
        return replace(endpoint, url=proxy.url)

    return boot


def _authority(stack: ExitStack) -> Authority:
    return Authority(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tls-"))))


def _behind_tls(stack: ExitStack) -> Endpoint:
    endpoint = newest(stack)
    authority = _authority(stack)
    proxy = stack.enter_context(Nginx(endpoint.url, certificate=authority.issue("server")))
    return replace(
        endpoint,
        url=proxy.url,
        arguments=SettingsArguments(verify=str(authority.certificate)),
        environment={"NODE_EXTRA_CA_CERTS": str(authority.certificate)},
    )


def _behind_client_certificates(stack: ExitStack) -> Endpoint:
    endpoint = newest(stack)
    authority = _authority(stack)
    certificate, key = authority.issue("client")
    proxy = stack.enter_context(
        Nginx(
            endpoint.url,
            certificate=authority.issue("server"),
            client_authority=authority.certificate,
        )
    )
    return replace(
        endpoint,
        url=proxy.url,
        arguments=SettingsArguments(
            verify=str(authority.certificate), client_cert=(str(certificate), str(key))
        ),
        javascript=None,
    )


def _behind_basic_auth(stack: ExitStack) -> Endpoint:
    endpoint = newest(stack)
    proxy = stack.enter_context(Nginx(endpoint.url, basic_auth=True))
    credentials = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    return replace(
        endpoint,
        url=proxy.url,
        arguments=SettingsArguments(basic_auth=(USER, PASSWORD)),
        javascript={"headers": {"Authorization": f"Basic {credentials}"}},
    )


def _replicas(stack: ExitStack) -> Endpoint:
    database = stack.enter_context(PostgresServer()).create_database("mastra")
    first = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="replica-")))
    second = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="replica-")))
    environment = {
        "CONFORMANCE_POSTGRES": database,
        COUNTS_VARIABLE: (first / "counts.db").as_uri(),
    }
    program = BUILDS / "newest" / "server.mjs"
    servers = tuple(
        stack.enter_context(SampleServer(database=folder, program=program, environment=environment))
        for folder in (first, second)
    )
    proxy = stack.enter_context(Nginx(*(server.url for server in servers)))
    return Endpoint(proxy.url, servers)


TARGETS = (
    Target("0.18.0", "versions", _build("v0.18")),
    Target("0.24.9", "versions", _boot(generation="0")),
    Target("1.0.4", "versions", _build("v1.0")),
    Target("1.20.0", "versions", _build("v1.20")),
    Target("1.57.0", "versions", _build("v1.57")),
    Target("1.71.0", "versions", newest),
    Target("`mastra build`", "builds", _by_cli("build")),
    Target("`mastra dev`", "builds", _by_cli("dev")),
    Target("Hono", "builds", _boot()),
    Target("Express", "builds", _build("newest", "express")),
    Target("Fastify", "builds", _build("newest", "fastify")),
    Target("`apiPrefix`", "builds", _other_prefix),
    Target("two replicas on PostgreSQL", "builds", _replicas),
    Target("nginx defaults", "proxies", _behind_nginx()),
    Target("gzip", "proxies", _behind_nginx(GZIP)),
    Target("path prefix", "proxies", _behind_nginx(path="/team/mastra")),
    Target("private CA", "proxies", _behind_tls),
    Target("client certificates", "proxies", _behind_client_certificates),
    Target("basic auth", "proxies", _behind_basic_auth),
)


@contextlib.contextmanager
def running(target: Target) -> Iterator[Endpoint]:
    """The target's servers, until the end of the context."""
    with ExitStack() as stack:
        yield target.boot(stack)
