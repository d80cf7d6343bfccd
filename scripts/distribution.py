"""Build the distribution in dist/ and test the wheel as users install it.

Run by `make build`. The wheel is built from the sdist, which proves that the sdist is complete. It
is then installed into empty environments: without extras, and with each extra. Dependencies have
their locked versions, so the result is reproducible and only depends on this project.
"""

import shutil
from pathlib import Path

from scripts.environments import TOOLS, Command, Setup

DIST = Path("dist")
ENVIRONMENTS = Path(".build/wheel")
SHARED = "mastra_workflows"
HOSTS = {"airflow": "airflow_provider_mastra", "prefect": "prefect_mastra"}


def build() -> Path:
    """Build the sdist and the wheel, and return the wheel."""
    setup = Setup("Distribution", DIST)
    shutil.rmtree(DIST, ignore_errors=True)
    command: Command = [TOOLS / "bin/uv", "build", "--python", TOOLS / "bin/python"]
    pins: Command = ["--build-constraints", "requirements/tools.txt"]
    setup.run("build sdist and wheel", [*command, *pins])
    (wheel,) = DIST.glob("*.whl")
    for file in sorted(DIST.iterdir()):
        if file.suffix in {".whl", ".gz"}:
            setup.say(f"{file} ({file.stat().st_size / 1024:.0f} KiB)")
    return wheel


def try_wheel(wheel: Path, extra: str | None) -> None:
    """Install the wheel into an empty environment and import the packages that must work there."""
    name = extra or "core"
    folder = ENVIRONMENTS / name
    setup = Setup(f"Wheel with extra [{extra}]" if extra else "Wheel without extras", folder)
    shutil.rmtree(folder, ignore_errors=True)
    uv = TOOLS / "bin/uv"
    python = folder / "bin/python"
    setup.run("empty environment", [uv, "venv", "--python", TOOLS / "bin/python", folder])
    install: Command = [uv, "pip", "install", "--python", python]
    # Keep uv from using an earlier wheel of the same name from its cache.
    fresh: Command = ["--refresh-package", "mastra-workflows"]
    pins: Command = ["--constraints", f"requirements/{name}.txt"]
    setup.run("install", [*install, *fresh, *pins, f"{wheel}[{extra}]" if extra else wheel])
    # -I keeps the checkout off the path, so only the wheel is imported.
    check: Command = [python, "-I", "scripts/check_installed.py"]
    setup.run(f"import {SHARED} without Airflow and Prefect", [*check, SHARED, "--without", *HOSTS])
    if extra:
        others = [host for host in HOSTS if host != extra]
        setup.run(f"import {HOSTS[extra]}", [*check, HOSTS[extra], "--without", *others])
    shutil.rmtree(folder)


if __name__ == "__main__":
    built = build()
    for chosen in (None, *HOSTS):
        try_wheel(built, chosen)
