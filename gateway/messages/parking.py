"""The receipts that wait for their message, in memory beside their rows: bounded, by id and TLV."""

from gateway.messages.receipts import NotedReceipt, Parked
from protocols.smpp.receipt import id_candidates


class Parking:
    """Receipts without a message; `limit` is `[messages] max_parked_receipts`."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parked: dict[str, Parked] = {}
        self._by_id: dict[tuple[str, str], str] = {}
        self._by_reference: dict[tuple[str, int], str] = {}

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
            self._by_id[key] = parked.id
        if parked.receipt.reference is not None:
            self._by_reference[parked.receipt.carrier, parked.receipt.reference] = parked.id

    def take(self, carrier: str, id_key: str) -> Parked | None:
        """The receipt for what the carrier calls `id_key`, which stops waiting."""
        return self._pop(self._by_id.get((carrier, id_key)))

    def take_by_reference(self, carrier: str, reference: int, to_address: str) -> Parked | None:
        """The receipt that repeats `reference` and comes from `to_address`."""
        key = self._by_reference.get((carrier, reference))
        if key is None or self._parked[key].receipt.from_address != to_address:
            return None
        return self._pop(key)

    def expire(self, before: float) -> list[Parked]:
        """Those that have waited since before `before`; they stop waiting."""
        old = [parked for parked in self._parked.values() if parked.at < before]
        for parked in old:
            self._pop(parked.id)
        return old

    def _pop(self, key: str | None) -> Parked | None:
        parked = self._parked.pop(key, None) if key is not None else None
        if parked is None:
            return None
        for id_key in _keys(parked.receipt):
            self._by_id.pop(id_key, None)
        if parked.receipt.reference is not None:
            self._by_reference.pop((parked.receipt.carrier, parked.receipt.reference), None)
        return parked


def _keys(receipt: NotedReceipt) -> list[tuple[str, str]]:
    return [(receipt.carrier, key) for key in id_candidates(receipt.carrier_id)]
