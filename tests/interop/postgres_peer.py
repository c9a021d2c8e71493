"""Debian's PostgreSQL under tests that would run on the one of the Python package.

As a plugin of pytest, `-p tests.interop.postgres_peer`: the server starts before the first test
and ends after the last. It is another build, some major versions older, with another libc.
"""

import os
from pathlib import Path
from typing import Final

import pytest

from tests.postgres import SHARED_URL, PostgresServer

_PROGRAMS: Final = Path("/usr/lib/postgresql")  # <major version>/bin below it
_server = pytest.StashKey[PostgresServer]()


class DebianPostgres(PostgresServer):
    """The newest server that Debian's packages brought."""

    def _programs(self) -> Path:
        found = sorted(_PROGRAMS.glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
        assert found, "PostgreSQL is not here: tests/interop/provide postgres"
        return found[-1].parent


def pytest_configure(config: pytest.Config) -> None:
    """Start it, and name it to `tests.postgres`."""
    server = config.stash[_server] = DebianPostgres()
    server.start()
    os.environ[SHARED_URL] = server.url()


def pytest_unconfigure(config: pytest.Config) -> None:
    """End it."""
    if _server in config.stash:
        config.stash[_server].remove()
