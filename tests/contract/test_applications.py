"""Applications in every store."""

import msgspec
import pytest

from gateway import applications
from gateway.applications import Application
from gateway.store.base import Stale, Store
from tests.contract.rows import facts_of

ACCOUNT, OTHER = f"AC{1:032x}", f"AC{2:032x}"
FIRST = Application(
    account_sid=ACCOUNT,
    sid=f"AP{1:032x}",
    friendly_name="reminders \u2603",
    settings={"voice_url": "https://app.example/voice"},
    date_created=1.0,
    date_updated=1.0,
)


async def test_one_is_kept_changed_and_taken_away(store: Store) -> None:
    await store.commit(applications.added(FIRST))
    assert await applications.get(store, ACCOUNT, FIRST.sid) == FIRST
    assert await applications.get(store, OTHER, FIRST.sid) is None
    changed = msgspec.structs.replace(FIRST, settings={}, date_updated=2.0, version=2)
    await store.commit(applications.changed(changed))
    assert await applications.get(store, ACCOUNT, FIRST.sid) == changed
    with pytest.raises(Stale):
        await store.commit(applications.changed(changed))
    await store.commit(applications.removed(changed, 3.0))
    assert await applications.get(store, ACCOUNT, FIRST.sid) is None
    told = [(fact.type, fact.version) for fact in await facts_of(store, 3)]
    assert told == [
        ("application.created", 1),
        ("application.updated", 2),
        ("application.deleted", 3),
    ]


async def test_those_of_an_account_are_taken_away_together(store: Store) -> None:
    theirs = msgspec.structs.replace(FIRST, account_sid=OTHER)
    await store.commit([*applications.added(FIRST), *applications.added(theirs)])
    await store.commit([applications.all_removed(ACCOUNT)])
    assert await applications.get(store, ACCOUNT, FIRST.sid) is None
    assert await applications.get(store, OTHER, FIRST.sid) == theirs
