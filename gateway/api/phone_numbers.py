"""IncomingPhoneNumbers: the numbers of an account and what runs when somebody texts or calls them.

Any number of E.164 shape that no other account holds can be had. What the config file names is
shown here and cannot be changed here.
"""

import re
from typing import Any, Final

import msgspec

from gateway.api import paging
from gateway.api.addresses import plus_restored, recipient
from gateway.api.http import answer_json, not_found, refuse, rfc2822
from gateway.api.magic_numbers import MAGIC_NUMBER, refuse_test_number
from gateway.api.resources import Access, Answer, Call, Kind, Operation, Param, Result
from gateway.messages.asked import is_http_url
from gateway.messages.draft import Refusal
from gateway.model import AccountStatus, PhoneNumber
from gateway.phone_numbers import Closed, Taken
from gateway.sids import PHONE_NUMBER, new_sid

_API_VERSION: Final = "2010-04-01"
_PATH: Final = f"/{_API_VERSION}/Accounts/{{AccountSid}}/IncomingPhoneNumbers"
_MAX_NAME: Final = 64
_CAPABILITIES: Final = {"fax": False, "mms": True, "sms": True, "voice": True}

# Parameters that are kept as they are given, and the names under which `settings` holds them.
_URLS: Final = {
    "SmsUrl": "sms_url",
    "SmsFallbackUrl": "sms_fallback_url",
    "StatusCallback": "status_callback",
    "VoiceUrl": "voice_url",
    "VoiceFallbackUrl": "voice_fallback_url",
}
_METHODS: Final = {
    "SmsMethod": "sms_method",
    "SmsFallbackMethod": "sms_fallback_method",
    "StatusCallbackMethod": "status_callback_method",
    "VoiceMethod": "voice_method",
    "VoiceFallbackMethod": "voice_fallback_method",
}
_OTHERS: Final = {
    "VoiceCallerIdLookup": "voice_caller_id_lookup",
    "VoiceReceiveMode": "voice_receive_mode",
}
_SETTINGS: Final = {**_URLS, **_METHODS, **_OTHERS}


class PhoneNumberBody(msgspec.Struct, frozen=True, kw_only=True):
    """A number as REST shows it; what this gateway has no use for is null or Twilio's default."""

    account_sid: str
    address_requirements: str = "none"
    address_sid: str | None = None
    api_version: str = _API_VERSION
    beta: bool = False
    bundle_sid: str | None = None
    capabilities: dict[str, bool]
    date_created: str
    date_updated: str
    emergency_address_sid: str | None = None
    emergency_address_status: str = "unregistered"
    emergency_status: str = "Inactive"
    friendly_name: str
    identity_sid: str | None = None
    origin: str = "twilio"
    phone_number: str
    sid: str
    sms_application_sid: str = ""
    sms_fallback_method: str
    sms_fallback_url: str
    sms_method: str
    sms_url: str
    status: str = "in-use"
    status_callback: str
    status_callback_method: str
    trunk_sid: str | None = None
    type: str | None = None
    uri: str
    voice_application_sid: str = ""
    voice_caller_id_lookup: bool
    voice_fallback_method: str
    voice_fallback_url: str
    voice_method: str
    voice_receive_mode: str
    voice_url: str


def phone_number_body(number: PhoneNumber) -> PhoneNumberBody:
    """The JSON of `number`."""
    kept = number.settings
    shown: dict[str, Any] = {name: kept.get(name, "") for name in _URLS.values()}
    shown.update((name, kept.get(name) or "POST") for name in _METHODS.values())
    return PhoneNumberBody(
        account_sid=number.account_sid,
        capabilities=_CAPABILITIES,
        date_created=rfc2822(number.date_created),
        date_updated=rfc2822(number.date_updated),
        friendly_name=number.friendly_name,
        phone_number=number.phone_number,
        sid=number.sid,
        uri=f"/{_API_VERSION}/Accounts/{number.account_sid}/IncomingPhoneNumbers/{number.sid}.json",
        voice_caller_id_lookup=kept.get("voice_caller_id_lookup", "false").lower() == "true",
        voice_receive_mode=kept.get("voice_receive_mode", "voice"),
        **shown,
    )


