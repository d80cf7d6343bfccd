"""Debian's Chromium, for browser tests.

``python -m testkit.chromium`` only makes sure that it is installed.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from testkit import debian
from testkit.processes import ServiceError

DEBIAN_PACKAGE = "chromium"
NAMES = ("chromium", "chromium-browser", "google-chrome")
# Root cannot use the sandbox; the other flags prevent requests to external servers.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def find_chromium() -> Path:
    """Return the path of the browser.

    Raises:
        ServiceError: no Chromium is installed.
    """
    for name in NAMES:
        if found := shutil.which(name):
            return Path(found)
    raise ServiceError(
        f"No Chromium found: install the package {DEBIAN_PACKAGE!r} (as it is "
        "called in Debian), or put it on PATH"
    )


def ensure_chromium() -> Path:
    """Install Debian's Chromium if it is missing and the user may install it.

    Returns:
        The path of the browser.

    Raises:
        ServiceError: Chromium is missing and cannot be installed.
    """
    try:
        return find_chromium()
    except ServiceError:
        if not debian.may_install():
            raise
    debian.install(DEBIAN_PACKAGE)
    return find_chromium()


def main() -> int:
    """Install Chromium if needed, and return the exit code."""
    try:
        print(f"Chromium is {ensure_chromium()}")
    except ServiceError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
