"""Connections to PostgreSQL: how they are made, what they promise, and what to tell a person
when there are none.

A URL may name several servers; whichever takes writes is used. A standby, or a server that is
read-only, counts as away.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar
from urllib.parse import urlsplit

import asyncpg
from asyncpg import exceptions as pg
from asyncpg.connect_utils import SessionAttribute

from gateway.store.base import StoreError, StoreUnavailable

Connection = asyncpg.Connection

Result = TypeVar("Result")

CONNECT_WITHIN: Final = 5.0  # seconds, each server
ANSWER_WITHIN: Final = 40.0  # seconds, more than the server gives a statement
_STATEMENT_TIMEOUT: Final = "30s"
_LOCK_TIMEOUT: Final = "5s"
_IDLE_IN_TRANSACTION: Final = "3s"  # after that a stopped process holds nobody up any more
_APPLICATION: Final = "trunkline:"
_NAME_OCTETS: Final = 63  # NAMEDATALEN: what is longer is cut by the server

# Operators may ask for more than the local disk (remote_apply), never for less.
_DURABLE: Final = (
    "SELECT set_config('synchronous_commit', 'on', false)"
    " WHERE current_setting('synchronous_commit') = 'off'"
)

_ADVICE: Final[tuple[tuple[type[BaseException], str], ...]] = (
    (pg.TargetServerAttributeNotMatched, "no server there takes writes: promote a standby"),
    (pg.ReadOnlySQLTransactionError, "it does not take writes: promote it, or name the primary"),
    (pg.InvalidPasswordError, "it refused the password: correct the one in [store] url"),
    (
        pg.InvalidAuthorizationSpecificationError,
        "it does not let this role in: look at the role in [store] url and at pg_hba.conf",
    ),
    (pg.InvalidCatalogNameError, "the database is not there: make it with createdb"),
    (
        pg.InsufficientPrivilegeError,
        "the role may not do this: make it the owner of the database",
    ),
    (
        pg.TooManyConnectionsError,
        "it has no connection left: raise its max_connections, or lower [store] connections",
    ),
    (pg.CannotConnectNowError, "it is starting or recovering: wait, or look at its log"),
    (pg.AdminShutdownError, "it was shut down, or ended this connection: start it again"),
    (pg.CrashShutdownError, "it is restarting after a crash: wait, or look at its log"),
    (pg.DiskFullError, "its disk is full: make room, writing then resumes by itself"),
    (pg.OutOfMemoryError, "it has no memory left: look at its log"),
    (pg.InsufficientResourcesError, "it lacks resources: look at its log"),
    (
        pg.LockNotAvailableError,
        "something keeps its tables locked: look for old transactions in pg_stat_activity",
    ),
    (
        pg.QueryCanceledError,
        "it took too long: look at its load and at old transactions in pg_stat_activity",
    ),
    (pg.IdleInTransactionSessionTimeoutError, "this process stood still in a transaction"),
    (pg.DeadlockDetectedError, "it could not put writes in an order: try again"),
    (pg.SerializationError, "it could not put writes in an order: try again"),
    (pg.PostgresIOError, "its disk reported an error: look at its log"),
    (pg.DataCorruptedError, "its data are damaged: restore them from a backup"),
    (pg.IndexCorruptedError, "an index is damaged: run REINDEX on it"),
    (pg.PostgresConnectionError, "the connection was lost: look whether it runs"),
    (pg.OperatorInterventionError, "an operator ended this connection"),
    (pg.InternalClientError, "the connection was lost: look whether it runs"),
    (ssl.SSLError, "TLS failed: look at sslmode and sslrootcert in [store] url"),
    (TimeoutError, "it does not answer: look whether it runs and can be reached"),
    (ConnectionResetError, "the connection was lost: look whether it runs"),
    (BrokenPipeError, "the connection was lost: look whether it runs"),
    (OSError, "nothing answers there: start it, or correct [store] url"),
)
_WRONG_URL: Final = (
    "the URL is wrong: correct [store] url, and write @ : / ? # % of a name or password as %40"
    " %3A %2F %3F %23 %25"
)
_LOST: Final = (
    pg.PostgresConnectionError,
    pg.AdminShutdownError,
    pg.CrashShutdownError,
    pg.CannotConnectNowError,
    pg.IdleInTransactionSessionTimeoutError,
    pg.ReadOnlySQLTransactionError,
    pg.InternalClientError,
    OSError,
    TimeoutError,
)
FAILURES: Final = (pg.PostgresError, pg.InterfaceError, pg.InternalClientError, OSError)


def advice_on(error: BaseException) -> str | None:
    """What to do about `error`; None if it is about what was asked, not about the server."""
    if _is_closed(error):
        return "the connection was lost: look whether it runs"
    return next((advice for kind, advice in _ADVICE if isinstance(error, kind)), None)


def is_lost(error: BaseException) -> bool:
    """Whether the connection on which `error` came is of no use any more."""
    return isinstance(error, _LOST) or _is_closed(error)


def _is_closed(error: BaseException) -> bool:
    # The library says so in words alone; its other errors of this kind are about the call.
    return isinstance(error, pg.InterfaceError) and "closed" in str(error)


def quoted(text: str) -> str:
    """`text` as a literal of SQL."""
    if "\0" in text:
        raise ValueError("PostgreSQL's text holds no NUL")
    return "'" + text.replace("'", "''") + "'"


class Link:
    """Makes the connections of one process, and words what is wrong with them."""

    def __init__(self, url: str, writer: str) -> None:
        """`writer` is the name under which other processes see what is written here."""
        self._url = url
        self.writer = writer
        self.place = _place_of(url)

    async def connect(self, **settings: str) -> Connection:
        """A connection to a server that takes writes; `settings` are of its session.

        Raises `StoreUnavailable`.
        """
        try:
            connection: Connection = await asyncpg.connect(
                self._url,
                timeout=CONNECT_WITHIN,
                command_timeout=ANSWER_WITHIN,
                statement_cache_size=1000,
                max_cached_statement_lifetime=0,
                max_cacheable_statement_size=0,
                target_session_attrs=SessionAttribute.read_write,
                server_settings={
                    "application_name": self.application(self.writer),
                    "trunkline.writer": self.writer,
                    "statement_timeout": _STATEMENT_TIMEOUT,
                    "lock_timeout": _LOCK_TIMEOUT,
                    "idle_in_transaction_session_timeout": _IDLE_IN_TRANSACTION,
                    "standard_conforming_strings": "on",
                    "client_min_messages": "error",
                    "timezone": "UTC",
                    "jit": "off",  # compiling costs more than these short statements do
                    **settings,
                },
            )
        except ValueError:  # what it says may hold a piece of the password
            raise StoreUnavailable(f"PostgreSQL at {self.place}: {_WRONG_URL}") from None
        except FAILURES as error:
            raise self.told(error) from error
        try:
            await connection.execute(_DURABLE)
            await connection.set_type_codec(  # sums of BIGINT
                "numeric", schema="pg_catalog", encoder=str, decoder=_number
            )
        except FAILURES as error:
            connection.terminate()
            raise self.told(error) from error
        except asyncio.CancelledError:
            connection.terminate()
            raise
        return connection

    def application(self, writer: str) -> str:
        """The name under which the server lists the connections of the process `writer`."""
        return (_APPLICATION + writer).encode()[:_NAME_OCTETS].decode(errors="ignore")

    def told(self, error: BaseException) -> StoreError:
        """`error` in the words of the port."""
        if isinstance(error, StoreError):
            return error
        advice = advice_on(error)
        name = type(error).__name__
        if advice is None:
            return StoreError(f"{name}: {error}")
        reason = f"{name}: {error}" if str(error) else name
        return StoreUnavailable(f"PostgreSQL at {self.place}: {advice} ({reason})")


def _place_of(url: str) -> str:
    """Which servers and database a URL means, without what is secret in it."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "[store] url"
    login, _, hosts = parts.netloc.rpartition("@")
    if not login and "@" in url:  # the password is not written as in a URL, and may be anywhere
        return "[store] url"
    return f"{hosts or 'the local socket'}{parts.path}"


