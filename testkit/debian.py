"""Installation of Debian packages, for programs that are not on PyPI or npm."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from testkit.processes import ServiceError

INSTALL_SECONDS = 600.0
POLICY = Path("/usr/sbin/policy-rc.d")
# Installation scripts call it; exit status 101 keeps them from starting services.


def may_install() -> bool:
    """Whether this is a Debian system and the current user is root."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def install(package: str) -> None:
    """Install a package without its recommendations, and print a message.

    Raises:
        ServiceError: the package cannot be installed; the message has the reason.
    """
    print(f"Installing Debian's package {package!r}", flush=True)
    _apt_get("update")
    _apt_get("install", "--yes", "--no-install-recommends", package)


def install_without_service(package: str) -> None:
    """Install a package like `install`, without starting its services.

    Raises:
        ServiceError: the package cannot be installed; the message has the reason.
    """
    if POLICY.exists():  # for example in a container, where services are never started
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
