"""Where the rows of a deferred file may come from."""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import attrs
import pytest

from omeda_async import ConfigurationError
from omeda_async.rows import CAMPAIGNS
from omeda_async.worker._source import rows_at

ROWS = b"1\n2\n"


class Elsewhere:
    """What is no path, and opens itself."""

    name = "ids.txt"

    def open(self, mode: str, /) -> BinaryIO:
        """Open it."""
        assert mode == "rb"
        return io.BytesIO(ROWS)


class ElsewherePath(type(Path())):  # type: ignore[misc]  # which class that is, is the machine's
    """A path that opens itself, as each ``UPath`` was one before universal-pathlib 0.3."""

    def open(self, mode: str = "r", *_: Any, **__: Any) -> Any:
        """Open it."""
        return Elsewhere().open(mode)


@attrs.frozen
class Told:
    """What opens itself in the mode that it was told, as a file of fsspec."""

    path: str
    mode: str

    def __fspath__(self) -> str:
        """Return its path elsewhere."""
        return self.path

    def open(self) -> BinaryIO:
        """Open it."""
        return io.BytesIO(ROWS)


def records_of(source: Any) -> list[Any]:
    return [row.record for row in rows_at(source, CAMPAIGNS, limit=1)]


def packed() -> Any:
    archive = zipfile.ZipFile(io.BytesIO(), "w")
    archive.writestr("ids.txt", ROWS)
    return zipfile.Path(archive, "ids.txt")


def test_a_file_may_be_a_path_a_url_of_one_or_what_opens_itself(tmp_path: Path) -> None:
    """The rows are the same."""
    path = tmp_path / "with a blank.txt"
    path.write_bytes(ROWS)
    for source in (path, str(path), path.as_uri(), Elsewhere(), packed(), Told("bucket/ids.txt", "rb")):
        assert records_of(source) == [{"campaign_id": "1"}]
    assert rows_at(Elsewhere(), CAMPAIGNS).name == "ids.txt"


def test_a_path_that_opens_itself_is_not_looked_for_on_this_machine(tmp_path: Path) -> None:
    """What lies here under its name is another file."""
    (tmp_path / "ids.txt").write_text("of this machine\n")
    assert records_of(ElsewherePath(tmp_path / "ids.txt")) == [{"campaign_id": "1"}]


def test_a_file_that_was_not_told_to_open_for_bytes_is_refused() -> None:
    """With the mode that it needs."""
    with pytest.raises(ConfigurationError, match="with mode 'rb': not 'r'"):
        records_of(Told("bucket/ids.txt", "r"))


def test_a_file_that_does_not_open_is_refused_with_a_reason() -> None:
    """What opens elsewhere may say nothing but what kind of error it is."""

    class Gone(Elsewhere):
        def open(self, mode: str, /) -> BinaryIO:
            raise FileNotFoundError(mode)

    with pytest.raises(ConfigurationError, match=r"^ids\.txt cannot be read: FileNotFoundError$"):
        records_of(Gone())


@pytest.mark.parametrize("source", ["https://example.com/ids.txt", "s3://bucket/ids.txt", 7, None])
def test_a_url_that_is_not_opened_here_is_refused_with_what_to_give(source: object) -> None:
    """Nothing is fetched."""
    with pytest.raises(ConfigurationError, match=r"open\('rb'\)|opens itself"):
        rows_at(source, CAMPAIGNS)  # type: ignore[arg-type]  # that is the point


@pytest.fixture
def remote() -> Iterator[str]:
    """Give the address of a file in fsspec's memory."""
    fsspec: Any = pytest.importorskip("fsspec", reason="fsspec is not installed: it comes with the extra recipes")
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/bucket/ids.txt", ROWS)
    yield "memory://bucket/ids.txt"
    memory.rm("/bucket", recursive=True)


def test_a_upath_is_opened_where_it_is(remote: str, tmp_path: Path) -> None:
    """On a server or on this machine."""
    upath: Any = pytest.importorskip("upath", reason="universal-pathlib is not installed: see extra recipes")
    (tmp_path / "ids.txt").write_bytes(ROWS)
    for source in (remote, tmp_path / "ids.txt", (tmp_path / "ids.txt").as_uri()):
        assert records_of(upath.UPath(source)) == [{"campaign_id": "1"}]


def test_a_file_of_fsspec_is_opened_where_it_is(remote: str) -> None:
    """As long as the rows are used."""
    fsspec: Any = pytest.importorskip("fsspec")
    rows = rows_at(fsspec.open(remote), CAMPAIGNS)
    for _ in range(2):
        assert [row.record for row in rows] == [{"campaign_id": "1"}, {"campaign_id": "2"}]
    assert (rows.name, len(rows)) == ("/bucket/ids.txt", 2)
