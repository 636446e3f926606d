"""In what texts are written: found out, said, or guessed; and what a wrong guess may not do."""

import builtins
from typing import Any

import pytest

from omeda_async import ConfigurationError
from omeda_async.rows import CAMPAIGNS, OPT_OUTS
from tests.rows.reading import read, rows

TEXT = "email,source\nanna@x.com,zu spät\njürgen@x.com,s\n"
GUESSED = "email_address: holds letters beyond ASCII, and that the file is written in cp1252 is only guessed"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_unicode_needs_no_option(encoding: str) -> None:
    """With its mark or without."""
    file = rows(OPT_OUTS, TEXT.encode(encoding))
    assert [row["email_address"] for row in file] == ["anna@x.com", "jürgen@x.com"]
    assert file.notes == ()


def test_what_is_no_unicode_is_guessed_and_told() -> None:
    """A text may be wrong by a letter; an address may not, as what is done to another one cannot be undone."""
    file = rows(OPT_OUTS, TEXT.encode("cp1252"))
    first, second = file
    assert first.fields() == {"email_address": "anna@x.com", "source": "zu spät"}
    assert str(second.record).startswith(GUESSED)
    assert "--encoding" in str(second.record)
    assert (file.encoding, len(file.notes)) == ("cp1252", 1)
    assert file.notes[0].startswith("in.csv is not UTF-8: that it is cp1252 is a guess")


def test_ids_are_no_texts() -> None:
    """A brand whose name is only guessed is not sent either."""
    (found,) = read(OPT_OUTS, "email,brand_ids\na@x.com,ä\n".encode("cp1252")).values()
    assert found.startswith("brand_ids: holds letters beyond ASCII")
    (found,) = read(CAMPAIGNS, "ä\n".encode("cp1252"), "in.txt").values()
    assert found.startswith("campaign_id: holds letters beyond ASCII")


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1251", "Пётр Сергеевич, Москва"),
        ("cp1250", "Zażółć gęślą jaźń, Świętokrzyskie"),
        ("cp932", "東京都渋谷区"),
        ("cp1252", "Chloé à Nîmes"),
    ],
)
def test_a_guess_is_good_for_texts(encoding: str, text: str) -> None:
    """Some words are enough, if they are not too few."""
    (found,) = read(OPT_OUTS, f'email,source\na@x.com,"{text}"\n'.encode(encoding)).values()
    assert found == {"email_address": "a@x.com", "source": text}


def test_utf_8_with_damage_is_not_guessed_to_be_something_else() -> None:
    """One line that is UTF-8 tells what the file is: the others are damaged, and refused one by one."""
    found = read(OPT_OUTS, "email,source\na@x.com,ä\n".encode() + b"b@x.com,\xe4\nc@x.com,\n")
    assert found == {
        2: {"email_address": "a@x.com", "source": "ä"},
        3: "source: holds bytes that are not UTF-8: save the file as UTF-8",
        4: {"email_address": "c@x.com"},
    }


def test_json_is_never_guessed() -> None:
    """It is written in Unicode, or is none."""
    (found,) = read(OPT_OUTS, '[{"email": "a@x.com", "source": "ä"}]'.encode("cp1252"), "in.json").values()
    assert found == "holds bytes that are not UTF-8: save the file as UTF-8"


def test_without_what_guesses_rows_are_refused_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes with the command line; the library alone takes a file that is not UTF-8 for a damaged one."""
    importing = builtins.__import__

    def without(name: str, *more: Any) -> Any:
        if name == "charset_normalizer":
            raise ImportError(name)
        return importing(name, *more)

    monkeypatch.setattr(builtins, "__import__", without)
    found = read(OPT_OUTS, TEXT.encode("cp1252"))
    assert found[2] == "source: holds bytes that are not UTF-8: save the file as UTF-8"


@pytest.mark.parametrize("said", ["cp1252", "latin-1", "windows-1252"])
def test_what_is_said_is_no_guess(said: str) -> None:
    """Addresses of that encoding are taken, too."""
    file = rows(OPT_OUTS, TEXT.encode("cp1252"), encoding=said)
    assert [row["email_address"] for row in file] == ["anna@x.com", "jürgen@x.com"]
    assert file.notes == ()


@pytest.mark.parametrize(
    ("data", "said", "words"),
    [
        (TEXT.encode(), "latin-1", "is UTF-8, and would be garbled as latin-1: leave the encoding out"),
        (TEXT.encode("utf-16"), "cp1252", "begins with the mark of UTF-16, so that it cannot be cp1252"),
        (TEXT.encode("utf-8-sig"), "cp1252", "begins with the mark of UTF-8"),
        (TEXT.encode()[:-1], "utf-16", "cannot be read: it is no text in utf-16"),
        (TEXT.encode(), "klingon", "'klingon' is no encoding: such are utf-8, utf-16, cp1252"),
        (TEXT.encode(), "rot13", "'rot13' is no encoding"),
        (TEXT.encode(), "unicode_escape", "is no encoding"),
        (TEXT.encode("utf-32"), None, "is written in UTF-32: save it as UTF-8"),
        (b"email\n" + bytes(20), None, "is no text file: it holds bytes that no text has"),
    ],
)
def test_an_encoding_that_cannot_be_is_refused(data: bytes, said: str | None, words: str) -> None:
    """What a file says by its mark, or proves by being UTF-8, is stronger."""
    with pytest.raises(ConfigurationError, match=words):
        rows(OPT_OUTS, data, encoding=said)


def test_ascii_is_the_same_in_nearly_every_encoding() -> None:
    """A file of nothing else may be said to be any of them."""
    assert read(CAMPAIGNS, b"1\n2\n", "in.txt", encoding="cp1252") == {1: {"campaign_id": "1"}, 2: {"campaign_id": "2"}}


def test_bytes_that_the_encoding_lacks_spoil_their_own_row() -> None:
    """The reason names the encoding that was said."""
    (found,) = read(OPT_OUTS, b"email,source\na@x.com,\x81\n", encoding="cp1252").values()
    assert found == "source: holds bytes that are not cp1252: say another encoding, or save it as UTF-8"


def test_whoever_says_utf_8_of_another_encoding_is_told_that_it_can_be_another() -> None:
    """Saving the file anew is not the only way out."""
    (found,) = read(OPT_OUTS, "email,source\na@x.com,Zürich\n".encode("cp1252"), encoding="utf-8").values()
    assert found == "source: holds bytes that are not UTF-8: say another encoding, or save it as UTF-8"


def test_the_guess_needs_no_line_ends_of_a_kind() -> None:
    """Spreadsheets on old Macs end lines by a carriage return."""
    found = read(OPT_OUTS, TEXT.replace("\n", "\r").encode("cp1252"))
    assert found[2] == {"email_address": "anna@x.com", "source": "zu spät"}
    assert found[3].startswith(GUESSED)


def test_a_header_may_need_the_guess() -> None:
    """Columns are named as their readers know them."""
    text = "Adrèsse,Prénom\na@x.com,Chloé\n".encode("cp1252")
    found = read(OPT_OUTS, text, columns={"email": "Adrèsse"}, ignore_other_columns=True)
    assert found == {2: {"email_address": "a@x.com"}}
    with pytest.raises(ConfigurationError, match="its header reads 'Adrèsse', 'Prénom'"):
        rows(OPT_OUTS, text)
