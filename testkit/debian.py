"""Debian's packages, for the programs that PyPI and npm do not have."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from testkit.processes import ServiceError

INSTALL_SECONDS = 600.0
POLICY = Path("/usr/sbin/policy-rc.d")
# Asked by installation scripts: with status 101 it forbids them to start a service.


def may_install() -> bool:
    """Whether this is a Debian, and we are its root."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def install(package: str) -> None:
    """Install a package, and nothing that is only recommended with it; says that it does.

    Raises:
        ServiceError: it cannot be installed from here; tells why.
    """
    print(f"Installing Debian's package {package!r}", flush=True)
    _apt_get("update")
    _apt_get("install", "--yes", "--no-install-recommends", package)


def install_without_service(package: str) -> None:
    """As `install`, and nothing of the package is started: its programs are for our own use.

    Raises:
        ServiceError: it cannot be installed from here; tells why.
    """
    if POLICY.exists():  # of a container, say, where nothing is started anyway
        install(package)
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        install(package)
    finally:
        POLICY.unlink()


def _apt_get(*arguments: str) -> None:
    done = subprocess.run(
        ["apt-get", "--quiet", "-o", "DPkg::Lock::Timeout=120", *arguments],
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=INSTALL_SECONDS,
    )
    if done.returncode:
        raise ServiceError(
            f"`apt-get {' '.join(arguments)}` failed with exit code {done.returncode}:\n"
            f"{done.stdout.rstrip()}"
        )
