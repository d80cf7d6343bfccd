"""The project's part of the build, called by hatchling: the README of the distribution."""

import sys
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

ROOT = Path(__file__).parent
sys.path.insert(0, str(ROOT))

from scripts.readme import portable_readme  # noqa: E402  (a build has no project on its path)


class ReadmeHook(MetadataHookInterface):
    """Set the README that package indexes show."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add the README, with links for readers who do not have the repository."""
        text = (ROOT / "README.md").read_text(encoding="utf-8")
        source = metadata.get("urls", {}).get("Source")
        readme = portable_readme(text, source, metadata["version"])
        metadata["readme"] = {"content-type": "text/markdown", "text": readme}
