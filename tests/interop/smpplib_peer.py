"""A customer made with smpplib: a client that writes down all that comes.

Faults of smpplib 2.2.4 that the tests live with: `make_parts` cuts escape pairs and surrogate
pairs at the border of two parts (so a gateway has to join octets before it decodes them); its
alphabet has a grave accent where GSM 03.38 has the section sign, and lacks the form feed.
"""

import select
import time
from typing import Any

from smpplib import consts, gsm, smpp
from smpplib.client import Client

WITHIN = 60.0


def numbering(address: str) -> tuple[int, int]:
    """Type of number and numbering plan."""
    if address.startswith("+"):
        return consts.SMPP_TON_INTL, consts.SMPP_NPI_ISDN
    return consts.SMPP_TON_ALNUM, consts.SMPP_NPI_UNK


class Esme:
    """One connection to the SMPP server on `port`."""

    def __init__(self, port: int) -> None:
        self.client = Client("127.0.0.1", port, timeout=10, allow_unknown_opt_params=True)
        self.came: list[Any] = []
        self.client.connect()

    def bind(self, kind: str, system_id: str, password: str) -> Any:
        """Bind; the response. smpplib raises PDUError for a refusal."""
        return getattr(self.client, f"bind_{kind}")(system_id=system_id, password=password)

    def submit(self, source: str, destination: str, body: str) -> list[int]:
        """Submit `body` as smpplib cuts it, each part with a receipt; the sequence_numbers."""
        parts, data_coding, esm_class = gsm.make_parts(body)
        return [
            self.submit_part(source, destination, part, data_coding, esm_class) for part in parts
        ]

    def submit_part(
        self, source: str, destination: str, part: bytes, data_coding: int, esm_class: int
    ) -> int:
        """One submit_sm; its sequence_number."""
        source_ton, source_npi = numbering(source)
        destination_ton, destination_npi = numbering(destination)
        pdu = self.client.send_message(
            source_addr_ton=source_ton,
            source_addr_npi=source_npi,
            source_addr=source.lstrip("+"),
            dest_addr_ton=destination_ton,
            dest_addr_npi=destination_npi,
            destination_addr=destination.lstrip("+"),
            data_coding=data_coding,
            esm_class=esm_class,
            short_message=part,
            registered_delivery=1,
        )
        return int(pdu.sequence)

    def wait(self, command: str, count: int = 1) -> list[Any]:
        """The first `count` PDUs of that kind; each deliver_sm is answered as it comes."""
        deadline = time.monotonic() + WITHIN
        while len(found := [pdu for pdu in self.came if pdu.command == command]) < count:
            left = deadline - time.monotonic()
            assert left > 0, f"{len(found)} of {count} {command} within {WITHIN:g} s"
            self._read(left)
        return found[:count]

    def ids(self, count: int) -> list[str]:
        """The message_ids of the first `count` responses, all of which must be ESME_ROK."""
        responses = self.wait("submit_sm_resp", count)
        assert [each.status for each in responses] == [0] * count
        return [text_of(each.message_id) for each in responses]

    def _read(self, seconds: float) -> None:
        if not select.select([self.client._socket], [], [], seconds)[0]:
            return
        pdu = self.client.read_pdu()
        self.came.append(pdu)
        if pdu.command in ("deliver_sm", "enquire_link"):
            answer = smpp.make_pdu(f"{pdu.command}_resp", client=self.client)
            answer.sequence = pdu.sequence
            self.client.send_pdu(answer)

    def end(self) -> None:
        """Close the connection, bound or not."""
        self.client.disconnect()


def text_of(value: Any) -> str:
    """A C-octet string of smpplib, which may keep its NUL."""
    return "" if value is None else value.rstrip(b"\0").decode("ascii")
