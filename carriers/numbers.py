"""Numbers and senders: judged by their shape, and turned into SMPP addresses and back.

A destination is E.164; a sender is E.164, a short code or a name. The shape alone is judged:
whether a number is assigned, only its carrier knows. Answers are values, `Address` or `Invalid`.
"""

import re
from typing import Final

import msgspec

from protocols.smpp import gsm
from protocols.smpp.constants import Npi, Ton

INVALID_TO: Final = 21211
INVALID_FROM: Final = 21212


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """An address in both forms: `text` as REST shows it, `ton`, `npi` and `wire` as SMPP has it."""

    text: str
    ton: int
    npi: int
    wire: str


class Invalid(msgspec.Struct, frozen=True, kw_only=True):
    """Why a text is no address; `error_code` is Twilio's."""

    error_code: int
    reason: str


_E164: Final = re.compile(r"\+[0-9]{7,15}")
_SHORT_CODE: Final = re.compile(r"[0-9]{3,8}")
_SEPARATORS: Final = {ord(character): None for character in " -.()/\t"}

# Printable ASCII of one septet: the same octets in every alphabet that a carrier may read it in.
_NAME_CHARACTERS: Final = frozenset(
    character
    for character in gsm.BASIC_CHARACTERS
    if character.isascii() and character.isprintable()
)
_MAX_NAME: Final = 11  # TS 23.040 §9.1.2.5: eleven septets in ten octets
_NAME: Final = re.compile(rf"(?=.*[A-Za-z])(?!\+).{{1,{_MAX_NAME}}}")


def check_to(text: str) -> Address | Invalid:
    """The destination `text`: `+` and 7 to 15 digits, separators between them pass."""
    compact = _compact(text)
    if _E164.fullmatch(compact) is not None:
        return _international(compact)
    return Invalid(
        error_code=INVALID_TO,
        reason=f"{_shown(text)} is not a number to send to: {_e164_problem(compact)}",
    )


def check_from(text: str) -> Address | Invalid:
    """The sender `text`: E.164, a short code of 3 to 8 digits, or a name.

    A name has up to 11 characters of ASCII that GSM-7 says in one septet and one letter at least,
    and does not begin with `+`.
    """
    compact = _compact(text)
    if _E164.fullmatch(compact) is not None:
        return _international(compact)
    if _SHORT_CODE.fullmatch(compact) is not None:
        return _short_code(compact)
    name = text.strip()
    if _NAME.fullmatch(name) is not None and _NAME_CHARACTERS.issuperset(name):
        return _name(name)
    return Invalid(
        error_code=INVALID_FROM,
        reason=f"{_shown(text)} is not a sender: {_sender_problem(name, compact)}",
    )


def wire_address(text: str) -> Address:
    """The address of a `text` that was checked before: E.164 1/1, a short code 3/0, a name 5/0."""
    if text.startswith("+"):
        return _international(text)
    if text.isdecimal():
        return _short_code(text)
    return _name(text)


_INTERNATIONAL_PREFIX: Final = "00"  # no country code begins with 0
_SURELY_INTERNATIONAL: Final = re.compile(r"[1-9][0-9]{8,14}")


def text_of_wire(ton: int, npi: int, wire: str) -> str:
    """The address (`ton`, `npi`, `wire`) of a PDU as REST shows it.

    International numbers get their `+`. With an unknown type a number of 9 to 15 digits that does
    not begin with 0 is taken for international, as carriers that leave the type out mean it.
    National and short numbers stay as they are: whose nation it is, nobody says.
    """
    del npi  # carriers set it at random; the type says all that is needed
    if ton == Ton.ALPHANUMERIC or wire.startswith("+"):
        return wire
    if ton == Ton.INTERNATIONAL and wire.isdecimal():
        return "+" + wire.removeprefix(_INTERNATIONAL_PREFIX)
    if ton == Ton.UNKNOWN:
        digits = wire.removeprefix(_INTERNATIONAL_PREFIX)
        if _SURELY_INTERNATIONAL.fullmatch(digits) is not None:
            return "+" + digits
    return wire


def _compact(text: str) -> str:
    """`text` without the separators that people write between digits."""
    return text if text[1:].isdecimal() else text.translate(_SEPARATORS)


def _international(text: str) -> Address:
    return Address(text=text, ton=int(Ton.INTERNATIONAL), npi=int(Npi.ISDN), wire=text[1:])


def _short_code(text: str) -> Address:
    return Address(text=text, ton=int(Ton.NETWORK_SPECIFIC), npi=int(Npi.UNKNOWN), wire=text)


def _name(text: str) -> Address:
    return Address(text=text, ton=int(Ton.ALPHANUMERIC), npi=int(Npi.UNKNOWN), wire=text)


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:40]}…")


def _e164_problem(compact: str) -> str:
    digits = compact.removeprefix(_INTERNATIONAL_PREFIX)
    if compact.isdecimal() and digits.startswith("0"):
        return "it must be in E.164: + and the country code in place of the 0, as +442071838750"
    if compact.isdecimal():
        return f"it must be in E.164, with + and the country code; is it +{digits[:15]}?"
    if not compact.startswith("+"):
        return "it must be in E.164: + and 7 to 15 digits"
    if not re.fullmatch(r"\+[0-9]*", compact):
        return "only digits may follow the +"
    return f"E.164 has 7 to 15 digits after the +, this has {len(compact) - 1}"


def _sender_problem(name: str, compact: str) -> str:
    if compact.startswith("+") or compact.isdecimal():
        return "a number has + and 7 to 15 digits, a short code 3 to 8 digits"
    if len(name) > _MAX_NAME:
        return f"a name has up to {_MAX_NAME} characters, this has {len(name)}"
    foreign = [character for character in name if character not in _NAME_CHARACTERS]
    if foreign:
        return f"a name is of ASCII letters, digits, spaces and simple signs, not {foreign[0]!r}"
    return "a name needs a letter, a number its +"
