"""A private PostgreSQL server, for tests and the playground.

``python -m testkit.postgres`` runs one until Ctrl-C; with ``--install`` it only makes sure that the
server's programs are installed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType, TracebackType
from typing import NoReturn, Self

from testkit import debian
from testkit.processes import LOOPBACK, Service, ServiceError, TemporaryFolder, free_port

START_SECONDS = 30.0
ROLE = "tests"
DEBIAN_PACKAGE = "postgresql"
# Read by the package's installation script, which otherwise creates and starts a cluster.
NO_CLUSTER = Path("/etc/postgresql-common/createcluster.d/no-main-cluster.conf")
PROGRAMS = ("initdb", "postgres", "createdb", "psql")
# Only a crash of the machine may lose these databases, so fsync is not needed.
SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "shared_buffers": "64MB",
    # Parallel query and logical replication are not used.
    "max_parallel_workers": "0",
    "max_logical_replication_workers": "0",
    "log_line_prefix": "%m [%p] ",
}


class PostgresServer:
    """A PostgreSQL cluster in a temporary folder, on a free port of 127.0.0.1.

    Use it as a context manager, which starts and stops the server and removes the folder::

        with PostgresServer() as server:
            psycopg.connect(server.url)

    PostgreSQL does not run as root. If the current user is root, it runs as the system user
    ``postgres``, or as ``nobody`` if that does not exist. The server also stops when the current
    process dies.
    """

    def __init__(self) -> None:
        self._port = 0
        self._password = secrets.token_urlsafe(16)
        self._user = unprivileged_user()
        self._programs = Path()
        self._folder: TemporaryFolder | None = None
        self._service: Service | None = None

    def __repr__(self) -> str:
        where = f"port {self._port}" if self.running else "not running"
        return f"<PostgresServer, {where}>"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        """Whether the server's process is running."""
        return self._service is not None and self._service.running

    @property
    def pid(self) -> int:
        """The process id of the postmaster."""
        return self._running_service().pid

    @property
    def log_path(self) -> Path:
        """The log file of the running server."""
        return self._running_service().log_path

    @property
    def url(self) -> str:
        """``postgresql://…`` of the database ``postgres``, including the password."""
        return self._url("postgres")

    def create_database(self, name: str) -> str:
        """Create an empty database and return its URL, including the password.

        Args:
            name: letters, digits and underscores.

        Raises:
            ServiceError: the server does not run, or refuses (the name already exists).
        """
        self._running_service()
        self._run("createdb", *self._address(), name)
        return self._url(name)

    def start(self) -> None:
        """Create the cluster, start it, and return when it accepts connections.

        Raises:
            ServiceError: the server's programs are missing, or it was not ready within 30 seconds.
        """
        if self._service is not None:
            raise ServiceError(f"{self!r} was started already")
        self._programs = ensure_postgres()
        self._folder = TemporaryFolder("postgres")
        folder = self._folder.path
        try:
            self._give(folder)
            self._create_cluster(folder)
            self._service = self._start_server(folder)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the server, close its connections, and remove its folder."""
        if self._service is not None:
            self._service.stop()
            self._service = None
        if self._folder is not None:
            self._folder.remove()
            self._folder = None

    def _create_cluster(self, folder: Path) -> None:
        password_file = folder / "password"
        password_file.touch(mode=0o600)
        password_file.write_text(self._password)
        self._give(password_file)
        where = ["--pgdata", str(folder / "data"), "--username", ROLE, "--no-sync"]
        login = ["--auth", "scram-sha-256", "--pwfile", str(password_file)]
        self._run("initdb", *where, *login, "--encoding", "UTF8", "--no-locale")
        password_file.unlink()

    def _start_server(self, folder: Path) -> Service:
        self._port = free_port()
        settings = {
            **SETTINGS,
            "listen_addresses": LOOPBACK,
            "port": str(self._port),
            "unix_socket_directories": str(folder),
        }
        service = Service(
            "PostgreSQL",
            [
                self._programs / "postgres",
                *("-D", folder / "data"),
                *(f"--{name}={value}" for name, value in settings.items()),
            ],
            log_path=folder / "server.log",
            environment=self._environment(),
            folder=folder,
            user=self._user,
            # Fast shutdown, which closes connections. SIGTERM would wait until all clients
            # disconnect.
            stop_signal=signal.SIGINT,
        )
        service.start()
        try:
            self._wait_until_ready(service)
        except BaseException:
            service.stop()
            raise
        return service

    def _wait_until_ready(self, service: Service) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._responds():
            service.check()
            if time.monotonic() > deadline:
                raise ServiceError(
                    f"PostgreSQL was not ready after {START_SECONDS:.0f} s. {service.log_tail()}"
                )
            time.sleep(0.05)

    def _responds(self) -> bool:
        try:
            self._run("psql", *self._address(), "--command", "SELECT 1", "postgres")
        except ServiceError:
            return False
        return True

    def _run(self, name: str, *arguments: str) -> None:
        """Run a PostgreSQL program as the server's user, and wait for it."""
        owner = None if self._user is None else pwd.getpwnam(self._user)
        done = subprocess.run(
            [self._programs / name, *arguments],
            env=self._environment(),
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            user=None if owner is None else owner.pw_uid,
            group=None if owner is None else owner.pw_gid,
            extra_groups=None if owner is None else [],
        )
        if done.returncode:
            raise ServiceError(
                f"{name} failed with exit code {done.returncode}:\n{done.stdout.rstrip()}"
            )

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "LC_ALL": "C",
            "PGPASSWORD": self._password,
            "PGCONNECT_TIMEOUT": "5",
        }

    def _give(self, path: Path) -> None:
        if self._user is not None:
            owner = pwd.getpwnam(self._user)
            os.chown(path, owner.pw_uid, owner.pw_gid)

    def _address(self) -> list[str]:
        return ["--host", LOOPBACK, "--port", str(self._port), "--username", ROLE]

    def _url(self, database: str) -> str:
        return f"postgresql://{ROLE}:{self._password}@{LOOPBACK}:{self._port}/{database}"

    def _running_service(self) -> Service:
        if self._service is None or not self.running:
            raise ServiceError(f"{self!r} is not running")
        return self._service


