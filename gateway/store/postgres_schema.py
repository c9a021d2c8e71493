"""The schema in PostgreSQL: numbered steps, forward, and what the catalog says of the tables.

A step is an *expand* or a *contract*. Programs that do not know an expand go on beside it; a
contract takes away what older programs need, and names the oldest one that it leaves standing.
So processes of two versions run together while they are exchanged: the new ones expand when they
start, and whoever operates them contracts with `trunkline migrate` when the last old one is gone.
"""

import re
from collections.abc import Sequence
from importlib import resources
from typing import Final

import msgspec
import structlog
from asyncpg import exceptions as pg

from gateway.store.base import FAMILIES, StoreUnavailable
from gateway.store.postgres_link import FAILURES, Connection, Link, closed
from gateway.store.sql import Keys

_log = structlog.get_logger(__name__)

LOCK: Final = 0x7472756E6B  # "trunk": the advisory lock of whoever changes the schema
_FILE: Final = re.compile(r"(\d{4})_\w+\.sql")
_KIND: Final = re.compile(r"-- (?:expand|contract (\d+))\n")
_STEPS: Final = """
CREATE TABLE IF NOT EXISTS schema_steps (
    number BIGINT PRIMARY KEY,
    name TEXT NOT NULL,
    oldest BIGINT NOT NULL,  -- the lowest schema whose programs may still run
    at TIMESTAMPTZ NOT NULL DEFAULT now()
)"""
_GENERATION: Final = re.compile(
    rf"({'|'.join(name for tables in FAMILIES.values() for name in tables)})_(\d+)"
)
_FAMILY_OF: Final = {name: family for family, names in FAMILIES.items() for name in names}


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One file of the schema. `contracts_to`: the oldest programs that it leaves (0: all)."""

    number: int
    name: str
    sql: str
    contracts_to: int


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """What a table is made of; `types` are those of its columns, as SQL writes them."""

    types: dict[str, str]
    keys: Keys


def steps() -> list[Step]:
    """The steps that this program knows, in order."""
    folder = resources.files("gateway.store") / "schema" / "postgres"
    found = []
    for file in folder.iterdir():
        match = _FILE.fullmatch(file.name)
        if match is not None:
            found.append(step_of(int(match[1]), file.name, file.read_text(encoding="utf-8")))
    return sorted(found, key=lambda step: step.number)


def step_of(number: int, name: str, sql: str) -> Step:
    """The step that a file holds; its first line says of which kind it is."""
    kind = _KIND.match(sql)
    if kind is None:
        raise ValueError(f"{name} must begin with '-- expand' or '-- contract <oldest schema>'")
    return Step(number=number, name=name, sql=sql, contracts_to=int(kind[1] or 0))


async def expand(link: Link, known: Sequence[Step]) -> list[str]:
    """Apply the expands of `known` that the database lacks, and to a new one every step; names.

    Raises `StoreUnavailable` for a database that programs with these steps can't use, and when an
    expand stands behind a contract, which only `migrate` applies.
    """
    return await _upgrade(link, known, contracting=False)


async def migrate(link: Link, known: Sequence[Step]) -> list[str]:
    """Apply all steps of `known` that the database lacks; their names. No older program may run.

    Raises `StoreUnavailable` for a database that programs with these steps can't use.
    """
    return await _upgrade(link, known, contracting=True)


async def _upgrade(link: Link, known: Sequence[Step], contracting: bool) -> list[str]:
    connection = await link.connect(statement_timeout="0", lock_timeout="0")
    applied = []
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", LOCK)
        await connection.execute(_STEPS)
        version, oldest = await _state(connection)
        if oldest > known[-1].number:
            raise StoreUnavailable(
                f"the database at {link.place} has schema {version}, which programs from schema"
                f" {oldest} on can use; this one knows {known[-1].number}: use a newer version"
            )
        pending = [step for step in known if step.number > version]
        for at, step in enumerate(pending):
            if step.contracts_to and version and not contracting:
                _refuse_if_needed(link, pending[at:])
                break
            await _apply(connection, step, oldest)
            oldest = max(oldest, step.contracts_to)
            applied.append(step.name)
    except FAILURES as error:
        raise link.told(error) from error
    finally:
        await closed(connection)
    return applied


def _refuse_if_needed(link: Link, left: Sequence[Step]) -> None:
    names = ", ".join(step.name for step in left)
    if any(not step.contracts_to for step in left):
        raise StoreUnavailable(
            f"the database at {link.place} lacks {names}: stop the processes of older versions,"
            " then run `trunkline migrate`"
        )
    _log.warning("older versions still fit; when none runs any more: trunkline migrate", left=names)


async def _state(connection: Connection) -> tuple[int, int]:
    """The schema's number (0: none yet), and the lowest whose programs may run."""
    row = await connection.fetchrow(
        "SELECT coalesce(max(number), 0), coalesce(max(oldest), 0) FROM schema_steps"
    )
    assert row is not None
    return row[0], row[1]


