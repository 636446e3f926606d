"""Opt-outs from the rows of a file: what rows share is read once, and each becomes what it would alone."""

import csv
import io
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from hypothesis import given, strategies as st

from omeda_async import ConfigurationError, InvalidRecord
from omeda_async.providers.omeda._converter import entry_of, opt_out_from, read_opt_out
from omeda_async.rows import OPT_OUTS, Row, RowFile

COLUMNS = ("key", "email_address", "brand_ids", "deployment_type_ids", "level", "source", "note")
CELLS = st.sampled_from(
    ["", " ", "a@b.com", "a@b.com ", "é@b.com", "none", "client", "brand", "XXG|XXH", "23", "23|x", '"q"', "\udc80"]
)
ROWS = st.lists(st.lists(CELLS, min_size=len(COLUMNS) - 1, max_size=len(COLUMNS) + 1), min_size=1, max_size=12)


def file_of(rows: Sequence[Sequence[str]]) -> RowFile:
    """Write rows below a header with columns of every kind, one of them ignored."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerows([COLUMNS, ["", "first@b.com", *[""] * 5], *rows])
    data = text.getvalue().encode("utf-8", "surrogateescape")
    return RowFile(OPT_OUTS, lambda: io.BytesIO(data), "rows.csv", ignore=["note"])


def _alone(row: Row | dict[str, Any]) -> Any:
    try:
        record = opt_out_from(dict(row))
        return entry_of(record), record.key
    except InvalidRecord as error:
        return error.field, error.reason


def _read(row: Row | dict[str, Any]) -> Any:
    try:
        return read_opt_out(row)
    except InvalidRecord as error:
        return error.field, error.reason


@given(ROWS)
def test_a_row_becomes_the_same_whatever_rows_came_before_it(rows: list[list[str]]) -> None:
    """Entry and key, or the field and the reason of its refusal, are those of a mapping with the same fields."""
    file = file_of([*rows, *rows])
    alone = [_alone(row) for row in file]
    assert [_read(row) for row in file] == alone
    assert [_read(row) for row in file] == alone  # read again, with what is remembered of the first time


@given(
    st.fixed_dictionaries(
        {"email_address": st.just("a@b.com")},
        optional={
            "brand_ids": st.sampled_from([None, (), ["XXG"]]),
            "deployment_type_ids": st.sampled_from([None, "", [23]]),
            "level": st.sampled_from([None, "", "client", "brand", "deployment type"]),
            "promo_code": st.sampled_from([None, "SPRING"]),
        },
    )
)
def test_a_mapping_reaches_as_far_as_its_model(fields: dict[str, Any]) -> None:
    """Whatever ids, level and promo code it has: the quick way decides on its level as the careful one does."""
    assert _read(fields) == _alone(fields)


def test_rows_of_two_files_are_not_taken_for_one_another() -> None:
    """What rows have alike is told by their file's header, too."""
    headers = ("brand_ids", "deployment_type_ids")
    files = [
        RowFile(OPT_OUTS, partial(io.BytesIO, f"email,{header}\na@b.com,7\nb@b.com,7\n".encode()), "")
        for header in headers
    ]
    levels = [read_opt_out(row)[0][0] for pair in zip(*files, strict=True) for row in pair]
    assert levels == ["BrandOptOut", "DeploymentTypeOptOut"] * 2


@given(st.text(alphabet='ab,; \t\r\n"\u00a0\u2028', max_size=40))
def test_a_file_has_as_many_rows_as_it_says(text: str) -> None:
    """Its length, found out without reading the cells where that can be, is the number of rows it gives."""
    data = f"email,source\nx@y,s\n{text}".encode()
    with suppress(ConfigurationError):  # a quote that is never closed
        file = RowFile(OPT_OUTS, lambda: io.BytesIO(data), "rows.csv")
        assert len(file) == len(list(file))
