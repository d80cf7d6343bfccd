"""Test the playground: it starts, its output is correct, and Ctrl-C leaves nothing behind."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from testkit.keeper import stat_fields
from testkit.processes import parent_pid
from testkit.sample_server import ROOT

READY = "Press Ctrl-C to stop."


@pytest.fixture(params=["airflow", "prefect"])
def playground(request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    """A playground that boots."""
    if find_spec(request.param) is None:
        pytest.skip(f"{request.param.title()} is not installed")
    command = [sys.executable, "-m", "scripts.playground", "--with", request.param]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


@pytest.mark.essential
def test_playground_starts_and_cleans_up(playground: subprocess.Popen[str]) -> None:
    assert playground.stdout is not None
    said = []
    for line in playground.stdout:
        said.append(line)
        if READY in line:
            break
    text = "".join(said)

    assert READY in text
    for url in re.findall(r"(?<=  )http://\S+", text):
        assert opens(url)

    begun = descendants(playground.pid)
    folders = set(ROOT.glob(".build/playground-*/*/*"))
    assert begun
    assert folders

    playground.send_signal(signal.SIGINT)

    assert playground.wait(30) == 0
    assert {pid for pid in begun if alive(pid)} == set()
    assert {path for path in folders if path.exists()} == set()


def opens(url: str) -> bool:
    # As a browser asks: Prefect's server has pages for nobody else.
    request = urllib.request.Request(url, headers={"Accept": "text/html,application/json"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request) as response:
        return bool(response.status == 200)


def descendants(ancestor: int) -> set[int]:
    """The ids of the processes that one has started, and these, and so on."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and alive(int(entry.name)):
            parents[int(entry.name)] = parent_pid(int(entry.name))
    found = {ancestor}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {ancestor}


def alive(pid: int) -> bool:
    try:
        return stat_fields(pid)[0] not in "ZX"
    except OSError:
        return False
