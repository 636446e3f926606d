"""The state of an account as text, for stores that keep it so: one versioned JSON value."""

import functools
import math
from collections import deque
from collections.abc import Callable
from typing import Any

import attrs
import cattrs
import orjson
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn

from omeda_async.limits._account_state import AccountState
from omeda_async.limits._rate_limit import RateLimit, Window
from omeda_async.limits._store import Ask, Reply, StoreRefused

VERSION = 1
_OMITTED = cattrs.override(omit=True)


def dump_state(state: AccountState) -> str:
    """Write a state."""
    plain = {"version": VERSION, **_converter().unstructure(state)}
    return orjson.dumps(plain, option=orjson.OPT_NON_STR_KEYS).decode()


def load_state(text: str | bytes, uniform: Callable[[], float]) -> AccountState:
    """Read a state.

    Raises:
        StoreRefused: It is none, or one of another version.
    """
    try:
        plain = orjson.loads(text)
        version = plain.pop("version")
        if version != VERSION:
            raise of_another_version(version)
        state = _converter().structure(_with_limits(plain), AccountState)
    except (ValueError, TypeError, LookupError, AttributeError, cattrs.BaseValidationError):
        raise StoreRefused("what it keeps is not the state of an account's limits: remove it") from None
    state.limits.draw_from(uniform)
    return state


def of_another_version(version: object) -> StoreRefused:
    """Make the error for a state that has another format."""
    return StoreRefused(
        f"another version of omeda-async keeps its limits there (format {version}, and this one's is {VERSION})"
    )


def dump_ask(ask: Ask) -> str:
    """Write what a client tells and wants."""
    return orjson.dumps(_converter().unstructure(ask)).decode()


def load_reply(text: str | bytes) -> Reply:
    """Read what a client gets."""
    return _converter().structure(orjson.loads(text), Reply)


@functools.cache
def _converter() -> cattrs.Converter:
    converter = cattrs.Converter(detailed_validation=False)

    def write(kind: type[Any]) -> Callable[[Any], Any]:
        numbers: dict[str, Any] = {
            field.name: cattrs.override(unstruct_hook=_number) for field in attrs.fields(kind) if field.type is float
        }
        return make_dict_unstructure_fn(kind, converter, _cattrs_include_init_false=True, uniform=_OMITTED, **numbers)

    def read(kind: type[Any]) -> Callable[[Any, Any], Any]:
        return make_dict_structure_fn(kind, converter, _cattrs_include_init_false=True, uniform=_OMITTED)

    converter.register_unstructure_hook_factory(attrs.has, write)
    converter.register_structure_hook_factory(attrs.has, read)
    converter.register_structure_hook(RateLimit, _rate_limit)
    converter.register_unstructure_hook_func(lambda kind: kind == deque[float], list)
    converter.register_structure_hook_func(lambda kind: kind == deque[float], lambda plain, _: deque(plain))
    return converter


def _number(value: float) -> float | str:
    """Write a number: JSON has no infinity, and ``float`` reads these words."""
    return value if math.isfinite(value) else str(value)


def _with_limits(plain: Any) -> Any:
    """Put the limit that holds where none is named."""
    holds = plain["limits"]["rate_limit"]
    for part in (plain["limits"]["_caution"], *plain["clients"].values()):
        part.setdefault("rate_limit", holds)
    return plain


def _rate_limit(plain: Any, _: object) -> RateLimit:
    others = {name: value for name, value in plain.items() if name != "windows"}
    return RateLimit(*[Window(**window) for window in plain["windows"]], **others)
