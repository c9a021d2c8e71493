"""An SMSC that shares no code with the gateway: it keeps octets, and smpplib reads them.

It accepts every bind and every submit_sm. Parts are put together here by their headers alone
(3GPP TS 23.040, 9.2.3.24.1 and 9.2.3.24.8), decoded with codecs that are not ours either.
"""

import socketserver
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gsm0338
from smpplib import smpp
from smpplib.client import SimpleSequenceGenerator

HEADER = struct.Struct(">IIII")
ENQUIRE_LINK, UNBIND, SUBMIT_SM = 0x15, 0x06, 0x04
RESPONSE = 0x80000000
UDHI = 0x40
GSM, UCS2 = 0, 8
_NUMBERS = SimpleSequenceGenerator()  # smpplib makes no PDU without one
MAX_OCTETS = 140  # of one short message on the air, where GSM characters have 7 bits


class OctetSmsc(socketserver.ThreadingTCPServer):
    """Listens on a free port; `submits` are the submit_sm as they came."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Bind)
        self.submits: list[bytes] = []
        self.lock = threading.Lock()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])

    def keep(self, octets: bytes) -> int:
        """Write a submit_sm down; how many there are."""
        with self.lock:
            self.submits.append(octets)
            return len(self.submits)


class Bind(socketserver.BaseRequestHandler):
    """One connection."""

    server: OctetSmsc

    def handle(self) -> None:
        """Answer every request until the peer goes."""
        while octets := self._read():
            _, command_id, _, number = HEADER.unpack_from(octets)
            if command_id == SUBMIT_SM:
                body = b"%d\0" % self.server.keep(octets)
            elif command_id in (ENQUIRE_LINK, UNBIND):
                body = b""
            elif command_id & RESPONSE:
                continue
            else:
                body = b"octets\0"  # system_id of a bind response
            answer = HEADER.pack(16 + len(body), command_id | RESPONSE, 0, number) + body
            self.request.sendall(answer)

    def _read(self) -> bytes:
        head = self._exactly(4)
        return head + self._exactly(struct.unpack(">I", head)[0] - 4) if head else b""

    def _exactly(self, count: int) -> bytes:
        octets = b""
        while len(octets) < count:
            try:
                more = self.request.recv(count - len(octets))
            except ConnectionError:
                return b""
            if not more:
                return b""
            octets += more
        return octets


@contextmanager
def octet_smsc() -> Iterator[OctetSmsc]:
    """One that runs until the end of the block."""
    with OctetSmsc() as smsc:
        thread = threading.Thread(target=smsc.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield smsc
        smsc.shutdown()
        thread.join()


class Text:
    """The parts of one text as they were read."""

    def __init__(self, total: int, data_coding: int) -> None:
        self.total = total
        self.data_coding = data_coding
        self.parts: dict[int, bytes] = {}

    def body(self) -> str:
        """What it says; every part must be readable by itself."""
        assert sorted(self.parts) == list(range(1, self.total + 1))
        return "".join(decoded(self.parts[n], self.data_coding) for n in sorted(self.parts))


def texts(submits: list[bytes]) -> dict[tuple[str, int], Text]:
    """The texts by recipient and reference (0: alone)."""
    found: dict[tuple[str, int], Text] = {}
    for octets in submits:
        pdu = smpp.parse_pdu(
            octets, client=SimpleSequenceGenerator(), allow_unknown_opt_params=True
        )
        reference, total, number, content = part_of(pdu)
        assert on_the_air(pdu, content) <= MAX_OCTETS
        key = (pdu.destination_addr.decode(), reference)
        text = found.setdefault(key, Text(total, pdu.data_coding))
        assert (text.total, text.data_coding) == (total, pdu.data_coding)
        assert number not in text.parts
        text.parts[number] = content
    return found


def part_of(pdu: Any) -> tuple[int, int, int, bytes]:
    """Reference, total, number and content."""
    octets = pdu.short_message
    if not pdu.esm_class & UDHI:
        return 0, 1, 1, octets
    elements, content = octets[1 : 1 + octets[0]], octets[1 + octets[0] :]
    kind, length = elements[0], elements[1]
    width = {0x00: 1, 0x08: 2}[kind]
    assert length == width + 2 == len(elements) - 2
    reference = int.from_bytes(elements[2 : 2 + width], "big")
    return reference, elements[2 + width], elements[3 + width], content


def on_the_air(pdu: Any, content: bytes) -> int:
    """Octets of the user data: GSM characters are packed behind the header, from a septet on."""
    header = len(pdu.short_message) - len(content)
    if pdu.data_coding != GSM:
        return header + len(content)
    septets = (header * 8 + 6) // 7 + len(content)
    return (septets * 7 + 7) // 8


def decoded(content: bytes, data_coding: int) -> str:
    """The text of one part; raises if it ends in the middle of a character."""
    if data_coding == UCS2:
        return content.decode("utf-16-be")
    assert data_coding == GSM
    assert not content.endswith(b"\x1b")
    return str(gsm0338.Codec().decode(content)[0])
