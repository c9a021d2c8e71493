"""As whom a `<Dial>` may call: Twilio's rule for `callerId`, and what becomes of a caller's name.

Whoever is called at a telephone number believes the number that calls. So it is the caller's own,
the one that was called, or another that the account holds. A SIP peer may be shown any name, and a
SIP caller goes by its own at a carrier as well. A client of the Voice SDK has no number: a document
that has it call one says under which.
Source: https://www.twilio.com/docs/voice/twiml/dial#callerid.
"""

from collections.abc import Callable, Iterable

from carriers.caller_id import Caller
from gateway.calls.browser import CLIENT
from gateway.calls.model import Call
from gateway.model import PhoneNumber
from protocols.sip.errors import RemoteProtocolError
from protocols.sip.uri import SipUri, parse_uri
from twiml.errors import INVALID_CALLER_ID, Finding, Level
from twiml.nouns import Number, Rung, Standing

Holder = Callable[[str], PhoneNumber | None]


def may_call_as(
    caller_id: str, nouns: Iterable[Rung | Standing], call: Call, holder: Holder
) -> bool:
    """Whether `nouns` may be called under `caller_id` in `call`; `holder` is whose a number is."""
    if not any(isinstance(noun, Number) for noun in nouns):
        return True
    if (caller_id or call.from_address).startswith(CLIENT):
        return False
    if not caller_id:
        return True
    if _is_either(caller_id, call):
        return True
    number = holder(caller_id) or holder(f"+{_bare(caller_id)}")
    return number is not None and number.account_sid == call.account_sid


def not_theirs(caller_id: str) -> Finding:
    """What is said of one that `may_call_as` forbids."""
    if not caller_id:
        why = "a client has no number: callerId should be one of the account, to call a telephone"
        return Finding(code=INVALID_CALLER_ID, level=Level.ERROR, line=0, message=why)
    why = f"callerId {caller_id!r} is neither this call's nor a number of the account"
    return Finding(code=INVALID_CALLER_ID, level=Level.ERROR, line=0, message=why)


def caller_as(caller_id: str, caller: Caller) -> Caller:
    """`caller` under `caller_id`; under its own it stays who it is, unknown if it wants that."""
    if not caller_id or _bare(caller_id) == _bare(caller.number or _UNKNOWN):
        return caller
    return Caller(number=caller_id)


def _is_either(caller_id: str, call: Call) -> bool:
    bare = _bare(caller_id)
    return any(bare in _names(each) for each in (call.from_address, call.to_address))


def _names(address: str) -> tuple[str, ...]:
    """What an end of a call goes by: a number, or a SIP address and the user in it."""
    try:
        uri = parse_uri(address)
    except RemoteProtocolError:
        return (_bare(address),)
    return (address, _bare(uri.user)) if isinstance(uri, SipUri) else (_bare(address),)


def _bare(number: str) -> str:
    return number.removeprefix("+")


_UNKNOWN = "anonymous"
