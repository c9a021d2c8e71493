"""A customer's SMPP client: binds to the gateway, sends texts, prints what comes back.

It is built on smpplib and on its own reading of the headers of long texts, so that it shares no
code with the gateway or with `protocols`. All it does and sees goes out as JSON lines.
"""

import logging
import os
import select
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec
from smpplib import consts, gsm, smpp
from smpplib.client import Client
from smpplib.exceptions import ConnectionError as Disconnected
from smpplib.exceptions import PDUError

Report = Callable[[dict[str, object]], None]

_LOGGER: Final = "sims.esme"
_RECEIPT: Final = 0x04  # esm_class, message type (SMPP 3.4, 5.2.12)
_MESSAGE_TYPE: Final = 0x3C
_UDHI: Final = 0x40
# Information elements of long texts and the octets of their references (3GPP TS 23.040, 9.2.3.24).
_CONCATENATED: Final = {0x00: 1, 0x08: 2}
_TICK: Final = 0.5  # seconds between looks at the parent and at the link
_ENQUIRE_AFTER: Final = 30.0  # seconds without a PDU


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What the customer wants: bind there, send `body` `count` times, stay `wait` seconds.

    `{n}` in the body is the text's number. With `until` = "receipts" it ends as soon as every
    accepted submit_sm has its receipt.
    """

    host: str
    port: int
    system_id: str
    password: str
    bind: str = "transceiver"
    from_address: str = ""
    to_address: str = ""
    body: str = ""
    count: int = 0
    window: int = 10
    wait: float = 5.0
    until: str = "receipts"
    parent_pid: int = 0


class Customer:
    """One bind of the customer; `run` does the whole order."""

    def __init__(self, order: Order, report: Report) -> None:
        self._order = order
        self._report = report
        # What it would log is reported as an event.
        logging.getLogger(_LOGGER).setLevel(logging.CRITICAL)
        self._client = Client(
            order.host, order.port, timeout=10, allow_unknown_opt_params=True, logger_name=_LOGGER
        )
        self._outstanding: set[int] = set()
        self._awaited = 0
        self._counts = {"submitted": 0, "accepted": 0, "refused": 0, "receipts": 0, "texts": 0}
        self._parts: dict[tuple[str, str, int, int], dict[int, bytes]] = {}
        self._closed = False
        self._lost = False
        self._stopped = False
        self._heard = 0.0

    def stop(self) -> None:
        """Unbind soon, whatever is left of the order; may be called from a signal handler."""
        self._stopped = True

    def run(self) -> int:
        """Carry out the order; returns the exit status.

        0 if every submit_sm was accepted and the connection lasted.
        """
        order = self._order
        try:
            self._client.connect()
            bound = getattr(self._client, f"bind_{order.bind}")(
                system_id=order.system_id, password=order.password
            )
        except (Disconnected, PDUError) as error:
            self._report({"event": "refused", "reason": str(error) or "connection lost"})
            self._client.disconnect()
            return 1
        self._report({"event": "bound", "system_id": _text(bound.system_id)})
        self._heard = time.monotonic()
        try:
            self._send()
            self._stay()
            self._unbind()
        except (Disconnected, OSError) as error:
            self._report({"event": "disconnected", "reason": str(error) or "connection lost"})
            self._lost = True
        finally:
            self._client.disconnect()
            self._report({"event": "ended", **self._counts})
        return int(self._lost or self._counts["accepted"] < self._counts["submitted"])

    def _send(self) -> None:
        order = self._order
        for number in range(1, order.count + 1):
            parts, data_coding, esm_class = encoded(order.body.replace("{n}", str(number)), number)
            for part in parts:
                while len(self._outstanding) >= order.window and not self._ended():
                    self._read_some(_TICK)
                if self._ended():
                    return
                self._submit(part, data_coding, esm_class)
            self._read_some(0)
        deadline = time.monotonic() + 10
        while self._outstanding and time.monotonic() < deadline and not self._ended():
            self._read_some(_TICK)

    def _submit(self, part: bytes, data_coding: int, esm_class: int) -> None:
        order = self._order
        source_addr_ton, source_addr_npi = _numbering(order.from_address)
        dest_addr_ton, dest_addr_npi = _numbering(order.to_address)
        pdu = self._client.send_message(
            source_addr_ton=source_addr_ton,
            source_addr_npi=source_addr_npi,
            source_addr=order.from_address.lstrip("+"),
            dest_addr_ton=dest_addr_ton,
            dest_addr_npi=dest_addr_npi,
            destination_addr=order.to_address.lstrip("+"),
            data_coding=data_coding,
            esm_class=esm_class,
            short_message=part,
            registered_delivery=1,
        )
        self._outstanding.add(pdu.sequence)
        self._counts["submitted"] += 1

    def _stay(self) -> None:
        deadline = time.monotonic() + self._order.wait
        by_receipts = self._order.until == "receipts" and self._order.count > 0
        while not self._ended() and (left := deadline - time.monotonic()) > 0:
            if by_receipts and self._counts["receipts"] >= self._counts["accepted"]:
                return
            self._read_some(min(left, _TICK))

    def _ended(self) -> bool:
        parent = self._order.parent_pid
        return self._closed or self._stopped or bool(parent and not _alive(parent))

    def _unbind(self) -> None:
        if self._closed:
            return
        self._client.send_pdu(smpp.make_pdu("unbind", client=self._client))
        deadline = time.monotonic() + 2
        while not self._closed and time.monotonic() < deadline:
            self._read_some(_TICK)

    def _read_some(self, seconds: float) -> None:
        """Take every PDU that is there within `seconds`; keep a silent link alive."""
        wire = self._client._socket  # smpplib has no other name for it
        while not self._closed and select.select([wire], [], [], seconds)[0]:
            self._take(self._client.read_pdu())
            self._heard = time.monotonic()
            seconds = 0
        if time.monotonic() - self._heard > _ENQUIRE_AFTER:
            self._client.send_pdu(smpp.make_pdu("enquire_link", client=self._client))
            self._heard = time.monotonic()

    def _take(self, pdu: Any) -> None:
        match pdu.command:
            case "submit_sm_resp":
                self._responded(pdu)
            case "deliver_sm":
                self._delivered(pdu)
                self._answer("deliver_sm_resp", pdu)
            case "enquire_link":
                self._answer("enquire_link_resp", pdu)
            case "unbind":
                self._answer("unbind_resp", pdu)
                self._report({"event": "unbound"})
                self._closed = self._lost = True
            case "unbind_resp":
                self._closed = True
            case "enquire_link_resp":
                pass
            case command:
                self._report({"event": "other", "command": command, "command_status": pdu.status})

    def _answer(self, command: str, pdu: Any) -> None:
        answer = smpp.make_pdu(command, client=self._client)
        answer.sequence = pdu.sequence
        self._client.send_pdu(answer)

    def _responded(self, pdu: Any) -> None:
        self._outstanding.discard(pdu.sequence)
        accepted = pdu.status == consts.SMPP_ESME_ROK
        self._counts["accepted" if accepted else "refused"] += 1
        self._report(
            {
                "event": "response",
                "sequence_number": pdu.sequence,
                "command_status": pdu.status,
                "message_id": _text(pdu.message_id) if accepted else "",
            }
        )

    def _delivered(self, pdu: Any) -> None:
        addresses = {"from": _text(pdu.source_addr), "to": _text(pdu.destination_addr)}
        payload = pdu.short_message or pdu.message_payload or b""
        if pdu.esm_class & _MESSAGE_TYPE == _RECEIPT:
            self._counts["receipts"] += 1
            self._report(
                {
                    "event": "receipt",
                    **addresses,
                    "message_id": _text(pdu.receipted_message_id),
                    "message_state": pdu.message_state,
                    "text": payload.decode("latin-1"),
                }
            )
            return
        body = self._whole(addresses["from"], addresses["to"], pdu, payload)
        if body is not None:
            self._counts["texts"] += 1
            self._report({"event": "text", **addresses, "body": body})

    def _whole(self, sender: str, recipient: str, pdu: Any, payload: bytes) -> str | None:
        """The text that is whole with this part, or None."""
        reference, total, number, content = _part(pdu, payload)
        if total == 1:
            return decoded(content, pdu.data_coding)
        parts = self._parts.setdefault((sender, recipient, reference, total), {})
        parts[number] = content
        if len(parts) < total:
            return None
        del self._parts[(sender, recipient, reference, total)]
        return decoded(b"".join(parts[number] for number in sorted(parts)), pdu.data_coding)


def _part(pdu: Any, payload: bytes) -> tuple[int, int, int, bytes]:
    """Reference, total, number and content of a part; total 1 for a text alone."""
    if pdu.sar_msg_ref_num is not None:
        return pdu.sar_msg_ref_num, pdu.sar_total_segments, pdu.sar_segment_seqnum, payload
    if not pdu.esm_class & _UDHI or not payload:
        return 0, 1, 1, payload
    header, content = payload[1 : 1 + payload[0]], payload[1 + payload[0] :]
    while len(header) >= 2:
        kind, length = header[0], header[1]
        value, header = header[2 : 2 + length], header[2 + length :]
        wide = _CONCATENATED.get(kind, 0)
        if wide and length == wide + 2:
            return int.from_bytes(value[:wide], "big"), value[wide], value[wide + 1], content
    return 0, 1, 1, content


def encoded(text: str, reference: int) -> tuple[list[bytes], int, int]:
    """The short_messages of `text`, with their data_coding and esm_class.

    The default alphabet where smpplib has it right, else UCS-2; no escape or surrogate pair is
    cut (smpplib's own splitting cuts both).
    """
    try:
        if "`" in text or "\x1b" in text:  # its table takes both for other characters
            raise UnicodeError
        units = [gsm.gsm_encode(character) for character in text]
        data_coding, alone, room = consts.SMPP_ENCODING_DEFAULT, 160, 153
    except UnicodeError:
        units = [character.encode("utf-16-be") for character in text]
        data_coding, alone, room = consts.SMPP_ENCODING_ISO10646, 140, 134
    if sum(map(len, units)) <= alone:
        return [b"".join(units)], data_coding, consts.SMPP_MSGMODE_DEFAULT
    parts = list(_filled(units, room))
    headers = (bytes((5, 0, 3, reference & 0xFF, len(parts), n + 1)) for n in range(len(parts)))
    pieces = [header + part for header, part in zip(headers, parts, strict=True)]
    return pieces, data_coding, _UDHI


def _filled(units: list[bytes], room: int) -> Iterator[bytes]:
    part = b""
    for unit in units:
        if len(part) + len(unit) > room:
            yield part
            part = b""
        part += unit
    yield part


def decoded(content: bytes, data_coding: int) -> str:
    """The text that `content` stands for; octets of an unknown coding are shown as Latin-1."""
    if data_coding == consts.SMPP_ENCODING_ISO10646:
        return content.decode("utf-16-be", "replace")
    if data_coding != consts.SMPP_ENCODING_DEFAULT:
        return content.decode("latin-1")
    characters, octets = [], iter(content)
    for octet in octets:
        index = 0x80 + next(octets, 0x20) if octet == 0x1B else octet
        characters.append(_character(index))
    return "".join(characters)


def _character(index: int) -> str:
    if index == 0x5F:  # where smpplib's table has a grave accent
        return "\u00a7"
    if index == 0x8A:
        return "\f"
    return gsm.GSM_CHARACTER_TABLE[index] if index < len(gsm.GSM_CHARACTER_TABLE) else "\ufffd"


def _numbering(address: str) -> tuple[int, int]:
    """Type of number and numbering plan (SMPP 3.4, 5.2.5 and 5.2.6)."""
    digits = address.lstrip("+")
    if not digits.isdigit():
        return consts.SMPP_TON_ALNUM, consts.SMPP_NPI_UNK
    if len(digits) <= 6:
        return consts.SMPP_TON_NWSPEC, consts.SMPP_NPI_UNK
    return consts.SMPP_TON_INTL, consts.SMPP_NPI_ISDN


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.rstrip(b"\0").decode("latin-1")
    return "" if value is None else str(value)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
