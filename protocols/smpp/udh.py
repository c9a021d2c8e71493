"""The user data header (3GPP TS 23.040 §9.2.3.24): information elements before the text.

Read liberally: every element is kept, the concatenation is found wherever it stands among
others, and a header that does not hold together makes the whole payload text, with the reason.
"""

from typing import Final

import msgspec

CONCATENATION_8: Final = 0x00
CONCATENATION_16: Final = 0x08

_LENGTH_OF: Final = {CONCATENATION_8: 3, CONCATENATION_16: 4}


class Element(msgspec.Struct, frozen=True, kw_only=True):
    """One information element: its identifier and its octets."""

    identifier: int
    data: bytes


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """Part `number` (from 1) of `total` under `reference`, which is `width` bits wide."""

    reference: int
    width: int
    total: int
    number: int


class Udh(msgspec.Struct, frozen=True, kw_only=True):
    """A header as read. The text begins `octets` into the payload; 0 if there is no header.

    `problem` says why what claimed to be a header is none.
    """

    elements: tuple[Element, ...] = ()
    octets: int = 0
    problem: str = ""

    @property
    def part(self) -> Part | None:
        """Which part of a longer text follows; None if it is whole, or if the element is bad.

        Of several the last one holds (TS 23.040 §9.2.3.24).
        """
        for element in reversed(self.elements):
            if len(element.data) == _LENGTH_OF.get(element.identifier):
                *reference, total, number = element.data
                if 1 <= number <= total:
                    return Part(
                        reference=int.from_bytes(bytes(reference), "big"),
                        width=8 * len(reference),
                        total=total,
                        number=number,
                    )
        return None


def parse_udh(payload: bytes) -> Udh:
    """The header that `payload`, a short_message with the UDHI bit, begins with."""
    if not payload:
        return Udh(problem="UDHI is set and there is no user data")
    end = payload[0] + 1
    if end > len(payload):
        return Udh(problem=f"UDHL is {payload[0]} and only {len(payload) - 1} octets follow")
    elements: list[Element] = []
    at = 1
    while at < end:
        if at + 2 > end or at + 2 + payload[at + 1] > end:
            return Udh(problem=f"the information element at octet {at} is longer than UDHL allows")
        data_end = at + 2 + payload[at + 1]
        elements.append(Element(identifier=payload[at], data=payload[at + 2 : data_end]))
        at = data_end
    return Udh(elements=tuple(elements), octets=end)


def render_part(part: Part) -> bytes:
    """The header that says `part` and nothing else: 6 octets for 8 bits, 7 for 16."""
    identifier = CONCATENATION_8 if part.width == 8 else CONCATENATION_16
    data = part.reference.to_bytes(part.width // 8, "big") + bytes((part.total, part.number))
    return bytes((len(data) + 2, identifier, len(data))) + data