async def _apply(connection: Connection, step: Step, oldest: int) -> None:
    async with connection.transaction():
        await connection.execute(step.sql)
        await connection.execute(
            "INSERT INTO schema_steps (number, name, oldest) VALUES ($1, $2, $3)",
            step.number,
            step.name,
            max(oldest, step.contracts_to),
        )


# -- generations


def generation_of(table: str) -> tuple[str, int] | None:
    """The family and the number of the generation that `table` belongs to, if it does."""
    match = _GENERATION.fullmatch(table)
    return None if match is None else (_FAMILY_OF[match[1]], int(match[2]))


def is_missing_generation(error: BaseException) -> bool:
    """Whether `error` is that a generation's table is not there."""
    if not isinstance(error, pg.UndefinedTableError):
        return False
    match = re.search(r'relation "([^"]+)" does not exist', str(error))
    return match is not None and generation_of(match[1]) is not None


async def make_generation(connection: Connection, family: str, number: int) -> None:
    """Make the tables of a generation unless they are there."""
    text = resources.files("gateway.store") / "schema" / "postgres" / f"{family}.generation.sql"
    first = f"{FAMILIES[family][0]}_{number}"
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
        if await connection.fetchval("SELECT to_regclass($1)::text", first) is None:
            sql = text.read_text(encoding="utf-8").replace("{n}", str(number))
            await connection.execute(sql)


async def generations(connection: Connection, family: str) -> list[int]:
    """The numbers of the generations of `family` that are there, oldest first."""
    rows = await connection.fetch(
        "SELECT substring(relname::text FROM '[0-9]+$')::bigint FROM pg_class"
        " WHERE relkind = 'r' AND relname ~ $1 AND pg_table_is_visible(oid) ORDER BY 1",
        f"^{FAMILIES[family][0]}_[0-9]+$",
    )
    return [number for (number,) in rows]


async def drop_generation(connection: Connection, family: str, number: int) -> None:
    """Drop the tables of a generation."""
    names = ", ".join(f"{table}_{number}" for table in FAMILIES[family])
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
        await connection.execute(f"DROP TABLE IF EXISTS {names}")


# -- the catalog

_COLUMNS: Final = """
SELECT c.relname::text, a.attname::text, format_type(a.atttypid, NULL)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relkind IN ('r', 'p') AND pg_table_is_visible(c.oid) AND NOT c.relispartition
  AND c.relnamespace <> 'pg_catalog'::regnamespace
  AND a.attnum > 0 AND NOT a.attisdropped AND ($1::text[] IS NULL OR c.relname = ANY ($1))
ORDER BY c.relname, a.attnum"""
_UNIQUE: Final = """
SELECT c.relname::text, i.indisprimary,
  array(SELECT a.attname::text FROM unnest(i.indkey) WITH ORDINALITY AS k (attnum, place)
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum ORDER BY k.place)
FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
WHERE i.indisunique AND c.relkind IN ('r', 'p') AND pg_table_is_visible(c.oid)
  AND NOT c.relispartition AND ($1::text[] IS NULL OR c.relname = ANY ($1))"""


async def tables(connection: Connection, names: Sequence[str] | None = None) -> dict[str, Table]:
    """The tables called `names` (None: all), by name; those that are not there are left out."""
    types: dict[str, dict[str, str]] = {}
    for table, column, type_ in await connection.fetch(_COLUMNS, names):
        types.setdefault(table, {})[column] = type_
    primary: dict[str, tuple[str, ...]] = {}
    others: dict[str, set[str]] = {}
    for table, is_primary, columns in await connection.fetch(_UNIQUE, names):
        if is_primary:
            primary[table] = tuple(columns)
        else:
            others.setdefault(table, set()).update(columns)
    return {
        name: Table(
            types=columns,
            keys=Keys(primary=primary.get(name, ()), others=frozenset(others.get(name, ()))),
        )
        for name, columns in types.items()
    }
