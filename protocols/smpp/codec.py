"""Octets to PDUs and back: strict in what it writes, liberal in what it reads.

Each declaration of `pdu` is compiled at import to one function that reads it and one that writes
it. What the fast reader can't take goes to a slow one, which forgives what peers are known to do
(a last NUL left out, a response cut short, a C-octet TLV that miscounts its NUL, up to three
octets behind the last TLV) and otherwise says what is wrong, where, and how to answer.
"""

import struct
from collections.abc import Callable
from typing import Any, Final, cast, get_type_hints

import msgspec

from protocols.smpp.constants import MAX_SEQUENCE_NUMBER, RESPONSE, CommandStatus
from protocols.smpp.errors import LocalProtocolError, RemoteProtocolError
from protocols.smpp.fields import COctetString, Field, ReadSource, ShortMessage, WriteSource
from protocols.smpp.pdu import PDUS, Pdu
from protocols.smpp.tlv import TLVS, Tag, TlvType, check_tlv

HEADER_LENGTH: Final = 16
MAX_PDU: Final = 64 * 1024
"""How long a PDU may be on reading, unless told otherwise; octets."""

_HEADER: Final = struct.Struct(">IIII")
_TLV_HEADER: Final = struct.Struct(">HH")
_MESSAGE_PAYLOAD: Final = int(Tag.MESSAGE_PAYLOAD)

Tlvs = tuple[tuple[int, bytes], ...]


