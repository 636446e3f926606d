"""Who hears events: the hooks of a session manager, and the log."""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from omeda_async.errors import ConfigurationError
from omeda_async.events import Event, Hook, log_event, logger


def is_async(called: object) -> bool:
    """Whether what a callable returns would have to be awaited, as far as can be told without calling it."""
    while isinstance(called, partial):
        called = called.func
    return _is_async(called) or _is_async(getattr(type(called), "__call__", None))  # noqa: B004 it is looked at, not asked for


def _is_async(called: object) -> bool:
    try:
        return inspect.iscoroutinefunction(called) or inspect.isasyncgenfunction(called)
    except Exception:  # noqa: BLE001 it is the caller's: looking into it may raise anything
        return False


def checked_hooks(hooks: object) -> tuple[Hook, ...]:
    """Return the hooks that somebody has given.

    Raises:
        ConfigurationError: They are no list of plain callables.
    """
    given: tuple[Any, ...] = tuple(hooks) if isinstance(hooks, Iterable) else (None,)
    if not all(map(callable, given)):
        raise ConfigurationError("hooks must be a list of callables that take an event")
    for hook in given:
        if is_async(hook):
            raise ConfigurationError(
                f"the hook {name_of(hook)} is asynchronous, and nobody could await it: give a plain function, which "
                "may put the event into a queue for a task of yours"
            )
    return given


class Hooks:
    """Whom events are told to; the same for all that a session manager does.

    Args:
        hooks: Called one after the other with every event.
    """

    def __init__(self, hooks: Iterable[Hook] = ()) -> None:
        self._hooks: tuple[Hook, ...] = tuple(hooks)
        self._failed: set[int] = set()
        self.cause: Mapping[str, Any] = {}
        """What the events of the call have in common that gives a permit back at this moment."""
        # Found out once, and not for every request.
        self.is_watched = any(hook is not log_event for hook in self._hooks)
        """Whether events are told to anybody but the log."""
        self.is_logged = log_event in self._hooks
        """Whether they are told to the log, which may leave out most of them."""

    def __iter__(self) -> Iterator[Hook]:
        return iter(self._hooks)

    def __len__(self) -> int:
        return len(self._hooks)

    def add(self, hook: Hook) -> None:
        """Tell one more, from now on.

        Raises:
            ConfigurationError: It is no plain callable.
        """
        (hook,) = checked_hooks([hook])
        self._hooks = (*self._hooks, hook)
        self.is_watched = True

    def tell(self, event: Event) -> None:
        """Tell everybody. One that fails costs the others nothing, and is logged the first time."""
        for hook in self._hooks:
            failure = failure_of(hook, event)
            if failure is not None and id(hook) not in self._failed:
                self._failed.add(id(hook))
                logger.error("%s failed: %s; whatever else it fails at is not logged", name_of(hook), failure)


def as_hooks(hooks: Iterable[Hook]) -> Hooks:
    """Return hooks as they are told events."""
    return hooks if isinstance(hooks, Hooks) else Hooks(hooks)


def observe(observer: Callable[[Any], Any], what: Any) -> None:
    """Call one observer; if it fails, that is logged by its type alone, and stops nothing."""
    failure = failure_of(observer, what)
    if failure is not None:
        logger.error("%s failed: %s", name_of(observer), failure)


def failure_of(observer: Callable[[Any], Any], what: Any) -> str | None:
    """Call one observer; return what it has failed with: the type alone, as the rest may show what no log may hold."""
    try:
        returned = observer(what)
        is_coroutine = inspect.iscoroutine(returned)
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:  # noqa: BLE001 an observer must never cost a record, with a CancelledError neither
        return type(error).__name__
    if is_coroutine:  # a function that did not show that it is one
        returned.close()
        return "it returned a coroutine, which nobody awaits"
    return None


def name_of(observer: object) -> str:
    """Return what an observer is called."""
    try:
        name = getattr(observer, "__qualname__", None)
    except Exception:  # noqa: BLE001 it is the caller's: looking into it may raise anything
        name = None
    return name if isinstance(name, str) else f"a hook of {type(observer).__name__}"
