"""Which column of a file, or name in its JSON, stands for which field: known names, names that were given, the rest."""

import re
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Final

from omeda_async._masking import mask_emails
from omeda_async.errors import ConfigurationError
from omeda_async.rows._kinds import RowKind, plain

SHEET: Final = "sheet"
"""Stands in the place of a delimiter where the cells need none."""
_UNKNOWN_SHOWN: Final = 50
_NAMES_SHOWN: Final = 12
_LONGEST_SHOWN: Final = 120
_SEPARATES_ELSEWHERE: Final = "|^~"
"""Signs that separate cells in some files, may stand in an address, and are not tried as delimiters."""
_may_choose: Final = re.compile(
    r"(?!.*(?:time|date|reason|(?:ids?|ip|at|key)$)).*"
    r"(?:subscri|opt(?:ed)?(?:in|out)|status|consent|suppress|b(?:lock|lack)list|brand|deployment|newsletter)"
).match
"""Matches the plain name of a column that may say who is meant, or how far an opt-out reaches."""
_LEAVE_OUT: Final = "--ignore-other-columns (ignore_other_columns=True in Python)"
_CHOOSE: Final = "--column {field}=NAME (columns={{{field!r}: NAME}})"


class Naming:
    """The names of one file.

    Args:
        kind: What the rows are about.
        ignore: Columns to leave out, by the names the file has for them.
        columns: For fields, the names that the file has for them.
        others: Are columns left out that stand for no field?

    Raises:
        ConfigurationError: What was given contradicts itself, or names a field that there is none of.
    """

    def __init__(self, kind: RowKind, ignore: Iterable[str], columns: Mapping[str, str], *, others: bool) -> None:
        self.kind = kind
        self.ignored = {plain(name): name for name in ignore}
        self.chosen: dict[str, str] = {}
        self._others = others
        self._names: dict[str, str] = {}
        for given, name in columns.items():
            self._choose(given, name)

    def _choose(self, given: str, name: str) -> None:
        field = self.kind.field(given)
        if field is None:
            raise ConfigurationError(
                f"{given!r} is no field of {self.kind.what}: known are {', '.join(self.kind.fields)}"
            )
        taken = self._names.get(field) or self.chosen.get(plain(name))
        if taken or plain(name) in self.ignored:
            what = f"both {taken} and {name}" if field in self._names else f"{name} twice"
            raise ConfigurationError(f"column {name!r} cannot be {field}: {what} is asked for")
        self._names[field] = name
        self.chosen[plain(name)] = field

    def field(self, name: str) -> str | None:
        """Return the field that a name stands for; None when it stands for none, or is to be left out."""
        key = plain(name)
        if key in self.ignored:
            return None
        if key in self.chosen:
            return self.chosen[key]
        field = self.kind.field(name)
        return None if field in self._names else field

    def is_left_out(self, name: str) -> bool:
        """Whether a name that stands for no field is to be left out."""
        return self._others or plain(name) in self.ignored or self.kind.field(name) in self._names

    @property
    def leaves_others_out(self) -> bool:
        """Whether columns are left out without having been named."""
        return self._others

    def fields(self, names: Sequence[str], file: str, delimiter: str, hint: str = "") -> tuple[str | None, ...]:
        """Return the field of each column of a header; None for a column to be left out.

        Args:
            names: The header.
            file: The file's name.
            delimiter: What separates its cells.
            hint: What to tell beside, where the header is of no use.

        Raises:
            ConfigurationError: A column is missing, unknown, or one too many for a field.
        """
        self.check_there([set(map(plain, names))], "column", file)
        fields = tuple(map(self.field, names))
        if self.kind.target not in fields:
            raise unusable(self.kind, file, names, delimiter, hint)
        self._check_is_header(names, file)
        for position, (name, field) in enumerate(zip(names, fields, strict=True)):
            if field is not None and field in fields[:position]:
                earlier = names[fields.index(field)]
                choose = f"say which one is meant with {_CHOOSE.format(field=field)}, or "
                raise ConfigurationError(
                    f"{file}: columns {earlier!r} and {name!r} both are {field}: "
                    f"{'' if plain(earlier) == plain(name) else choose}rename one of them"
                )
        self._check_known(names, fields, file)
        return fields

    def _check_is_header(self, names: Sequence[str], file: str) -> None:
        """Refuse a header that reads like a record, as that record would not be sent."""
        target = next(name for name in names if self.field(name) == self.kind.target)
        if _reads_like_a_value(target) and not any(map(self.kind.field, names)):
            raise ConfigurationError(
                f"{file}: {shown_name(target)!r} in its first row reads like a record's and not like a column's name, "
                f"and that row would not be sent: put a row with names above it, such as {self.kind.short}; if they "
                "are names, write others"
            )

    def check_apart(self, names: Sequence[str], file: str, delimiter: str) -> None:
        """Refuse a target column that may be several: an address would be sent with what stands before it."""
        for name in names:
            sign = _sign_in(name)
            if sign and self.field(name) == self.kind.target:
                one = "tab" if delimiter == "\t" else delimiter
                raise ConfigurationError(
                    f"{file}: column {shown_name(name)!r} may be several with {sign} between them: "
                    f"say --delimiter '{sign}' (delimiter=), or --delimiter '{one}' if it is one"
                )

    def told_of_choosing(self, names: Sequence[str], fields: Sequence[str | None]) -> str:
        """Return a warning of columns left out that may say which rows are meant, or how far; empty without any."""
        left_out = (name for name, field in zip(names, fields, strict=True) if field is None)
        found = [repr(shown_name(name)) for name in left_out if _may_choose(plain(name))]
        if not found:
            return ""
        wrong = "if that is wrong, filter the file first, or say what stands for a field with --column FIELD=NAME"
        return f"; every row is taken as if there were no {_listed(found)}: {wrong} (columns=)"

    def check_there(self, found: Iterable[set[str]], word: str, file: str) -> None:
        """Refuse a name that was given and that nothing in the file has: it may be a slip for one that is there."""
        missing = {key: f"{name!r} to leave out" for key, name in self.ignored.items()}
        missing |= {plain(name): f"{name!r} for {field}" for field, name in self._names.items()}
        for names in found if missing else ():
            for name in names & missing.keys():
                del missing[name]
            if not missing:
                return
        if missing:
            raise ConfigurationError(f"{file} has no {word} {next(iter(missing.values()))}")

    def _check_known(self, names: Sequence[str], fields: Sequence[str | None], file: str) -> None:
        places = [place for place, name in enumerate(names) if fields[place] is None and not self.is_left_out(name)]
        nameless = "{}, which has no name," if len(places) == 1 else "{} (no name)"
        unknown = [repr(shown_name(names[place])) if names[place] else nameless.format(place + 1) for place in places]
        if unknown:
            blank = "" if all(names[place] for place in places) else "; the NAME of one without is ''"
            raise ConfigurationError(f"{file}: {self.unknown('column', unknown, fields)}{blank}")

    def unknown(self, word: str, names: Sequence[str], known: Container[str | None]) -> str:
        """Return in words that there are names which stand for no field, all of them, and what can be done.

        Args:
            word: What bears a name: a column of a file, a field in JSON.
            names: The names, as they are shown.
            known: The fields that others stand for.
        """
        one = len(names) == 1
        some = f"{word} {names[0]} stands" if one else f"{len(names)} {word}s stand"
        example = next((field for field in self.kind.fields if field not in known), self.kind.target)
        return (
            f"{some} for no field of {self.kind.what}{'' if one else f': {_listed(names)}'}; known are "
            f"{', '.join(self.kind.fields)}. Leave the others out with {_LEAVE_OUT}, or some of them with "
            f"--ignore-column NAME (ignore=), if every row is meant, whatever they hold; say what stands for a "
            f"field with {_CHOOSE.format(field=example)}"
        )


