"""Look through the built site: ``check_site.py FOLDER``.

Every link within it leads somewhere, to an anchor too, and so do those of the documents beside it; nothing is loaded
from elsewhere; every public name is in the reference. Run it in the root of the project.
"""

import importlib
import inspect
import pkgutil
import re
import sys
import zlib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote, urlsplit

import omeda_async

BY_THE_FRONT_DOOR = {"bulk", "cli", "errors", "limits", "manager", "outcomes", "providers", "settings"}
"""Modules and packages whose public names are imported from ``omeda_async``."""
LINK = re.compile(r"\]\(([^)\s]+)\)")
LOADED = {("link", "href"), ("script", "src"), ("img", "src"), ("iframe", "src")}


class Page(HTMLParser):
    """The anchors of a page, where its links lead, and what it loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: set[str] = set()
        self.loaded: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag is, leads to, or loads."""
        for name, value in attrs:
            if name == "id" and value:
                self.anchors.add(value)
            elif (tag, name) in LOADED and value:
                self.loaded.add(value)
            elif (tag, name) == ("a", "href") and value:
                self.links.add(value)


def broken(site: Path) -> Iterator[str]:
    """Yield the links that lead nowhere, and what is loaded from elsewhere."""
    pages = {path: Page(path.read_text("utf-8")) for path in site.rglob("*.html")}
    for path, page in pages.items():
        yield from (f"{path.relative_to(site)} loads {one}" for one in page.loaded if urlsplit(one).netloc)
        for link in page.links | page.loaded:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            missing = not target.exists() or (
                target in pages and parts.fragment and unquote(parts.fragment) not in pages[target].anchors
            )
            if missing:
                yield f"{path.relative_to(site)}: {link} leads nowhere"


def broken_beside(site: Path) -> Iterator[str]:
    """Yield the links of documents beside the site's that lead nowhere; into the site the anchor counts, too."""
    docs = Path("docs").resolve()
    for document in [*Path().glob("*.md"), Path("benchmarks/README.md")]:
        for link in LINK.findall(document.read_text("utf-8")):
            parts = urlsplit(link)
            target = (document.parent / parts.path).resolve()
            anchors = {parts.fragment}
            if target.suffix == ".md" and target.is_relative_to(docs) and target.exists() and parts.fragment:
                anchors = Page((site / target.relative_to(docs)).with_suffix(".html").read_text("utf-8")).anchors
            if not parts.scheme and (not target.exists() or parts.fragment not in anchors):
                yield f"{document}: {link} leads nowhere"


def public_names() -> Iterator[str]:
    """Yield every name that users may import, with its module."""
    yield from (f"omeda_async.{name}" for name in omeda_async.__all__)
    for found in pkgutil.iter_modules(omeda_async.__path__):
        if not found.name.startswith("_") and found.name not in BY_THE_FRONT_DOOR:
            module = importlib.import_module(f"omeda_async.{found.name}")
            yield from (f"{module.__name__}.{name}" for name in names_of(module))


def names_of(module: ModuleType) -> list[str]:
    """Return what a module says that it offers, or else the classes and functions that are its own."""
    return getattr(module, "__all__", None) or [
        name
        for name, thing in vars(module).items()
        if (inspect.isclass(thing) or inspect.isfunction(thing))
        and thing.__module__ == module.__name__
        and not name.startswith("_")
    ]


def documented(site: Path) -> set[str]:
    """Return the names that the reference has, by the list that Sphinx writes for other sites."""
    listed = (site / "objects.inv").read_bytes().split(b"\n", 4)[4]
    entries = (line.split() for line in zlib.decompress(listed).decode("utf-8").splitlines())
    return {name for name, kind, *_ in entries if kind.startswith("py:")}


def main() -> int:
    """Print all that is wrong; 0 when nothing is."""
    site = Path(sys.argv[1]).resolve()
    names = set(public_names())
    wrong = sorted(
        {*broken(site), *broken_beside(site), *(f"{name} is not in the reference" for name in names - documented(site))}
    )
    print(*wrong, f"{len(names)} public names, {len(wrong)} faults", sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
