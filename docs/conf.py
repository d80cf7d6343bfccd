"""Sphinx builds the documentation site from this folder: `make docs`."""

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

# Reads the source instead of importing it: Airflow and Prefect cannot be installed together.
autoapi_dirs = ["../mastra_workflows", "../airflow_provider_mastra", "../prefect_mastra"]
autoapi_root = "reference/api"
autoapi_options = ["members", "show-inheritance"]
autoapi_python_class_content = "both"
autoapi_member_order = "groupwise"
autoapi_add_toctree_entry = False
autoapi_keep_files = False

# Internals, by the names of their modules; so is every name that begins with an underscore.
INTERNAL = ("mastra_workflows.api", "mastra_workflows.procedures")


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
