"""The registrar's bindings in the store, so that phones stay registered when we start again.

`protocols/sip/registrar` gives out each change as a value: `writes_of` makes it durable, before
the REGISTER is answered, and `load` gives what is left after a start, for its `restore`.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from gateway.store.base import Delete, Insert, Query, Store, Update, Write
from protocols.sip.binding import REMOVED, Binding
from protocols.sip.registrar import Change

_COLUMNS: Final = ("aor", "id", "account_sid", "expires_at", "binding")

INSERT: Final = Insert(table="sip_bindings", columns=_COLUMNS, ignore_taken=("aor", "id"))
UPDATE: Final = Update(
    table="sip_bindings", key=("aor", "id"), columns=("account_sid", "expires_at", "binding")
)
DELETE: Final = Delete(table="sip_bindings", key=("aor", "id"))
DELETE_ACCOUNT: Final = Delete(table="sip_bindings", key=("account_sid",))
ALL: Final = Query(
    "sip_bindings_all", "SELECT account_sid, binding FROM sip_bindings ORDER BY aor, id"
)
OF_ACCOUNT: Final = Query(
    "sip_bindings_of_account",
    "SELECT binding FROM sip_bindings WHERE account_sid = $1 AND expires_at > $2"
    " AND (aor, id) > ($3, $4) ORDER BY aor, id LIMIT $5",
)

_decode = msgspec.json.Decoder(Binding).decode
_encode = msgspec.json.Encoder().encode


def writes_of(account_sid: str, changes: Iterable[Change]) -> list[Write]:
    """The writes that make the changes of one account's bindings durable."""
    writes: list[Write] = []
    for change in changes:
        binding = change.binding
        if change.cause in REMOVED:
            writes.append(removed(binding.aor, binding.id))
            continue
        written = _encode(binding).decode()
        key, rest = (binding.aor, binding.id), (account_sid, binding.expires_at, written)
        # Whichever it is, the row is there and as it should be.
        writes.append((INSERT, (*key, *rest)))
        writes.append((UPDATE, (*key, *rest)))
    return writes


def removed(aor: str, binding_id: str) -> Write:
    """The write after which a binding is not there, if it ever was."""
    return DELETE, (aor, binding_id)


async def load(store: Store) -> list[tuple[str, Binding]]:
    """Every binding that is stored, those whose time is over too, and whose account's it is."""
    return [(account_sid, _decode(written)) for account_sid, written in await store.fetch(ALL)]


async def of_account(
    store: Store, account_sid: str, now: float, limit: int, after: tuple[str, str] = ("", "")
) -> list[Binding]:
    """The first `limit` bindings of an account that are good at `now`, by address-of-record.

    `after` is the address-of-record and the id that they follow.
    """
    rows = await store.fetch(OF_ACCOUNT, account_sid, now, *after, limit)
    return [_decode(written) for (written,) in rows]