def _number(text: str) -> int | float:
    return float(text) if "." in text or "a" in text or "I" in text else int(text)


class Pool:
    """A few connections for statements that stand alone; each is made when it is first needed."""

    def __init__(self, link: Link, size: int) -> None:
        self._link = link
        self._idle: list[Connection] = []
        self._free = asyncio.Semaphore(size)
        self._closed = False

    async def run(self, work: Callable[[Connection], Awaitable[Result]]) -> Result:
        """What `work` gives, an awaitable, on one of the connections.

        A connection that turns out to be lost is replaced, and `work` done again, once: so it
        must be something that may be done twice. Raises `StoreError` in the port's words.
        """
        async with self._free:
            try:
                return await self._once(work)
            except _Lost:
                self._drop_idle()  # the others went the same way
            try:
                return await self._once(work)
            except _Lost as lost:
                raise self._link.told(lost.reason) from lost.reason

    async def close(self) -> None:
        """Let go of all of them."""
        self._closed = True
        for connection in self._idle:
            await closed(connection)
        self._idle.clear()

    async def _once(self, work: Callable[[Connection], Awaitable[Result]]) -> Result:
        if self._closed:
            raise StoreUnavailable("the store is closed")
        connection = self._idle.pop() if self._idle else await self._link.connect()
        fit = False
        try:
            result = await work(connection)
            fit = True
            return result
        except FAILURES as error:
            if is_lost(error):
                raise _Lost(error) from error
            fit = True
            raise
        finally:
            if not fit or self._closed or connection.is_in_transaction():
                connection.terminate()
            else:
                self._idle.append(connection)

    def _drop_idle(self) -> None:
        for connection in self._idle:
            connection.terminate()
        self._idle.clear()


class _Lost(Exception):
    def __init__(self, reason: BaseException) -> None:
        super().__init__(str(reason))
        self.reason = reason


async def closed(connection: Connection) -> None:
    """Close `connection`, politely if it lets us."""
    try:
        await connection.close(timeout=2.0)
    except FAILURES:
        connection.terminate()
