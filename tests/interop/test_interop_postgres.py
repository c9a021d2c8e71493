"""The contract of the store runs on Debian's server too: `make interop-postgres` adds it here."""

import pytest

from tests.postgres import admin

pytestmark = pytest.mark.interop


async def test_the_postgres_that_answers_is_debians() -> None:
    ((version,),) = await admin("SELECT version()")
    assert "Debian" in version
