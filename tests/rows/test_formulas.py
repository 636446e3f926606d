"""Cells that a spreadsheet would run: written as text, and read back as they were."""

import pytest
from hypothesis import given, strategies as st

from omeda_async.rows._formulas import quoted, unquoted

SIGNS = "=+-@＝＋－＠﹦﹢﹣﹫"  # noqa: RUF001 those that a spreadsheet takes for the others
BEFORE = ["", " ", "\t", "\r", "\n", "\r\n", "\xa0", "\u3000", "'", "''", '"', "'\"", " '", "' ", "\ufeff", "\u200b "]


@pytest.mark.parametrize("before", BEFORE, ids=ascii)
@pytest.mark.parametrize("sign", SIGNS, ids=ascii)
def test_a_formula_is_written_as_text_whatever_stands_before_it(before: str, sign: str) -> None:
    """An apostrophe is what every spreadsheet knows for it; reading takes exactly that one off."""
    cell = f"{before}{sign}cmd|' /C calc'!A0"
    assert quoted(cell) == f"'{cell}"
    assert unquoted(quoted(cell)) == cell


@pytest.mark.parametrize("cell", ["\tplain", "\rplain", "\nplain", "'\tplain"], ids=ascii)
def test_what_begins_with_a_control_character_is_written_as_text(cell: str) -> None:
    """Some programs drop it, and look at what comes next."""
    assert quoted(cell) == f"'{cell}"
    assert unquoted(quoted(cell)) == cell


@pytest.mark.parametrize("cell", ["", "a=b", "anna@example.com", "'quoted'", " plain", '"a"', "5 - 3", "1+1"])
def test_other_cells_stay_as_they_are(cell: str) -> None:
    """Both ways: an apostrophe of their own is not taken off."""
    assert quoted(cell) == cell
    assert unquoted(cell) == cell


@given(st.text(alphabet=st.sampled_from("=+-@＝'\" \t\r\n,;|ab"), max_size=6))  # noqa: RUF001 the same
def test_a_cell_is_read_back_as_what_was_written(cell: str) -> None:
    """Whatever it holds."""
    assert unquoted(quoted(cell)) == cell
