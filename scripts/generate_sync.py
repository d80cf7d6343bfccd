"""Generate `mastra_workflows/_sync` from `mastra_workflows/aio`: `make generate`.

The asyncio client is the source. The synchronous one differs only in names and in having no
``async`` and ``await``, so it is written by the substitutions below. `make lint` runs this with
``--check``, which writes nothing and fails if a generated file differs.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "mastra_workflows"
SOURCE, TARGET = PACKAGE / "aio", PACKAGE / "_sync"
RUFF = Path(sys.executable).parent / "ruff"

SUBSTITUTIONS = [
    (r"\basync (def|with|for)\b", r"\1"),
    (r"\bawait ", ""),
    (r"__a(enter|exit)__", r"__\1__"),
    (r"\bAsync(?=[A-Z])", ""),
    (r"\b_async_transport\b", "_transport"),
    (r"\bmastra_workflows\.aio\b", "mastra_workflows._sync"),
    (
        r"`MastraClient` is for threads, `MastraClient`",
        "`MastraClient` is for threads, `AsyncMastraClient`",
    ),
    (
        r"The asyncio client, from which (?s:.*)",
        'The synchronous client.\n\nImport its classes from `mastra_workflows`.\n"""\n',
    ),
]
HEADER = "# Generated from {source} by `make generate`. Do not edit.\n"


def convert(source: Path) -> str:
    """Return the synchronous text of an asyncio module."""
    text = source.read_text(encoding="utf-8")
    for pattern, replacement in SUBSTITUTIONS:
        text = re.sub(pattern, replacement, text)
    text = HEADER.format(source=source.relative_to(PACKAGE.parent).as_posix()) + text
    target = TARGET / source.name
    # By the name alone: ruff looks for the modules, and those to be written may not exist yet.
    first_party = 'lint.isort.known-first-party = ["mastra_workflows"]'
    sort = ["check", "--quiet", "--select", "I,UP028", "--fix", "--unsafe-fixes"]
    sort += ["--config", first_party]
    for command in (sort, ["format", "--quiet"]):
        arguments = [str(RUFF), *command, "--stdin-filename", str(target), "-"]
        text = subprocess.run(
            arguments, input=text, capture_output=True, text=True, check=True, cwd=PACKAGE.parent
        ).stdout
    return text


def main() -> int:
    """Write the generated files, or check them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if one differs")
    is_check = parser.parse_args().check
    wanted = {TARGET / source.name: convert(source) for source in sorted(SOURCE.glob("*.py"))}
    found = {path: path.read_text(encoding="utf-8") for path in TARGET.glob("*.py")}
    if is_check:
        differing = sorted(
            path.relative_to(PACKAGE.parent).as_posix()
            for path in wanted.keys() | found.keys()
            if wanted.get(path) != found.get(path)
        )
        if differing:
            print(f"Run `make generate`; these differ from their source: {', '.join(differing)}")
        return 1 if differing else 0
    TARGET.mkdir(exist_ok=True)
    for path in found.keys() - wanted.keys():
        path.unlink()
    for path, text in wanted.items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
