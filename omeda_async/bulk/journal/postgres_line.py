"""A process's connection to the journal of a shared run, which is made anew where it is lost."""

from contextlib import ExitStack, suppress
from typing import Final

from omeda_async._postgres_blocking import Connection, PostgresFailed, failing
from omeda_async.bulk.journal.postgres_link import Stored, linked, stored_at, usable
from omeda_async.bulk.journal.postgres_lock import check_server
from omeda_async.bulk.journal.postgres_tables import PERFORMING, bring_up_to_date, check_rights
from omeda_async.bulk.journal.url import JournalUrl
from omeda_async.errors import JournalError

# Who is suspended in the middle of a transaction must not keep others from its chunk.
_IDLE: Final = "SELECT set_config('idle_in_transaction_session_timeout', %s, false)"


class Line:
    """A connection to the journal of a shared run. Each method blocks, and raises a JournalError where it fails.

    Args:
        url: Where.
        idle: Seconds that a transaction may rest.
        within: Seconds that a statement may take, if others than usual.
    """

    def __init__(self, url: JournalUrl, idle: float, within: float | None = None) -> None:
        self.url = url
        self.was_open = False
        """Whether it was ever there."""
        self.is_away = False
        """Whether the server was away when a connection was last to be made."""
        self.is_unbegun = False
        """Whether there was no journal when it was last looked for: nobody has filled one yet, or it was removed."""
        self._idle, self._within = idle, within
        self._stack = ExitStack()
        self._sql: Connection | None = None

    @property
    def is_lost(self) -> bool:
        """Whether there is no connection: another try may find one."""
        return self._sql is None or self._sql.closed

    def connected(self) -> Connection:
        """Return the connection; a new one where there is none."""
        if self._sql is None or self._sql.closed:
            self.close()
            try:
                with usable(self.url):
                    self._sql, self.is_away = self._connected(), False
            except BaseException:
                self.close()
                raise
            self.was_open = True
        return self._sql

    def _connected(self) -> Connection:
        try:
            connection = self._stack.enter_context(linked(self.url, self._within))
            with failing(connection):
                check_server(connection, self.url)
                if bring_up_to_date(connection):
                    check_rights(connection, PERFORMING)
                connection.execute(_IDLE, (f"{max(1.0, self._idle * 1000):.0f}ms",))
        except PostgresFailed as error:
            self.is_away = error.is_away
            raise
        return connection

    def stored(self) -> Stored:
        """Return the shared run that it is.

        Raises:
            JournalError: There is none.
        """
        connection = self.connected()
        with usable(self.url), failing(connection):
            found = stored_at(connection, self.url)
            self.is_unbegun = found is None
            return shared(found, self.url)

    def close(self) -> None:
        """Close it; it may be opened again."""
        self._sql = None
        with suppress(JournalError, PostgresFailed):
            self._stack.close()


def shared(stored: Stored | None, url: JournalUrl) -> Stored:
    """Return what is kept there, if it is a shared run.

    Raises:
        JournalError: There is none.
    """
    if stored is None:
        text = f"there is no journal {url}: nobody has filled a run of this name there, or it was removed"
        raise JournalError(text, missing="journal")
    if stored.chunk is None:
        text = f"the journal {url} is that of a plain run, which one process performs: resume it as such"
        raise JournalError(text, missing="journal")
    return stored
