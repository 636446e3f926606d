"""Whether a wheel may be published: it says where its source is, and no link of its README leads nowhere.

python .ci/check_release.py dist/*.whl
"""

import sys
import zipfile
from collections.abc import Iterator
from email.parser import Parser
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parent))
from readme import RELATIVE

NEEDED: Final = ("Changelog", "Documentation", "Issues", "Source")


def troubles(wheel: Path) -> Iterator[str]:
    """Say what is missing."""
    with zipfile.ZipFile(wheel) as opened:
        (name,) = [one for one in opened.namelist() if one.endswith(".dist-info/METADATA")]
        about = Parser().parsestr(opened.read(name).decode("utf-8"))
    urls = dict(one.split(", ", 1) for one in about.get_all("Project-URL", []))
    for label in NEEDED:
        if not urls.get(label, "").startswith("https://"):
            yield f"project.urls in pyproject.toml has no https address for {label}"
    for link in RELATIVE.finditer(str(about.get_payload())):
        yield f"the README links to {link[3]}, which is not beside it on an index"


def main() -> int:
    """Check the wheels that are named; 0 when all may be published."""
    found = [f"{wheel}: {trouble}" for wheel in sys.argv[1:] for trouble in troubles(Path(wheel))]
    print("\n".join(found) or f"{len(sys.argv) - 1} may be published")
    return 1 if found or len(sys.argv) < 2 else 0


if __name__ == "__main__":
    sys.exit(main())
