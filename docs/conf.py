"""Sphinx builds the documentation site from this folder: `make docs`."""

import re
import shutil
import textwrap
from pathlib import Path
from typing import Any

from mastra_workflows import __version__

project = "mastra-workflows"
author = "The mastra-workflows contributors"
copyright = f"2026, {author}"
release = version = __version__

extensions = [
    "autoapi.extension",
    "myst_parser",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
exclude_patterns = ["_build"]
nitpicky = False

html_theme = "furo"
html_title = f"mastra-workflows {release}"

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4

PACKAGES = ("mastra_workflows", "airflow_provider_mastra", "prefect_mastra")
ROOT = Path(__file__).parent.parent
SOURCE = ROOT / ".build" / "docs-source"


def copy_source() -> None:
    """Copy the packages, with the names of `mastra_workflows` imported in plain sight.

    They are imported lazily, under ``if TYPE_CHECKING:``, where AutoAPI does not find them.
    """
    shutil.rmtree(SOURCE, ignore_errors=True)
    for package in PACKAGES:
        shutil.copytree(ROOT / package, SOURCE / package)
    init = SOURCE / "mastra_workflows" / "__init__.py"
    block = re.compile(r"^if TYPE_CHECKING:\n((?: +.*\n|\n)+)", re.MULTILINE)
    text = block.sub(lambda match: textwrap.dedent(match[1]), init.read_text(encoding="utf-8"))
    init.write_text(text, encoding="utf-8")


copy_source()

# Reads the source instead of importing it: Airflow and Prefect cannot be installed together.
autoapi_dirs = [str(SOURCE / package) for package in PACKAGES]
autoapi_root = "reference/api"
autoapi_options = ["members", "imported-members", "show-inheritance"]
autoapi_python_class_content = "both"
autoapi_member_order = "groupwise"
autoapi_add_toctree_entry = False
autoapi_keep_files = False

# Internals, by the names of their modules; so is every name that begins with an underscore.
INTERNAL = ("mastra_workflows.aio", "mastra_workflows.integration")


def skip_internals(
    app: object, what: str, name: str, obj: object, skip: bool | None, options: object
) -> bool | None:
    """Leave out of the reference how the packages work inside."""
    return True if name.startswith(INTERNAL) else skip


def convert_fences(
    app: object, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Make Markdown code blocks, which Prefect shows of a block, such of reStructuredText."""
    is_code = False
    for number, line in enumerate(lines):
        text = line.strip()
        if not is_code and text.startswith("```") and text != "```":
            lines[number] = line.replace("```", ".. code-block:: ") + "\n"
            is_code = True
        elif text == "```":
            lines[number], is_code = "", False
        elif is_code:
            lines[number] = f"    {line}" if text else line
    lines[:] = [part for line in lines for part in line.split("\n")]


def setup(app: Any) -> None:
    """Connect the functions above."""
    app.connect("autoapi-skip-member", skip_internals)
    app.connect("autodoc-process-docstring", convert_fences, priority=100)