class Frame(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A PDU that was understood; a response without a body has its fields at their defaults."""

    command_id: int
    command_status: int
    sequence_number: int
    pdu: Pdu
    octets: bytes


class Malformed(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A PDU that was not understood, and `command_status` to answer it with.

    Only one that is not `recoverable` ends the stream: its length says nothing about where the
    next one starts. `command_id` and `sequence_number` are 0 where they can't be trusted.
    """

    command_id: int
    sequence_number: int
    command_status: int
    recoverable: bool
    reason: str
    octets: bytes


def name_of(command_id: int) -> str:
    """`submit_sm` for 4; the number in hex for a command that has no declaration."""
    declared = PDUS.get(command_id)
    return f"0x{command_id:08x}" if declared is None else declared.command_id.name.lower()


def encode(pdu: Pdu, *, sequence_number: int, command_status: int = 0) -> bytes:
    """The octets of a PDU.

    A response with an error status and nothing in it is written without its body, as v3.4
    §4.4.2 has it. Raises `LocalProtocolError`, naming the field, its limit and the value, for what
    the specification forbids.
    """
    try:
        return _ENCODERS[type(pdu)](pdu, command_status, sequence_number)
    except (ValueError, TypeError, OverflowError, AttributeError, struct.error) as error:
        raise LocalProtocolError(
            _fault(pdu, command_status, sequence_number) or f"{pdu!r} can't be written: {error}"
        ) from error


def fields_of(declared: type[Pdu]) -> dict[str, Field]:
    """The mandatory fields of a PDU by name, in wire order."""
    hints = get_type_hints(declared, include_extras=True)
    return {
        name: cast(Field, hint.__metadata__[0])
        for name, hint in hints.items()
        if hasattr(hint, "__metadata__")
    }


def _fault(pdu: Pdu, command_status: int, sequence_number: int) -> str:
    """What forbids this PDU to be written."""
    name = pdu.command_id.name.lower()
    lowest = 0 if pdu.command_id & RESPONSE else 1
    highest = 0xFFFF_FFFF if pdu.command_id & RESPONSE else MAX_SEQUENCE_NUMBER
    if not lowest <= sequence_number <= highest:
        return f"{name}: sequence_number is {lowest} to {highest:#x}, not {sequence_number}"
    if not 0 <= command_status <= 0xFFFF_FFFF:
        return f"{name}: command_status is an integer of 4 octets, not {command_status}"
    for field_name, field in _FIELDS[type(pdu)].items():
        fault = field.fault(getattr(pdu, field_name))
        if fault:
            return f"{name}.{field_name} {fault}"
    if getattr(pdu, "short_message", b"") and _has_payload(pdu.tlvs):
        return f"{name} has both short_message and TLV message_payload; it takes one of them"
    return ""


def _has_payload(tlvs: Tlvs) -> bool:
    return _MESSAGE_PAYLOAD in dict(tlvs)


# Length limits alone decide for these; C-octet strings are looked at in `check_tlv`.
_TLV_LIMITS: Final = {
    tag: (row.minimum, row.maximum)
    for tag, row in TLVS.items()
    if row.type is not TlvType.C_OCTET_STRING
}


def _encode_tlvs(tlvs: Tlvs) -> bytes:
    parts = []
    for tag, value in tlvs:
        length = len(value)
        limits = _TLV_LIMITS.get(tag)
        if limits is None or not limits[0] <= length <= limits[1]:
            check_tlv(tag, value)
        parts.append(_TLV_HEADER.pack(tag, length))
        parts.append(value)
    return b"".join(parts)


def _decode_tlvs(octets: bytes, offset: int, end: int) -> Tlvs:
    """All TLVs from `offset` on; raises ValueError if they don't end where the PDU does."""
    tlvs = []
    unpack = _TLV_HEADER.unpack_from
    while end - offset >= 4:
        tag, length = unpack(octets, offset)
        start = offset + 4
        offset = start + length
        if offset > end:
            raise ValueError
        tlvs.append((tag, octets[start:offset]))
    return tuple(tlvs)  # fewer than four octets can't be a TLV: some peers pad


def _mend_tlvs(octets: bytes, offset: int) -> tuple[Tlvs, str]:
    """TLVs whose C-octet strings may miscount their NUL, and what is wrong with the rest.

    Lengths one short (the NUL follows, uncounted) and one too long at the very end (the NUL was
    counted and not written) are both in the field.
    """
    tlvs: list[tuple[int, bytes]] = []
    end = len(octets)
    while end - offset >= 4:
        tag, length = _TLV_HEADER.unpack_from(octets, offset)
        start = offset + 4
        offset = start + length
        row = TLVS.get(tag)
        text = row is not None and row.type is TlvType.C_OCTET_STRING
        if text and offset == end + 1:
            offset = end
        if offset > end:
            return tuple(tlvs), (
                f"TLV 0x{tag:04x} at octet {start - 4} claims {length} octets"
                f" and {end - start} are left"
            )
        value = octets[start:offset]
        if text and b"\0" not in value and offset < end and octets[offset] == 0:
            offset += 1
        tlvs.append((tag, value))
    return tuple(tlvs), ""


def _read_slowly(declared: type[Pdu], octets: bytes) -> Pdu:
    """Read what the fast reader refused; raises `RemoteProtocolError` if nobody can.

    A response is always read as far as it goes: its status and number are what counts.
    """
    response = bool(declared.command_id & RESPONSE)
    fields = _FIELDS[declared]
    last = list(fields)[-1] if fields else ""
    values: dict[str, Any] = {}
    offset = HEADER_LENGTH
    for name, field in fields.items():
        try:
            values[name], offset = field.read(octets, offset)
        except RemoteProtocolError as error:
            if isinstance(field, COctetString) and (response or name == last):
                values[name], offset = octets[offset:].decode("latin-1"), len(octets)
            elif response:
                break
            else:
                raise RemoteProtocolError(
                    f"{name_of(declared.command_id)} of {len(octets)} octets: {name} {error}",
                    status=error.status,
                    recoverable=True,
                ) from error
    values["tlvs"], fault = _mend_tlvs(octets, offset)
    if fault and not response:
        raise RemoteProtocolError(
            f"{name_of(declared.command_id)} of {len(octets)} octets: {fault}",
            status=CommandStatus.ESME_RINVTLVSTREAM,
            recoverable=True,
        )
    return declared(**values)


_Encoder = Callable[[Any, int, int], bytes]
_Decoder = Callable[[bytes, int], Pdu]


def _build(lines: list[str], names: dict[str, object]) -> Any:
    """The function `compiled` that these lines of source define."""
    scope = dict(names)
    exec("\n".join(lines), scope)  # sources are the declarations of `pdu`, known at import
    return scope["compiled"]


def _compile_encoder(declared: type[Pdu]) -> _Encoder:
    source = WriteSource()
    response = bool(declared.command_id & RESPONSE)
    if response:
        source.lines.append("if command_status and p == EMPTY:")
        source.lines.append(
            f"    return pack({HEADER_LENGTH}, {declared.command_id:#x}, command_status, number)"
        )
    else:
        source.lines.append(f"if not 0 < number <= {MAX_SEQUENCE_NUMBER}: raise ValueError")
    source.lines.append("tlvs = p.tlvs")
    for name, field in _FIELDS[declared].items():
        field.write_source(name, source)
        if isinstance(field, ShortMessage):
            source.lines.append(f"if tlvs and {name} and has_payload(tlvs): raise ValueError")
    source.lines += [
        f"body = {source.body()}",
        "if tlvs: body += encode_tlvs(tlvs)",
        f"return pack({HEADER_LENGTH} + len(body), {declared.command_id:#x}, command_status,"
        " number) + body",
    ]
    lines = ["def compiled(p, command_status, number):", *(f"    {line}" for line in source.lines)]
    names: dict[str, object] = {
        "EMPTY": declared(),
        "pack": _HEADER.pack,
        "has_payload": _has_payload,
        "encode_tlvs": _encode_tlvs,
    }
    return cast(_Encoder, _build(lines, names))


def _compile_decoder(declared: type[Pdu]) -> _Decoder:
    source = ReadSource(HEADER_LENGTH)
    values = [
        f"{name}={field.read_source(name, source)}" for name, field in _FIELDS[declared].items()
    ]
    values.append(f"tlvs=decode_tlvs(b, {source.at()}, end) if {source.at()} < end else ()")
    lines = [
        "def compiled(b, end):",
        '    s = b.decode("latin-1")',
        *(f"    {line}" for line in source.lines),
        f"    return PDU({', '.join(values)})",
    ]
    names: dict[str, object] = {
        "PDU": declared,
        "decode_tlvs": _decode_tlvs,
        "from_bytes": int.from_bytes,
    }
    return cast(_Decoder, _build(lines, names))


_FIELDS: Final = {declared: fields_of(declared) for declared in PDUS.values()}
_ENCODERS: Final = {declared: _compile_encoder(declared) for declared in PDUS.values()}
_DECODERS: Final = {command_id: _compile_decoder(declared) for command_id, declared in PDUS.items()}


class Decoder:
    """A stream of octets, cut into PDUs: `feed` what came, then ask for `next_frame` until None.

    Gives the same frames however the stream was cut. After a `Malformed` that is not recoverable
    there is nothing more.
    """

    def __init__(self, max_pdu: int = MAX_PDU) -> None:
        self._max_pdu = max_pdu
        self._buffer = b""
        self._offset = 0
        # Pieces wait unjoined until the PDU they belong to is whole, so that a long one that
        # comes octet by octet costs no more than a short one.
        self._pieces: list[bytes] = []
        self._size = 0
        self._wanted = 4
        self._readable = True

    def feed(self, data: bytes) -> None:
        """Take octets as they came from the peer."""
        if self._readable and data:
            self._pieces.append(data)
            self._size += len(data)

    def next_frame(self) -> Frame | Malformed | None:
        """The next PDU, or None until more octets are fed."""
        if self._pieces:
            if self._size < self._wanted:
                return None
            self._join()
        buffer = self._buffer
        start = self._offset
        left = self._size
        if left < HEADER_LENGTH:
            return self._read_short(buffer[start:])
        length, command_id, command_status, sequence_number = _HEADER.unpack_from(buffer, start)
        if not HEADER_LENGTH <= length <= self._max_pdu:
            return self._unreadable(buffer[start : start + HEADER_LENGTH], length)
        if left < length:
            self._wanted = length
            return None
        end = self._offset = start + length
        self._size = left - length
        return _read(buffer[start:end], command_id, command_status, sequence_number)

    def _read_short(self, head: bytes) -> Malformed | None:
        """Less than a header: all it can tell is that its length is too short for one."""
        if len(head) < 4:
            self._wanted = 4
            return None
        length = int.from_bytes(head[:4], "big")
        if length < HEADER_LENGTH:
            return self._unreadable(head, length)
        self._wanted = HEADER_LENGTH
        return None

    def _join(self) -> None:
        rest = self._buffer[self._offset :]
        self._buffer = b"".join((rest, *self._pieces)) if rest else b"".join(self._pieces)
        self._offset = 0
        self._pieces.clear()

    def _unreadable(self, head: bytes, length: int) -> Malformed:
        self._readable = False
        self._buffer, self._offset, self._size = b"", 0, 0
        self._pieces.clear()
        # Below a header's length four octets decide, so that no more may have come.
        head = head if length >= HEADER_LENGTH else head[:4]
        return Malformed(
            command_id=0,
            sequence_number=int.from_bytes(head[12:], "big"),
            command_status=CommandStatus.ESME_RINVCMDLEN,
            recoverable=False,
            reason=(
                f"command_length is {length}; a PDU has {HEADER_LENGTH} to {self._max_pdu} octets"
            ),
            octets=head,
        )


def read_pdu(octets: bytes) -> Frame | Malformed:
    """One whole PDU, cut out by its command_length; `ValueError` if it is none."""
    if len(octets) < HEADER_LENGTH or int.from_bytes(octets[:4], "big") != len(octets):
        raise ValueError(f"{len(octets)} octets are not one PDU: {octets[:HEADER_LENGTH]!r}")
    _, command_id, command_status, sequence_number = _HEADER.unpack_from(octets)
    return _read(octets, command_id, command_status, sequence_number)


def _read(
    octets: bytes, command_id: int, command_status: int, sequence_number: int
) -> Frame | Malformed:
    decode = _DECODERS.get(command_id)
    try:
        if decode is None:
            raise RemoteProtocolError(
                f"command_id 0x{command_id:08x} is unknown",
                status=CommandStatus.ESME_RINVCMDID,
                recoverable=True,
            )
        try:
            pdu = decode(octets, len(octets))
        except (ValueError, IndexError):
            pdu = _read_slowly(PDUS[command_id], octets)
    except RemoteProtocolError as error:
        return Malformed(
            command_id=command_id,
            sequence_number=sequence_number,
            command_status=error.status,
            recoverable=True,
            reason=str(error),
            octets=octets,
        )
    return Frame(
        command_id=command_id,
        command_status=command_status,
        sequence_number=sequence_number,
        pdu=pdu,
        octets=octets,
    )
