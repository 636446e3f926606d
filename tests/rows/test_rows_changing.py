"""Files that are written while they are read, and files that may not be whole."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from omeda_async import ConfigurationError, OmedaSettings, OutcomeStatus, SessionManager
from omeda_async.rows import CAMPAIGNS, OPT_OUTS, RowFile
from omeda_async.sandbox import Sandbox
from omeda_async.testing import run_moved

ROWS = 20_000


def overwrite(path: Path) -> None:
    path.write_text("email\n" + "".join(f"other-one{number:06}@example.com\n" for number in range(ROWS)))


def shift(path: Path) -> None:
    """Write as many bytes as before, with every row in another place."""
    before = path.read_bytes()
    path.write_bytes(b"email\n\n\n\n" + before[6:-3])


def grow(path: Path) -> None:
    with path.open("a") as more:
        more.write("one-more@example.com\n")


def shrink(path: Path) -> None:
    os.truncate(path, 200_000)


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """Write a file of some hundred KiB, some time ago."""
    path = tmp_path / "in.csv"
    path.write_text("email\n" + "".join(f"reader{number:06}@example.com\n" for number in range(ROWS)))
    os.utime(path, (1, 1))
    return path


@pytest.mark.parametrize("change", [overwrite, shift, grow, shrink])
def test_a_file_that_changes_while_it_is_read_is_noticed(written: Path, change: Callable[[Path], None]) -> None:
    """What was read until then is whole and of one state; then the reading ends with the reason."""
    found: list[str] = []
    file = RowFile.at(OPT_OUTS, written)

    def take() -> None:
        for row in file:
            found.append(row["email_address"])
            if len(found) == 1:
                change(written)

    with pytest.raises(ConfigurationError, match=r"in\.csv was changed while it was read"):
        take()
    assert found == [f"reader{number:06}@example.com" for number in range(len(found))]
    assert len(found) < ROWS


def test_a_file_that_changed_between_counting_and_reading_is_noticed(written: Path) -> None:
    """Its length was told before: nothing is read of another state."""
    file = RowFile.at(OPT_OUTS, written)
    assert len(file) == ROWS
    grow(written)
    with pytest.raises(ConfigurationError, match="was changed while it was read"):
        next(iter(file))


def test_a_file_that_another_takes_the_place_of_is_read_as_it_was(written: Path) -> None:
    """Editors write a new file beside it: the rows are those of the file that was opened."""
    file = RowFile.at(OPT_OUTS, written)
    new = written.with_name("new.csv")
    new.write_text("email\nother@example.com\n")
    new.replace(written)
    assert sum(1 for _ in file) == ROWS


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
@pytest.mark.parametrize(
    ("text", "is_cut"),
    [
        ("email\na@x.com\n", False),
        ("email\r\na@x.com\r\n", False),
        ("email\ra@x.com\r", False),
        ("email\na@x.com", True),
        ("email\na@x.com\n  ", False),
        ("email,key\na@x.com,1\n,", False),
        ("email\na@x.c\u0a0a", True),
    ],
)
def test_a_last_row_without_a_line_end_is_known(tmp_path: Path, encoding: str, text: str, is_cut: bool) -> None:
    """Such a file may not be whole; blanks after the last line end are no row."""
    mark = b"\xfe\xff" if encoding == "utf-16-be" else b""
    path = tmp_path / "in.csv"
    path.write_bytes(mark + text.encode(encoding))
    assert RowFile.at(OPT_OUTS, path).is_cut is is_cut


def test_a_list_of_ids_may_be_cut(tmp_path: Path) -> None:
    """The same goes for one id a line."""
    path = tmp_path / "in.txt"
    path.write_text("100\n20")
    assert RowFile.at(CAMPAIGNS, path).is_cut


def test_a_run_over_a_file_that_changes_accounts_for_what_it_read(written: Path) -> None:
    """What had been read is sent and reported, and then the reason is raised; nothing is sent of another state."""

    async def main() -> None:
        async with Sandbox() as sandbox:
            settings = OmedaSettings(app_id=sandbox.app_id, client=sandbox.client, base_url=sandbox.url)
            async with SessionManager(omeda=settings) as manager:
                run = manager.omeda.opt_outs.submit_many(RowFile.at(OPT_OUTS, written))
                outcomes = aiter(run)
                await anext(outcomes)
                shift(written)
                with pytest.raises(ConfigurationError, match="was changed while it was read"):
                    [outcome async for outcome in outcomes]
            assert run.report.total == run.report.counts[OutcomeStatus.DONE] < ROWS
            sent = {one.email_address for one in sandbox.omeda.opt_outs}
            assert sent == {f"reader{number:06}@example.com" for number in range(run.report.total)}

    run_moved(main())