async def create(call: Call) -> Result:
    """Take a number that nobody else holds."""
    wanted = _wanted(call)
    if isinstance(wanted, Refusal):
        return wanted
    settings = read_settings(call)
    if isinstance(settings, Refusal):
        return settings
    name = call.text("FriendlyName") or wanted
    try:
        number = await call.services.phone_numbers.add(
            call.account.sid, wanted, name, settings, call.now
        )
    except Taken:
        return refuse(21422, f"{wanted} is not available: it is held already")
    except Closed:
        return _inactive(call.account.sid, AccountStatus.CLOSED)
    return answer_json(phone_number_body(number), 201)


def _wanted(call: Call) -> str | Refusal:
    given = call.text("PhoneNumber")
    if not given.strip():
        if call.text("AreaCode"):
            return refuse(21457, "AreaCode is not offered: any PhoneNumber can be had by name")
        return refuse(21421, "A PhoneNumber is required, such as +447700900123")
    number = recipient(given)
    if isinstance(number, Refusal):
        return refuse(21421, number.message)
    return number


def read_settings(call: Call) -> dict[str, str] | Refusal:
    """The settings that the form gives, by the names they are kept under."""
    if len(call.text("FriendlyName")) > _MAX_NAME:
        return refuse(20002, f"FriendlyName should have {_MAX_NAME} characters at most")
    for name in _URLS:
        url = call.text(name)
        if url and not is_http_url(url):
            return refuse(21402, f"{name} is not an http or https URL: {url[:100]}")
    given = {kept: call.text(name) for name, kept in _SETTINGS.items() if name in call.form}
    for kept in _METHODS.values():
        if kept in given:
            given[kept] = given[kept].upper()
    return given


async def fetch(call: Call) -> Result:
    """One number of the account."""
    number = call.services.phone_numbers.get(call.account.sid, call.path["Sid"])
    return (
        not_found(call.request.path) if number is None else answer_json(phone_number_body(number))
    )


async def list_(call: Call) -> Result:
    """The account's numbers, newest first."""
    page = paging.page_of(call, PHONE_NUMBER)
    if isinstance(page, Refusal):
        return page
    name, pattern = call.text("FriendlyName"), _pattern(call.text("PhoneNumber"))
    held = [
        number
        for number in call.services.phone_numbers.of_account(call.account.sid)
        if name in ("", number.friendly_name) and pattern.search(number.phone_number)
    ]
    found = paging.slice_of(held, page)
    bodies = [phone_number_body(number) for number in found.rows]
    return paging.page_answer(call, "incoming_phone_numbers", page, found, bodies)


def _pattern(given: str) -> re.Pattern[str]:
    # Twilio's rule: part of a number will do, and * stands for any digit.
    return re.compile(re.escape(plus_restored(given)).replace(r"\*", r"\d"))


def _stored(call: Call) -> PhoneNumber | Refusal:
    number = call.services.phone_numbers.get(call.account.sid, call.path["Sid"])
    if number is None:
        return not_found(call.request.path)
    if number.declared:
        return refuse(
            20006,
            f"{number.phone_number} is named in the config file, which owns it:"
            " change it there ([[numbers]]) and reload",
        )
    return number


async def update(call: Call) -> Result:
    """Rename a number, change what runs for it, or give it to an account of the same family."""
    number = _stored(call)
    if isinstance(number, Refusal):
        return number
    settings = read_settings(call)
    if isinstance(settings, Refusal):
        return settings
    receiver = call.text("AccountSid") or number.account_sid
    refusal = _refuse_receiver(call, receiver)
    if refusal is not None:
        return refusal
    try:
        changed = await call.services.phone_numbers.change(
            number.sid,
            call.now,
            account_sid=receiver,
            friendly_name=call.text("FriendlyName") or None,
            settings=settings,
        )
    except KeyError:  # it was let go meanwhile
        return not_found(call.request.path)
    except Closed:
        return _inactive(receiver, AccountStatus.CLOSED)
    return answer_json(phone_number_body(changed))


