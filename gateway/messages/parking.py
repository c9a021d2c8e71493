"""The receipts that wait for their message, in memory beside their rows: bounded, found three ways.

By the carrier's id, by the user_message_reference that they repeat, by the addresses that they
go between. One message may have several: on its way, then delivered.
"""

from collections.abc import Callable, Iterable
from typing import Final

from gateway.messages.receipts import NotedReceipt, Parked
from protocols.smpp.receipt import id_candidates

_BY_ID: Final = "id"
_BY_REFERENCE: Final = "reference"
_BY_ADDRESSES: Final = "addresses"

_Key = tuple[str, str, str, str]


class Parking:
    """Receipts without a message; `limit` is `[messages] max_parked_receipts`."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parked: dict[str, Parked] = {}  # in the order in which they came
        self._index: dict[_Key, list[str]] = {}

    def __len__(self) -> int:
        return len(self._parked)

    @property
    def full(self) -> bool:
        """Whether the next one must be refused: the carrier will bring it again."""
        return len(self._parked) >= self._limit

    def add(self, parked: Parked) -> None:
        """Let `parked` wait."""
        self._parked[parked.id] = parked
        for key in _keys(parked.receipt):
            self._index.setdefault(key, []).append(parked.id)

    def take(self, carrier: str, id_key: str) -> list[Parked]:
        """The receipts for what the carrier calls `id_key`, which stop waiting."""
        return self._pop(self._found((_BY_ID, carrier, id_key, "")))

    def take_by_reference(self, carrier: str, reference: int, to_address: str) -> list[Parked]:
        """The receipts that repeat `reference` and come from `to_address`."""
        found = self._found((_BY_REFERENCE, carrier, str(reference), ""))
        handset = to_address.lstrip("+")
        return self._pop(each for each in found if each.receipt.from_address.lstrip("+") == handset)

    def has_between(self, carrier: str, from_address: str, to_address: str) -> bool:
        """Whether any is about a text between these addresses."""
        return _addresses(carrier, from_address, to_address) in self._index

    def take_by_addresses(self, carrier: str, from_address: str, to_address: str) -> list[Parked]:
        """The receipts for a text between these, unless they are about more than one text."""
        found = self._found(_addresses(carrier, from_address, to_address))
        return self._pop(found) if len({each.receipt.carrier_id for each in found}) == 1 else []

    def drop(self, carrier: str) -> None:
        """Forget what waits for messages of `carrier`, which has another owner now."""
        self._pop(each for each in list(self._parked.values()) if each.receipt.carrier == carrier)

    def expire(self, now: float, grace_of: Callable[[str], float]) -> list[Parked]:
        """Those that have waited longer than their carrier's grace; they stop waiting."""
        return self._pop(
            [
                parked
                for parked in self._parked.values()
                if parked.at < now - grace_of(parked.receipt.carrier)
            ]
        )

    def _found(self, key: _Key) -> list[Parked]:
        return [self._parked[each] for each in self._index.get(key, ())]

    def _pop(self, found: Iterable[Parked]) -> list[Parked]:
        popped = list(found)
        for parked in popped:
            del self._parked[parked.id]
            for key in _keys(parked.receipt):
                others = self._index[key]
                others.remove(parked.id)
                if not others:
                    del self._index[key]
        return popped


def _keys(receipt: NotedReceipt) -> list[_Key]:
    carrier = receipt.carrier
    keys = [(_BY_ID, carrier, each, "") for each in id_candidates(receipt.carrier_id)]
    keys.append(_addresses(carrier, receipt.to_address, receipt.from_address))
    if receipt.reference is not None:
        keys.append((_BY_REFERENCE, carrier, str(receipt.reference), ""))
    return keys


def _addresses(carrier: str, sender: str, handset: str) -> _Key:
    return _BY_ADDRESSES, carrier, sender.lstrip("+"), handset.lstrip("+")
