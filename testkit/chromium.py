"""Debian's Chromium, for tests that see and do what a person does.

``python -m testkit.chromium`` only sees to it that it is there.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from testkit import debian
from testkit.processes import ServiceError

DEBIAN_PACKAGE = "chromium"
NAMES = ("chromium", "chromium-browser", "google-chrome")
# Root has no sandbox, and nothing here may talk to anybody but the servers on this machine.
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
    """The path of the browser.

    Raises:
        ServiceError: there is none.
    """
    for name in NAMES:
        if found := shutil.which(name):
            return Path(found)
    raise ServiceError(
        f"A Chromium is needed and there is none: install the package {DEBIAN_PACKAGE!r} (as it is "
        "called in Debian), or put it on PATH"
    )


def ensure_chromium() -> Path:
    """Install Chromium from Debian's packages if it is missing and we may; says what it does.

    Returns:
        The path of the browser.

    Raises:
        ServiceError: it is missing and cannot be installed from here.
    """
    try:
        return find_chromium()
    except ServiceError:
        if not debian.may_install():
            raise
    debian.install(DEBIAN_PACKAGE)
    return find_chromium()


def main() -> int:
    """Returns the exit code."""
    try:
        print(f"Chromium is {ensure_chromium()}")
    except ServiceError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
