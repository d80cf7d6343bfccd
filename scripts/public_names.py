"""List the public names of the packages in docs/reference/public-names.md: `make generate`.

A module is public if no part of its name begins with an underscore. Its public names are those of
its ``__all__``, or else the classes, functions and constants that it defines. A name that the
package's root exports is listed there only. `make lint` runs this with ``--check`` to detect every
added or removed public name.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "reference" / "public-names.md"
PACKAGES = ("mastra_workflows", "airflow_provider_mastra", "prefect_mastra")
INTRODUCTION = """# Public names

What a program may import. Every other name is internal and may change in any release.
`make generate` writes this page.
"""


def names_of(path: Path) -> list[str]:
    """Return the public names of a module's source."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    defined: list[str] = []
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            defined.append(node.name)
        targets = node.targets if isinstance(node, ast.Assign) else []
        targets = [node.target] if isinstance(node, ast.AnnAssign) else targets
        for target in targets:
            if not isinstance(target, ast.Name):
                continue
            if target.id == "__all__":
                return sorted(ast.literal_eval(node.value))  # type: ignore[attr-defined]
            if target.id[0].isupper():
                defined.append(target.id)
    return sorted(name for name in defined if not name.startswith("_"))


def modules() -> Iterator[tuple[str, list[str]]]:
    """Yield each public module with its public names."""
    for package in PACKAGES:
        exported = set(names_of(ROOT / package / "__init__.py"))
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            parts = parts[:-1] if parts[-1] == "__init__" else parts
            name = ".".join(parts)
            if any(part.startswith("_") for part in parts):
                continue
            names = [item for item in names_of(path) if item not in exported or name == package]
            if names:
                yield name, names


def page() -> str:
    """Return the text of the page."""
    parts = [INTRODUCTION]
    for name, names in modules():
        parts.append(f"## `{name}`\n\n" + "".join(f"- `{item}`\n" for item in names))
    return "\n".join(parts)


def main() -> int:
    """Write the page, or check it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if it differs")
    text = page()
    if not parser.parse_args().check:
        PAGE.write_text(text, encoding="utf-8")
        return 0
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == text:
        return 0
    print(f"Public names have changed: run `make generate` and read {PAGE.relative_to(ROOT)}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
