"""Numbers at a SIP trunk: E.164 as what the carrier wants dialled, and its calls back into E.164.

Inside the gateway a number is E.164 with its +. Each carrier has its own way of writing one, which
its trunk says; what it sends is read in all of them.
"""

import re
from collections.abc import Callable
from typing import Final

import msgspec

from carriers.trunks import Gateway, NumberFormat, Trunk, gateway_uri
from protocols.sip.uri import OtherUri, SipUri, TelUri, Uri, parameter

_SEPARATORS: Final = str.maketrans("", "", " -.()")
_E164: Final = re.compile(r"\+[1-9][0-9]{1,14}")
_DIGITS: Final = re.compile(r"[0-9]+")
_PHONE_CONTEXT: Final = re.compile(r"phone-context=(\+[0-9]+)")
_INTERNATIONAL: Final = "00"
# Countries where it is not 00 (ITU-T E.164 leaves it to them); 011 is that of country code 1.
_NORTH_AMERICA: Final = "1"
_NORTH_AMERICAN_DIGITS: Final = 10
_ABROAD: Final = {_NORTH_AMERICA: "011"}
# Below this nobody leaves the country code out: short codes and extensions stay as they are.
_SHORTEST_E164: Final = 9
_SHORTEST_NATIONAL: Final = 7


def _e164(number: str, trunk: Trunk) -> str:
    del trunk
    return number


def _digits(number: str, trunk: Trunk) -> str:
    del trunk
    return number.removeprefix("+")


def _international(number: str, trunk: Trunk) -> str:
    return _prefix_abroad(trunk) + number.removeprefix("+")


def _national(number: str, trunk: Trunk) -> str:
    """A number of the trunk's country without its code; all others as they are dialled there."""
    home = f"+{trunk.country_code}"
    if trunk.country_code and number.startswith(home):
        return trunk.trunk_prefix + number.removeprefix(home)
    return _international(number, trunk)


_FORMATS: Final[dict[NumberFormat, Callable[[str, Trunk], str]]] = {
    NumberFormat.E164: _e164,
    NumberFormat.DIGITS: _digits,
    NumberFormat.INTERNATIONAL: _international,
    NumberFormat.NATIONAL: _national,
}


def written(number: str, form: NumberFormat, trunk: Trunk) -> str:
    """`number` as `form` has it; what is no E.164, such as a short code, stays as it is."""
    if _E164.fullmatch(number) is None:
        return number
    return _FORMATS[form](number, trunk)


def request_uri(number: str, trunk: Trunk, gateway: Gateway) -> SipUri:
    """What an INVITE for `number` by `gateway` asks for.

    RemoteProtocolError if the gateway's URI can't be read, which `problems_of_trunk` tells.
    """
    base = gateway_uri(gateway)
    user = trunk.dial_prefix + written(number, trunk.dial, trunk)
    params = base.params
    if parameter(params, "user") is None and _DIGITS.fullmatch(user.removeprefix("+")):
        params = (*params, ("user", "phone"))  # RFC 3261 §19.1.1: the user is a number
    return msgspec.structs.replace(base, user=user, password="", params=params, headers=())


def number_of(uri: Uri, trunk: Trunk) -> str:
    """The number that a carrier means by `uri`: E.164 if that can be told, else as it stands there.

    "" if there is no user part at all. Parameters in the user part (RFC 3261 §19.1.6) count where
    they say in which country a number is.
    """
    match uri:
        case TelUri(number=number):
            return _read(number, _context(parameter(uri.params, "phone-context")), trunk)
        case SipUri(user=user):
            number, _, params = user.partition(";")
            context = _PHONE_CONTEXT.search(params) if params else None
            return _read(number, context[1] if context else "", trunk)
        case OtherUri():
            return ""


def _context(said: str | None) -> str:
    return said if said and said.startswith("+") else ""


def _read(number: str, context: str, trunk: Trunk) -> str:
    """`number` in E.164; `context` is the code of its country (RFC 3966 §5.1.5), with +, or ""."""
    compact = number.translate(_SEPARATORS)
    if _E164.fullmatch(compact):
        return compact
    if not _DIGITS.fullmatch(compact):
        return number
    if context:
        return _if_e164(context + compact, number)
    abroad = _prefix_abroad(trunk)
    if compact.startswith(abroad):
        return _if_e164("+" + compact.removeprefix(abroad), number)
    if _is_national(compact, trunk):
        national = compact.removeprefix(trunk.trunk_prefix)
        return _if_e164(f"+{trunk.country_code}{national}", number)
    if len(compact) >= _SHORTEST_E164 and not compact.startswith("0"):
        return _if_e164("+" + compact, number)
    return compact


def _is_national(digits: str, trunk: Trunk) -> bool:
    """Whether a number is of the trunk's country and without its code.

    In countries without a trunk prefix only a trunk that writes national numbers tells so.
    """
    home, prefix = trunk.country_code, trunk.trunk_prefix
    if not home or len(digits) < _SHORTEST_NATIONAL:
        return False
    if home == _NORTH_AMERICA and digits[0] not in "01":
        return len(digits) == _NORTH_AMERICAN_DIGITS
    if prefix:
        return digits.startswith(prefix)
    with_code = digits.startswith(home) and len(digits) >= _SHORTEST_E164
    return NumberFormat.NATIONAL in (trunk.dial, trunk.caller_id) and not with_code


def _prefix_abroad(trunk: Trunk) -> str:
    return _ABROAD.get(trunk.country_code, _INTERNATIONAL)


def _if_e164(found: str, otherwise: str) -> str:
    return found if _E164.fullmatch(found) else otherwise
