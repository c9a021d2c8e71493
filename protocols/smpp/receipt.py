"""Delivery receipts: what a deliver_sm or data_sm says about a message that was sent before.

A carrier says it in TLVs (SMPP v3.4 §5.3.2: receipted_message_id, message_state, …), in the text
of Appendix B, or in both, and vendors bend the text in every way. `parse` takes all of them and
prefers the TLVs; `render` writes the text as the appendix has it. The identifiers that carriers
use come back in other shapes than they were given: `id_key` and `id_candidates` bridge that.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from protocols.smpp.constants import DataCoding, EsmClass, MessageState
from protocols.smpp.tlv import Tag

_S = MessageState

# As `stat:` is written, seven octets each (Appendix B).
STAT: Final[dict[MessageState, str]] = {
    _S.SCHEDULED: "SCHEDUL",
    _S.ENROUTE: "ENROUTE",
    _S.DELIVERED: "DELIVRD",
    _S.EXPIRED: "EXPIRED",
    _S.DELETED: "DELETED",
    _S.UNDELIVERABLE: "UNDELIV",
    _S.ACCEPTED: "ACCEPTD",
    _S.UNKNOWN: "UNKNOWN",
    _S.REJECTED: "REJECTD",
    _S.SKIPPED: "SKIPPED",
}

# Carriers use ACCEPTD for "the next hop has it", so it is not among them.
FINAL: Final = frozenset(_S) - {_S.SCHEDULED, _S.ENROUTE, _S.ACCEPTED}

# What `stat:` begins with in the field, longest first where one begins another.
_STAT_READ: Final[tuple[tuple[str, MessageState], ...]] = (
    ("DELIV", _S.DELIVERED),
    ("UNDEL", _S.UNDELIVERABLE),
    ("FAIL", _S.UNDELIVERABLE),
    ("EXPIR", _S.EXPIRED),
    ("DELET", _S.DELETED),
    ("ACCEP", _S.ACCEPTED),
    ("ENROU", _S.ENROUTE),
    ("EN_ROU", _S.ENROUTE),
    ("BUFF", _S.ENROUTE),
    ("REJEC", _S.REJECTED),
    ("SCHED", _S.SCHEDULED),
    ("SKIP", _S.SKIPPED),
)
_STAT_EXACT: Final = {text: state for state, text in STAT.items()}


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the message `message_id`, in the carrier's own words.

    Dates, counts and `err` are the raw texts of Appendix B, "" where the carrier gave none.
    `network_type` and `network_error_code` are the TLV of that name, -1 without it;
    `user_message_reference` is what the submit_sm carried, if the carrier repeats it.
    `message_id` is "" in a receipt from which none could be read.
    """

    message_id: str
    state: MessageState
    intermediate: bool = False
    err: str = ""
    network_type: int = -1
    network_error_code: int = -1
    submit_date: str = ""
    done_date: str = ""
    sub: str = ""
    dlvrd: str = ""
    user_message_reference: int | None = None
    text: str = ""

    @property
    def is_final(self) -> bool:
        """Whether no other receipt can follow this one."""
        return not self.intermediate and self.state in FINAL


# As plain integers: these are looked up for every receipt.
_TYPE_MASK: Final = int(EsmClass.TYPE_MASK)
_RECEIPT: Final = int(EsmClass.DELIVERY_RECEIPT)
_INTERMEDIATE: Final = int(EsmClass.INTERMEDIATE_NOTIFICATION)
_UDHI: Final = int(EsmClass.UDHI)
_RECEIPTED_MESSAGE_ID: Final = int(Tag.RECEIPTED_MESSAGE_ID)
_USER_MESSAGE_REFERENCE: Final = int(Tag.USER_MESSAGE_REFERENCE)
_NETWORK_ERROR_CODE: Final = int(Tag.NETWORK_ERROR_CODE)
_MESSAGE_PAYLOAD: Final = int(Tag.MESSAGE_PAYLOAD)
_MESSAGE_STATE: Final = int(Tag.MESSAGE_STATE)

_APPENDIX_B: Final = re.compile(
    r"id:(\S{1,65}) sub:(\S*) dlvrd:(\S*) submit date:(\d*) done date:(\d*)"
    r" stat:(\S+) err:(\S*)(?: text:(.*))?",
    re.DOTALL | re.IGNORECASE,
)
# Any order, any case, `=` for `:`, spaces before and after it, `submitdate`, `done_date`, …
_FIELD: Final = re.compile(
    r"(?<![a-z0-9_])(msg_?id|message_?id|id|sub|dlvrd|submit[ _]*date|done[ _]*date|stat(?:e|us)?"
    r"|err(?:or)?(?:[ _]?code)?|text|msg)\s*[:=]\s*",
    re.IGNORECASE,
)
_FIELD_NAMES: Final = {
    "msgid": "id",
    "messageid": "id",
    "submitdate": "submit_date",
    "donedate": "done_date",
    "state": "stat",
    "status": "stat",
    "error": "err",
    "errcode": "err",
    "errorcode": "err",
    "msg": "text",
}


