"""How far dedup has come with a partition: the row that stands beside the keys of its index.

Each position is of one cluster. A position in the input is counted in *marks*: the offset in the
raw topic and a base, which is 0 until the topic is made anew and its offsets begin again; the
mark is what the header `offset` says, and so it only grows.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

FORMAT: Final = 1


class State(msgspec.Struct, frozen=True, kw_only=True):
    """`inputs`: the mark of the next record to be read. `outputs`: the offset in the clean topic
    before which everything is in the index. `epochs`: the highest epoch seen there. `highest`: of
    the ids of facts. `at`: when this was written, in seconds since the epoch."""

    format: int = FORMAT
    inputs: Mapping[str, int] = {}
    bases: Mapping[str, int] = {}
    outputs: Mapping[str, int] = {}
    epochs: Mapping[str, int] = {}
    highest: int = 0
    at: float = 0.0

    def base(self, cluster: str) -> int:
        """What a raw offset lacks to be a mark."""
        return self.bases.get(cluster, 0)

    def read_up_to(self, marks: Mapping[str, int], highest: int) -> "State":
        """After records up to (but without) these marks; nothing goes back."""
        return msgspec.structs.replace(
            self, inputs=_latest(self.inputs, marks), highest=max(self.highest, highest)
        )

    def counted_from(self, bases: Mapping[str, int]) -> "State":
        """With bases that were found in records; those of a topic before have lower ones."""
        return msgspec.structs.replace(self, bases=_latest(self.bases, bases))

    def written_up_to(self, cluster: str, offset: int, epoch: int) -> "State":
        """After everything before `offset` of the clean topic in `cluster`."""
        return msgspec.structs.replace(
            self,
            outputs=_latest(self.outputs, {cluster: offset}),
            epochs=_latest(self.epochs, {cluster: epoch}),
        )

    def made_at(self, now: float) -> "State":
        """As it is written; a clock that goes back does not make it older."""
        return msgspec.structs.replace(self, at=max(self.at, now))


def _latest(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {**one, **{name: max(at, one.get(name, at)) for name, at in other.items()}}


_encode: Final = msgspec.json.Encoder().encode
_decoder: Final = msgspec.json.Decoder(State)


def encode(state: State) -> bytes:
    """As it stands in the index."""
    return _encode(state)


def decode(octets: bytes) -> State | None:
    """None for what another version of the program wrote, or nobody."""
    try:
        state = _decoder.decode(octets)
    except msgspec.DecodeError:
        return None
    return state if state.format == FORMAT else None
