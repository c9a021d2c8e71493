"""Invariant: any deliver_sm is a receipt or is none, and reading it never raises.

What is read can be stored, looked up and shown; what is rendered reads as it was; an id is found
again in whatever way the carrier writes it.
"""

import random
from typing import Final

from protocols.smpp.constants import EsmClass, MessageState
from protocols.smpp.receipt import Receipt, id_candidates, id_key, parse, render
from protocols.smpp.tlv import Tag

RECEIPT: Final = int(EsmClass.DELIVERY_RECEIPT)
_TAGS: Final = (
    Tag.RECEIPTED_MESSAGE_ID,
    Tag.MESSAGE_STATE,
    Tag.NETWORK_ERROR_CODE,
    Tag.USER_MESSAGE_REFERENCE,
    Tag.MESSAGE_PAYLOAD,
    0x1501,
)
_PIECES: Final = (
    "id:", "ID=", "msg_id : ", "sub:001", " dlvrd:001", " submit date:2601010000", "submitdate:",
    " done date:2601010000", "done_date=", " stat:", "status:", "DELIVRD", "delivered", "8", "err:",
    "error code:0", " text:", "msg:", "\0", ",", ";", "|", "\r\n", "\u20ac", "0x00Af", "9" * 70,
)  # fmt: skip
_ID_CHARACTERS: Final = "0123456789abcdefABCDEF-xX{}gz_"


def payload(chance: random.Random) -> bytes:
    """Something like Appendix B, or anything at all."""
    if chance.random() < 0.2:
        return chance.randbytes(chance.randrange(80))
    text = "".join(chance.choice(_PIECES) for _ in range(chance.randrange(14)))
    octets = text.encode(chance.choice(("latin-1", "utf-8", "utf-16-be")), "replace")
    if octets and chance.random() < 0.3:
        at = chance.randrange(len(octets))
        octets = octets[:at] + chance.randbytes(chance.randrange(4)) + octets[at + 1 :]
    return octets


def check_read(chance: random.Random) -> None:
    octets = payload(chance)
    data_coding = chance.choice((0, 1, 3, 4, 8, chance.randrange(256)))
    esm_class = chance.choice((0, RECEIPT, RECEIPT | 0x40, 0x20, chance.randrange(256)))
    tlvs = [
        (int(chance.choice(_TAGS)), chance.randbytes(chance.randrange(6)))
        for _ in range(chance.randrange(4))
    ]
    receipt = parse(octets, data_coding, tlvs, esm_class)
    if receipt is None:
        assert esm_class & 0x3C not in (RECEIPT, 0x20), "what says receipt is one"
        return
    again = render(receipt)
    assert again.isascii()
    key = id_key(receipt.message_id)
    assert id_candidates(receipt.message_id)[:1] == ((key,) if key else ())
    repr(receipt).encode()


def check_rendered(chance: random.Random) -> None:
    size = chance.randrange(1, 60)
    number = "".join(chance.choice(_ID_CHARACTERS) for _ in range(size))
    made = Receipt(
        message_id=number,
        state=chance.choice(list(MessageState)),
        err=f"{chance.randrange(1000):03d}",
        sub="001",
        dlvrd="000",
        submit_date="2601010000",
        done_date="2601020000",
        text="".join(chance.choice(("id:7 ", "stat:x", "a", " ")) for _ in range(3)).strip()[:20],
    )
    assert parse(render(made), 0, (), RECEIPT) == made


def check_ids(chance: random.Random) -> None:
    """An id that was answered in one way is found when the receipt writes it in another."""
    number = chance.randrange(1, 1 << chance.choice((8, 32, 63)))
    forms = [str(number), f"{number:x}", f"{number:X}", f"{number:016x}", f"{number:020d}"]
    forms += [f"0x{number:x}"]
    stored, said = chance.choice(forms), chance.choice(forms)
    assert id_key(stored) in id_candidates(said), (stored, said)


def check(seed: int) -> None:
    """One try; the same for the same seed."""
    chance = random.Random(seed)
    check_read(chance)
    check_rendered(chance)
    check_ids(chance)