def unusable(kind: RowKind, file: str, names: Sequence[str], delimiter: str = "", hint: str = "") -> ConfigurationError:
    """Return the error of a file whose header has no column for what is needed, with the header as it was read."""
    by = {"": "", SHEET: "", "\t": ", separated by tabs"}.get(delimiter, f", separated by {delimiter}")
    shown = ", ".join(repr(shown_name(name)) for name in names[:_NAMES_SHOWN])
    shown += " …" if len(names) > _NAMES_SHOWN else ""
    choose = ""
    sign = next(filter(None, map(_sign_in, names)), None) if delimiter != SHEET else None
    if sign:
        choose = f"; if {sign} separates its cells, say --delimiter '{sign}' (delimiter=)"
    elif delimiter and not any(map(_reads_like_a_value, names)):
        choose = f"; {_CHOOSE.format(field=kind.target)} says which column it is"
    if delimiter and not hint:
        hint = f"; if that row is a record and no header, put a row with names above it, such as {kind.short}"
    return ConfigurationError(
        f"{file} has no usable column: its header reads {shown}{by}; {kind.expected}{choose}{hint}"
    )


def _reads_like_a_value(name: str) -> bool:
    """Whether a header cell is an address or an id rather than a column's name, by its @ or its digits."""
    return "@" in name or sum(map(str.isdigit, name)) > sum(map(str.isalpha, name))


def _sign_in(name: str) -> str | None:
    return next((sign for sign in _SEPARATES_ELSEWHERE if sign in name), None)


def shown_name(name: str) -> str:
    """Return a name as it is shown, addresses masked; long enough to be copied, and with a mark where it is cut."""
    masked = mask_emails(name)
    return masked if len(masked) <= _LONGEST_SHOWN else f"{masked[:_LONGEST_SHOWN]}…"


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _UNKNOWN_SHOWN
    return ", ".join(names[:_UNKNOWN_SHOWN]) + (f" and {more} more" if more > 0 else "")
