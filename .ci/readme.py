"""The README as an index of packages shows it, away from the files that it refers to: with whole addresses.

hatchling runs this when it builds. As long as ``project.urls`` has no ``Source``, the README stays as it is.
"""

import re
from pathlib import Path
from typing import Any, Final

from hatchling.metadata.plugin.interface import MetadataHookInterface

RELATIVE: Final = re.compile(r"(!?)(\[(?:[^\]\[]|\[[^\]]*\])*\]\()(?![a-z+]+:|#|/)([^)\s]+)\)")
"""A link or a picture of Markdown to a file beside it."""


def absolute(text: str, source: str, version: str) -> str:
    """Return Markdown whose links lead to a repository, as it was at the tag of a version."""
    where = source.rstrip("/").removesuffix(".git")
    return RELATIVE.sub(
        lambda link: f"{link[1]}{link[2]}{where}/{'raw' if link[1] else 'blob'}/v{version}/{link[3]})", text
    )


class CustomMetadataHook(MetadataHookInterface):
    """Gives the project its README."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Put it in."""
        root = Path(self.root)
        text = (root / "README.md").read_text("utf-8")
        said = re.search(
            r'^__version__ = "(.*)"$', (root / "omeda_async" / "_version.py").read_text("utf-8"), re.MULTILINE
        )
        source = metadata.get("urls", {}).get("Source")
        if source and said:
            text = absolute(text, source, said[1])
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
