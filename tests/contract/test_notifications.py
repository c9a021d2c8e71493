"""Old notifications are forgotten, on every backend of the store."""

from gateway.messages import notifications
from gateway.store.base import Query, Store
from tests.contract.rows import notification

BEFORE = 1_700_000_000.0
LEFT = Query(
    "left", "SELECT account_sid, date_created FROM notifications ORDER BY account_sid, sid"
)


async def test_what_is_older_goes_page_by_page_of_every_account(store: Store) -> None:
    for account_sid, old in (("AC1", 501), ("AC2", 3)):
        times = [BEFORE - 9.0] * old + [BEFORE, BEFORE + 9.0]
        await store.commit([notification(account_sid, at, n) for n, at in enumerate(times)])
    assert await notifications.forget(store, BEFORE - 10.0) == 0
    assert await notifications.forget(store, BEFORE) == 504
    assert await store.fetch(LEFT) == [
        (account_sid, at) for account_sid in ("AC1", "AC2") for at in (BEFORE, BEFORE + 9.0)
    ]
    assert await notifications.forget(store, BEFORE) == 0