def _refuse_receiver(call: Call, sid: str) -> Refusal | None:
    """Why the account `sid` can't have the number; None for one that is active, of the family."""
    family = {member.sid: member for member in call.services.accounts.family(call.caller.sid)}
    receiver = family.get(sid)
    if receiver is None:
        return refuse(21471, f"Account {sid[:40]} does not exist")
    return None if receiver.status is AccountStatus.ACTIVE else _inactive(sid, receiver.status)


def _inactive(sid: str, status: AccountStatus) -> Refusal:
    return refuse(21472, f"Account {sid} is {status}; only an active one can have a number")


async def delete(call: Call) -> Result:
    """Let a number go."""
    number = _stored(call)
    if isinstance(number, Refusal):
        return number
    await call.services.phone_numbers.remove([number.sid], call.now)
    return Answer(204)


async def create_as_test(call: Call) -> Result:
    """The purchase that test credentials ask for: judged by Twilio's magic numbers, not made."""
    refusal = refuse_test_number(call)
    if refusal is not None:
        return refusal
    settings = read_settings(call)
    if isinstance(settings, Refusal):
        return settings
    wanted = call.text("PhoneNumber") or MAGIC_NUMBER
    number = PhoneNumber(
        sid=new_sid(PHONE_NUMBER, call.now),
        account_sid=call.account.sid,
        phone_number=wanted,
        friendly_name=call.text("FriendlyName") or wanted,
        settings=settings,
        date_created=call.now,
        date_updated=call.now,
        version=1,
    )
    return answer_json(phone_number_body(number), 201)


_SETTABLE: Final = (
    Param(name="FriendlyName", doc="A name for people, up to 64 characters."),
    *(Param(name=name, doc="An http(s) URL, or empty for none.") for name in _URLS),
    *(
        Param(name=name, kind=Kind.METHOD, error_code=21403, doc="GET or POST (the default).")
        for name in _METHODS
    ),
    Param(name="VoiceCallerIdLookup", kind=Kind.BOOLEAN, doc="Kept and shown."),
    Param(name="VoiceReceiveMode", choices=("voice", "fax"), doc="Kept and shown."),
)

OPERATIONS: Final = (
    Operation(
        id="CreateIncomingPhoneNumber",
        method="POST",
        path=_PATH,
        doc=create.__doc__ or "",
        handler=create,
        access=Access.WRITE,
        params=(
            Param(name="PhoneNumber", required=True, doc="E.164, such as +447700900123."),
            Param(name="AreaCode", doc="Not offered: 21457."),
            *_SETTABLE,
        ),
        status=201,
        returns=PhoneNumberBody,
        test=create_as_test,
    ),
    Operation(
        id="ListIncomingPhoneNumber",
        method="GET",
        path=_PATH,
        doc=list_.__doc__ or "",
        handler=list_,
        access=Access.READ,
        params=(
            Param(name="PhoneNumber", doc="A number or part of one; * stands for any digit."),
            Param(name="FriendlyName", doc="Only numbers of exactly this name."),
            *paging.PARAMS,
        ),
        returns=PhoneNumberBody,
        list_key="incoming_phone_numbers",
    ),
    Operation(
        id="FetchIncomingPhoneNumber",
        method="GET",
        path=f"{_PATH}/{{Sid}}",
        doc=fetch.__doc__ or "",
        handler=fetch,
        access=Access.READ,
        returns=PhoneNumberBody,
    ),
    Operation(
        id="UpdateIncomingPhoneNumber",
        method="POST",
        path=f"{_PATH}/{{Sid}}",
        doc=update.__doc__ or "",
        handler=update,
        access=Access.WRITE,
        params=(
            Param(name="AccountSid", doc="Gives the number to another account of the family."),
            *_SETTABLE,
        ),
        returns=PhoneNumberBody,
    ),
    Operation(
        id="DeleteIncomingPhoneNumber",
        method="DELETE",
        path=f"{_PATH}/{{Sid}}",
        doc=delete.__doc__ or "",
        handler=delete,
        access=Access.WRITE,
        status=204,
    ),
)