def parse(
    payload: bytes, data_coding: int, tlvs: Sequence[tuple[int, bytes]], esm_class: int
) -> Receipt | None:
    """The receipt in a deliver_sm or data_sm, None if it is a text from a handset.

    `payload` is short_message, or message_payload where that was used. An esm_class that says
    receipt always gives one, however little of it can be read. Without it only the TLVs count:
    anybody can type a text that looks like Appendix B.
    """
    kind = esm_class & _TYPE_MASK
    # Five optional parameters matter; carriers send them in any number and order.
    given = dict(tlvs) if tlvs else {}
    tlv_id = given.get(_RECEIPTED_MESSAGE_ID)
    if kind not in (_RECEIPT, _INTERMEDIATE) and (
        kind != 0 or tlv_id is None or _MESSAGE_STATE not in given
    ):
        return None
    fields = _fields_of(
        _text_of(payload or given.get(_MESSAGE_PAYLOAD, b""), data_coding, esm_class)
    )
    network = given.get(_NETWORK_ERROR_CODE, b"")
    reference = given.get(_USER_MESSAGE_REFERENCE)
    return Receipt(
        message_id=_c_string(tlv_id) or fields[0] if tlv_id is not None else fields[0],
        state=_state_of(given.get(_MESSAGE_STATE), fields[5]),
        intermediate=kind == _INTERMEDIATE,
        err=fields[6],
        network_type=network[0] if len(network) == 3 else -1,
        network_error_code=int.from_bytes(network[1:], "big") if len(network) == 3 else -1,
        sub=fields[1],
        dlvrd=fields[2],
        submit_date=fields[3],
        done_date=fields[4],
        user_message_reference=int.from_bytes(reference, "big") if reference else None,
        text=fields[7],
    )


_Fields = tuple[str, str, str, str, str, str, str, str]
_ORDER: Final = ("id", "sub", "dlvrd", "submit_date", "done_date", "stat", "err", "text")


def _fields_of(text: str) -> _Fields:
    """(id, sub, dlvrd, submit date, done date, stat, err, text), "" for what is not there."""
    match = _APPENDIX_B.fullmatch(text)
    if match is not None:
        one, two, three, four, five, six, seven, eight = match.groups(default="")
        return one, two, three, four, five, six, seven, eight
    found: dict[str, str] = {}
    marks = list(_FIELD.finditer(text))
    for index, mark in enumerate(marks):
        name = mark[1].lower().replace(" ", "").replace("_", "")
        name = _FIELD_NAMES.get(name, name)
        if name == "text":
            found[name] = text[mark.end() :]  # the last field: what follows is somebody's words
            break
        end = marks[index + 1].start() if index + 1 < len(marks) else len(text)
        value = text[mark.end() : end].strip(" \t\r\n,;|\"'")
        found.setdefault(name, value if "date" in name else value.partition(" ")[0])
    one, two, three, four, five, six, seven, eight = (found.get(name, "") for name in _ORDER)
    return one[:65], two, three, four, five, six, seven, eight


def _text_of(payload: bytes, data_coding: int, esm_class: int) -> str:
    """The text of a receipt: ASCII in practice, whatever the default alphabet is."""
    if esm_class & _UDHI and payload and payload[0] < len(payload):
        payload = payload[payload[0] + 1 :]
    if data_coding == DataCoding.UCS2 and payload[:1] == b"\0":
        return payload.decode("utf-16-be", "replace").strip("\0 ")
    return payload.decode("latin-1").strip("\0 ")


def _c_string(value: bytes) -> str:
    """A C-Octet String that may lack its NUL, or have octets after it."""
    return value.partition(b"\0")[0].decode("latin-1").strip()


def _state_of(value: bytes | None, stat: str) -> MessageState:
    if value and value[-1] <= _S.SKIPPED:
        return MessageState(value[-1])
    exact = _STAT_EXACT.get(stat)
    if exact is not None:
        return exact
    if len(stat) == 1 and stat in "0123456789":
        return MessageState(int(stat))
    upper = stat.upper()
    for beginning, state in _STAT_READ:
        if upper.startswith(beginning):
            return state
    return MessageState.UNKNOWN


def render(receipt: Receipt) -> bytes:
    """The text of Appendix B in ASCII: widths 3, 3, 10, 10, 7, 3, and the id as it is.

    Counts and `err` are filled with zeros on the left; of `text` the first 20 characters go out,
    what ASCII does not have as "?".
    """
    text = (
        f"id:{receipt.message_id} sub:{receipt.sub or '001':0>3.3}"
        f" dlvrd:{receipt.dlvrd or '000':0>3.3}"
        f" submit date:{receipt.submit_date:0>10.10} done date:{receipt.done_date:0>10.10}"
        f" stat:{STAT[receipt.state]} err:{receipt.err or '000':0>3.3} text:{receipt.text:.20}"
    )
    return text.encode("ascii", "replace")


def date_text(at: float) -> str:
    """`at` (seconds since the epoch) as Appendix B writes dates: YYMMDDhhmm, in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%y%m%d%H%M")


_HEX: Final = re.compile(r"[0-9a-f]{1,20}", re.ASCII)
_DECIMAL: Final = re.compile(r"[0-9]{1,40}", re.ASCII)
_UUID: Final = re.compile(r"\{?([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\}?", re.ASCII)


def id_key(carrier_id: str) -> str:
    """`carrier_id` in the one form that messages are stored and looked up by.

    Case, leading zeros, `0x` and the dashes of a UUID go; an id of zeros alone is "0".
    """
    key = carrier_id.strip().casefold()
    if "-" in key and (match := _UUID.fullmatch(key)):
        key = match[1].replace("-", "")
    if key.startswith("0"):
        return key.removeprefix("0x").lstrip("0") or "0"
    return key


def id_candidates(receipt_id: str) -> tuple[str, ...]:
    """The keys under which the message of `receipt_id` may be stored, the likeliest first.

    First the id as it is, then what it is if the carrier answered in hex and writes receipts in
    decimal, then the reverse.
    """
    key = id_key(receipt_id)
    if not key:
        return ()
    candidates = [key]
    if _DECIMAL.fullmatch(key):
        candidates.append(f"{int(key):x}")
    if _HEX.fullmatch(key):
        candidates.append(str(int(key, 16)))
    return tuple(dict.fromkeys(candidates))
