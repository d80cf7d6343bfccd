"""Convert README.md for package indexes, which show it without the repository."""

from __future__ import annotations

import re

FENCE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
RELATIVE = r"(?![a-z][a-z+.-]*:|#)"
LINK = re.compile(rf"(?<!!)\[([^\]]+)\]\({RELATIVE}([^)\s]+)\)")
FIGURE = re.compile(r"<p>\s*<img\b.*?</p>\n+", re.DOTALL)
IMAGE = re.compile(rf"(<img\s+src=\"){RELATIVE}([^\"]+)\"")


def portable_readme(text: str, source: str | None, version: str) -> str:
    """Return a README without relative links.

    Args:
        text: the README of the repository.
        source: the address of the repository, as in ``https://HOST/OWNER/NAME``. Relative links
            become links to its tag of the version. None: they become plain text, and figures
            (``<p><img …></p>``) are left out.
        version: the version of the distribution; its tag is ``v`` and the version.
    """
    parts = FENCE.split(text)
    return "".join(
        part if number % 2 else _portable(part, source, version)
        for number, part in enumerate(parts)
    )


def _portable(prose: str, source: str | None, version: str) -> str:
    if source is None:
        return LINK.sub(r"\1", FIGURE.sub("", prose))
    root = source.rstrip("/")
    prose = LINK.sub(rf"[\1]({root}/blob/v{version}/\2)", prose)
    return IMAGE.sub(rf'\g<1>{root}/raw/v{version}/\2"', prose)


def relative_links(text: str) -> list[str]:
    """Return the relative links and images of a README."""
    prose = FENCE.sub("", text)
    targets = re.findall(r"\]\(([^)\s]+)", prose)
    targets += re.findall(r"(?:src|href)=\"([^\"]+)\"", prose)
    return [target for target in targets if re.match(RELATIVE, target)]
