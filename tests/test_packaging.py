"""Wheel and sdist: what is in them, what the wheel says of itself, and that it imports without the extras."""

import importlib.util
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from email.message import Message
from email.parser import Parser
from pathlib import Path, PurePosixPath

import pytest

import omeda_async

ROOT = Path(__file__).parent.parent


def _build(kind: str, target: Path, project: Path = ROOT) -> Path:
    """Build one from the checkout; where the backend is installed, that needs no network."""
    command = [sys.executable, "-m", "build", f"--{kind}", "--outdir", str(target), str(project)]
    if importlib.util.find_spec("hatchling") is not None:
        command.insert(4, "--no-isolation")
    done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603 our own words
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = target.iterdir()
    return path


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    """The wheel."""
    with zipfile.ZipFile(_build("wheel", tmp_path_factory.mktemp("dist"))) as opened:
        yield opened


def _metadata(wheel: zipfile.ZipFile, name: str) -> str:
    (found,) = [one for one in wheel.namelist() if one.endswith(f".dist-info/{name}")]
    return wheel.read(found).decode("utf-8")


@pytest.fixture(scope="module")
def about(wheel: zipfile.ZipFile) -> Message:
    """What the wheel says of itself."""
    return Parser().parsestr(_metadata(wheel, "METADATA"))


def test_the_wheel_holds_every_module_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    """The package with its py.typed, its metadata, and no test, benchmark or document."""
    names = {PurePosixPath(name) for name in wheel.namelist()}
    inside = {str(name) for name in names if name.parts[0] == "omeda_async"}
    sources = ROOT / "omeda_async"
    expected = {
        str(path.relative_to(ROOT).as_posix())
        for path in sources.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert inside == expected
    assert {"omeda_async/py.typed", "omeda_async/__init__.py", "omeda_async/sandbox/__init__.py"} <= inside
    assert {name.parts[0] for name in names} == {
        "omeda_async",
        f"omeda_async-{omeda_async.__version__}.dist-info",
    }


def test_the_sdist_holds_what_its_tests_and_documents_need(tmp_path: Path) -> None:
    """Package, tests, benchmarks, documents and what makes a site of them, the gate, what stands beside them."""
    folders = ("omeda_async", "tests", "docs", "benchmarks", ".ci")
    kept = [*ROOT.glob("*.md"), *(path for folder in folders for path in ROOT.glob(f"{folder}/**/*") if path.is_file())]
    made = {"__pycache__", "_build"}
    wanted = {path.relative_to(ROOT).as_posix() for path in kept if made.isdisjoint(path.parts)}
    with tarfile.open(_build("sdist", tmp_path)) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    assert {name for name in wanted - names if not name.endswith(".sqlite3")} == set()
    assert {"pyproject.toml", "LICENSE"} <= names


def test_the_licence_is_in_it(wheel: zipfile.ZipFile, about: Message) -> None:
    """MIT, as the file says."""
    assert about["License-Expression"] == "MIT"
    assert about.get_all("License-File") == ["LICENSE"]
    assert "MIT License" in _metadata(wheel, "licenses/LICENSE")


def test_the_metadata_names_the_library(about: Message) -> None:
    """Name, version, what it needs, and its README."""
    assert (about["Name"], about["Version"]) == ("omeda-async", omeda_async.__version__)
    assert about["Requires-Python"] == ">=3.11"
    needed = {
        one.split(">")[0].split(";")[0].strip() for one in about.get_all("Requires-Dist", []) if "extra" not in one
    }
    assert needed == {
        "aiohttp",
        "aiolimiter",
        "attrs",
        "cattrs",
        "email-validator",
        "multidict",
        "orjson",
        "tzdata",
        "yarl",
    }
    assert set(about.get_all("Provides-Extra", [])) >= {"cli", "dev"}
    assert {"Typing :: Typed", "Framework :: AsyncIO"} <= set(about.get_all("Classifier", []))
    assert about["Description-Content-Type"] == "text/markdown"
    assert str(about.get_payload()).startswith("# ")


def test_without_the_address_of_its_source_nothing_is_published(tmp_path: Path) -> None:
    """And the README is as it stands in the repository, with links to the files beside it."""
    path = _build("wheel", tmp_path)
    done = _checked(path)
    assert done.returncode == 1
    assert "project.urls in pyproject.toml has no https address for Source" in done.stdout
    assert "the README links to docs/tutorial.md" in done.stdout


def test_with_the_address_of_its_source_the_readme_leads_there(tmp_path: Path) -> None:
    """Each link to a file and each picture, at the tag of this version; nothing else of it changes."""
    project = tmp_path / "project"
    project.mkdir()
    for name in ("README.md", "LICENSE", "pyproject.toml"):
        shutil.copy(ROOT / name, project)
    for name in (".ci", "omeda_async"):
        shutil.copytree(ROOT / name, project / name, ignore=shutil.ignore_patterns("__pycache__"))
    names = ("Source", "Documentation", "Issues", "Changelog")
    urls = "\n".join(f'{name} = "https://example.com/me/it"' for name in names)
    settings = project / "pyproject.toml"
    settings.write_text(f"{settings.read_text('utf-8')}\n[project.urls]\n{urls}\n", "utf-8")
    path = _build("wheel", tmp_path / "dist", project)
    done = _checked(path)
    assert (done.returncode, done.stdout) == (0, "1 may be published\n")
    with zipfile.ZipFile(path) as opened:
        text = str(Parser().parsestr(_metadata(opened, "METADATA")).get_payload())
    tag = f"v{omeda_async.__version__}"
    assert f"](https://example.com/me/it/blob/{tag}/docs/settings.md#limits)" in text
    assert f"](https://example.com/me/it/raw/{tag}/docs/demo.svg)" in text
    bare = re.sub(rf"https://example\.com/me/it/(?:blob|raw)/{re.escape(tag)}/", "", text)
    assert bare.strip() == (ROOT / "README.md").read_text("utf-8").strip()


def _checked(wheel: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / ".ci" / "check_release.py"), str(wheel)]
    return subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603 our own words


def test_the_command_is_the_only_entry_point(wheel: zipfile.ZipFile) -> None:
    """``omeda-async`` starts the command line; nothing is loaded into the pytest of those who did not ask for it."""
    assert _metadata(wheel, "entry_points.txt").split("\n") == [
        "[console_scripts]",
        "omeda-async = omeda_async.__main__:main",
        "",
    ]


IMPORTS = """
import importlib, sys
absent = {"typer", "rich", "pytest", "hypothesis", "aioresponses", "click"}
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in absent:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Finder())
sys.path.insert(0, sys.argv[1])
import omeda_async, omeda_async.sandbox, omeda_async.events, omeda_async.limits
assert omeda_async.__file__.startswith(sys.argv[1]), omeda_async.__file__
from omeda_async import SessionManager, OcambaSettings
SessionManager(ocamba=OcambaSettings(token="t"))
print("imported")
"""


def test_the_wheel_imports_without_the_extras(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    """Unpacked anywhere, with neither the command line's nor the developers' packages, it works."""
    wheel.extractall(tmp_path)  # noqa: S202 it is our own
    command = [sys.executable, "-c", IMPORTS, str(tmp_path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path)  # noqa: S603 our own words
    assert done.returncode == 0, done.stderr
    assert done.stdout == "imported\n"
    assert done.stderr == ""
