"""docs/architecture.md names every module of this library, and none that there is not."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "omeda_async"
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
ABOVE, TREE, BELOW = PAGE.split("```", 2)
FOLDERS = re.compile(r" *((?:\w+/ +)+)")
IN_TREE = re.compile(r"(?<![\w.`/])(?:\w*_\w+|\w+\.(?:py|js|css|html))(?![\w.`/(=])")
IN_TEXT = re.compile(r"\.?[\w/]+\.(?:py|js|css|html|lua)\b|`\w[\w/]*/`")


def in_tree() -> Iterator[Path]:
    """Give the files that the tree names: a line is about the folder at its beginning, or the one it stands in."""
    within = [(-1, [PACKAGE])]
    for line in TREE.splitlines()[2:]:
        indent = len(line) - len(line.lstrip())
        while within[-1][0] >= indent:
            within.pop()
        if begins := FOLDERS.match(line):
            _, [around] = within[-1]
            within.append((indent, [around / name for name in begins[1].replace("/", "").split()]))
        for name in IN_TREE.findall(line, begins.end() if begins else 0):
            yield from (folder / (name if "." in name else f"{name}.py") for folder in within[-1][1])


def test_what_the_page_names_is_there() -> None:
    """Each file in its tree exists where that says, each path in its text from the package or the repository on."""
    lost = [str(path.relative_to(ROOT)) for path in in_tree() if not path.is_file()]
    paths = {path.strip("`") for path in IN_TEXT.findall(ABOVE + BELOW)}
    lost += sorted(path for path in paths if not ((PACKAGE / path).exists() or (ROOT / path).exists()))
    assert lost == []


def test_each_module_is_in_the_tree_of_the_page() -> None:
    """A new module is entered there, in a few words."""
    modules = {path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py"}
    assert sorted(str(path.relative_to(PACKAGE)) for path in modules - set(in_tree())) == []