def unprivileged_user() -> str | None:
    """Return the system user that runs PostgreSQL; None for the current user unless it is root.

    Raises:
        ServiceError: the user is root, and neither ``postgres`` nor ``nobody`` exists.
    """
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise ServiceError("PostgreSQL refuses to run as root, and there is no user `postgres`")


def find_programs() -> Path:
    """Return the folder with PostgreSQL's server and client programs.

    It searches the real location of ``postgres`` on PATH, the output of ``pg_config``, and Debian's
    folders, newest version first.

    Raises:
        ServiceError: the programs are not installed.
    """
    for folder in _program_folders():
        if all((folder / name).is_file() for name in PROGRAMS):
            return folder
    raise ServiceError(
        f"No PostgreSQL server found: install the package "
        f"{DEBIAN_PACKAGE!r} (as it is called in Debian), or put its programs on PATH"
    )


def _program_folders() -> Iterator[Path]:
    if found := shutil.which("postgres"):
        yield Path(found).resolve().parent
    if found := shutil.which("pg_config"):
        asked = subprocess.run([found, "--bindir"], capture_output=True, text=True, check=False)
        yield Path(asked.stdout.strip())
    versions = Path("/usr/lib/postgresql").glob("[0-9]*/bin")
    yield from sorted(versions, key=lambda folder: int(folder.parent.name), reverse=True)


def ensure_postgres() -> Path:
    """Install Debian's PostgreSQL if it is missing and the user may install it.

    Debian's default cluster is not created, so no other server runs afterwards.

    Returns:
        The folder with PostgreSQL's programs.

    Raises:
        ServiceError: PostgreSQL is missing and cannot be installed.
    """
    try:
        return find_programs()
    except ServiceError:
        if not debian.may_install():
            raise
    NO_CLUSTER.parent.mkdir(parents=True, exist_ok=True)
    NO_CLUSTER.write_text("create_main_cluster = false\n")
    try:
        debian.install(DEBIAN_PACKAGE)
    finally:
        NO_CLUSTER.unlink()
    return find_programs()


def main() -> int:
    """Run a server in the foreground until Ctrl-C, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m testkit.postgres", description=__doc__)
    parser.add_argument("--install", action="store_true", help="only install what is missing")
    options = parser.parse_args()
    try:
        if options.install:
            print(f"PostgreSQL's programs are in {ensure_postgres()}")
            return 0
        # Also SIGINT, which shells ignore for background jobs.
        for signal_number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signal_number, _interrupt)
        with PostgresServer() as server:
            print(f"PostgreSQL is running at {server.url}\nPress Ctrl-C to stop.", flush=True)
            while True:
                signal.pause()
    except ServiceError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped.")
        return 0


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
