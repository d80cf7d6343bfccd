"""The servers of the conformance suite: each build, and what users put in front of it."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from mastra_workflows import MastraClient
from mastra_workflows.settings import ClientArguments
from scripts.postgres import PostgresServer
from scripts.sample_server import Generation, SampleServer
from tests.support.nginx import GZIP, Nginx
from tests.support.tls import Authority

BUILDS = Path(__file__).parent / "builds"
WORKFLOWS = BUILDS / "conformance.mjs"
COUNTS_VARIABLE = "CONFORMANCE_COUNTS"


@dataclass(frozen=True)
class Endpoint:
    """Running servers, and how to reach them.

    Attributes:
        url: the base URL.
        servers: each of them; they count their executions together.
        arguments: of a client.
        javascript: options of the JavaScript client.
        environment: its environment variables.
    """

    url: str
    servers: tuple[SampleServer, ...]
    arguments: ClientArguments = field(default_factory=ClientArguments)
    javascript: Mapping[str, object] = field(default_factory=dict)
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


def _other_prefix(stack: ExitStack) -> Endpoint:
    prefix = "/internal/workflows-api"
    program = BUILDS / "newest" / "server.mjs"
    endpoint = _boot(program, environment={"CONFORMANCE_PREFIX": prefix})(stack)
    return replace(
        endpoint,
        arguments=ClientArguments(api_prefix=prefix),
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
        arguments=ClientArguments(verify=str(authority.certificate)),
        environment={"NODE_EXTRA_CA_CERTS": str(authority.certificate)},
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
    Target("Hono", "builds", _boot()),
    Target("Express", "builds", _build("newest", "express")),
    Target("Fastify", "builds", _build("newest", "fastify")),
    Target("`apiPrefix`", "builds", _other_prefix),
    Target("two replicas on PostgreSQL", "builds", _replicas),
    Target("nginx defaults", "proxies", _behind_nginx()),
    Target("gzip", "proxies", _behind_nginx(GZIP)),
    Target("path prefix", "proxies", _behind_nginx(path="/team/mastra")),
    Target("private CA", "proxies", _behind_tls),
)


@contextlib.contextmanager
def running(target: Target) -> Iterator[Endpoint]:
    """The target's servers, until the end of the context."""
    with ExitStack() as stack:
        yield target.boot(stack)
