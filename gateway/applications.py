"""Applications: what runs for calls and texts, under a name of its own, for who refers to it."""

from collections.abc import Sequence
from typing import Final

import msgspec

from gateway.events import FactType, fact
from gateway.sids import APPLICATION, is_sid
from gateway.store.base import Delete, Insert, Query, Row, Store, Update, Write


class Application(msgspec.Struct, frozen=True, kw_only=True):
    """One application; `settings` are its URLs and methods, by their names as REST shows them."""

    account_sid: str
    sid: str
    friendly_name: str
    settings: dict[str, str]
    date_created: float
    date_updated: float
    version: int = 1


COLUMNS: Final = Application.__struct_fields__
_CHANGEABLE: Final = ("friendly_name", "settings", "date_updated", "version")
_KEY: Final = ("account_sid", "sid")

INSERT: Final = Insert(table="applications", columns=COLUMNS)
UPDATE: Final = Update(table="applications", key=_KEY, columns=_CHANGEABLE, guard="version")
DELETE: Final = Delete(table="applications", key=_KEY)
_DELETE_ACCOUNT: Final = Delete(table="applications", key=("account_sid",))
_GET: Final = Query(
    "application_get",
    f"SELECT {', '.join(COLUMNS)} FROM applications WHERE account_sid = $1 AND sid = $2",
)


async def get(store: Store, account_sid: str, sid: str) -> Application | None:
    """An application of the account."""
    if not is_sid(sid, APPLICATION):
        return None
    found = read(await store.fetch(_GET, account_sid, sid))
    return found[0] if found else None


def read(rows: Sequence[Row]) -> list[Application]:
    """What rows hold."""
    found = []
    for row in rows:
        fields = dict(zip(COLUMNS, row, strict=True))
        fields["settings"] = msgspec.json.decode(fields["settings"], type=dict[str, str])
        found.append(Application(**fields))
    return found


def added(application: Application) -> list[Write]:
    """The writes that make it exist."""
    row = msgspec.structs.astuple(_packed(application))
    return [(INSERT, row), _happened(application, FactType.APPLICATION_CREATED)]


def changed(application: Application) -> list[Write]:
    """The writes that make it, one version above what is stored, the stored one."""
    packed = _packed(application)
    row = tuple(getattr(packed, name) for name in (*_KEY, *_CHANGEABLE))
    return [(UPDATE, row), _happened(application, FactType.APPLICATION_UPDATED)]


def removed(application: Application, now: float) -> list[Write]:
    """The writes that take it away."""
    gone = msgspec.structs.replace(application, date_updated=now, version=application.version + 1)
    key = (application.account_sid, application.sid)
    return [(DELETE, key), _happened(gone, FactType.APPLICATION_DELETED)]


def all_removed(account_sid: str) -> Write:
    """The write that takes away all of an account that is closed."""
    return _DELETE_ACCOUNT, (account_sid,)


def _packed(application: Application) -> Application:
    settings: object = msgspec.json.encode(application.settings).decode()
    return msgspec.structs.replace(application, settings=settings)


def _happened(application: Application, kind: FactType) -> Write:
    return fact(
        *(application.account_sid, application.sid, application.version, kind),
        *(application.date_updated, {}),
    )
