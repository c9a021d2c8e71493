"""IncomingPhoneNumbers: the numbers of an account and what runs when somebody texts or calls them.

Any number of E.164 shape that no other account holds can be had. What the config file names is
shown here and cannot be changed here.
"""

import re
from typing import Final

import msgspec

from gateway import applications
from gateway.api.addresses import plus_restored, recipient
from gateway.api.declare import API_VERSION, PATH, Resource, file_owns
from gateway.api.http import not_found, refuse, rfc2822
from gateway.api.magic_numbers import MAGIC_NUMBER, refuse_test_number
from gateway.api.paging import Page, Slice, slice_of
from gateway.api.resources import Call, Kind, Param
from gateway.api.settings import Settings
from gateway.messages.draft import Refusal
from gateway.model import AccountStatus, PhoneNumber
from gateway.phone_numbers import Closed, Taken
from gateway.sids import PHONE_NUMBER, new_sid

_MAX_NAME: Final = 64
_ORIGIN: Final = "twilio"
_CAPABILITIES: Final = {"fax": False, "mms": True, "sms": True, "voice": True}

_SETTINGS: Final = Settings(
    urls=("SmsUrl", "SmsFallbackUrl", "StatusCallback", "VoiceUrl", "VoiceFallbackUrl"),
    methods=(
        *("SmsMethod", "SmsFallbackMethod", "StatusCallbackMethod"),
        *("VoiceMethod", "VoiceFallbackMethod"),
    ),
    flags=(Param(name="VoiceCallerIdLookup", kind=Kind.BOOLEAN, doc="Kept and shown."),),
    others=(
        Param(name="VoiceReceiveMode", choices=("voice", "fax"), doc="Kept and shown."),
        Param(name="VoiceApplicationSid", doc="Whose voice URLs hold instead of the number's."),
    ),
)


class PhoneNumberBody(msgspec.Struct, frozen=True, kw_only=True):
    """A number as REST shows it; what this gateway has no use for is null or Twilio's default."""

    account_sid: str
    address_requirements: str = "none"
    address_sid: str | None = None
    api_version: str = API_VERSION
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
    origin: str = _ORIGIN
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
    voice_application_sid: str
    voice_caller_id_lookup: bool
    voice_fallback_method: str
    voice_fallback_url: str
    voice_method: str
    voice_receive_mode: str
    voice_url: str


def phone_number_body(call: Call, number: PhoneNumber) -> PhoneNumberBody:
    """The JSON of `number`."""
    shown = _SETTINGS.shown(number.settings)
    shown["voice_receive_mode"] = shown["voice_receive_mode"] or "voice"
    shown["voice_application_sid"] = shown["voice_application_sid"] or ""
    base = PATH.format(AccountSid=number.account_sid)
    return PhoneNumberBody(
        account_sid=number.account_sid,
        capabilities=_CAPABILITIES,
        date_created=rfc2822(number.date_created),
        date_updated=rfc2822(number.date_updated),
        friendly_name=number.friendly_name,
        phone_number=number.phone_number,
        sid=number.sid,
        uri=f"{base}/IncomingPhoneNumbers/{number.sid}.json",
        **shown,
    )


async def create(call: Call) -> PhoneNumber | Refusal:
    """Take a number that nobody else holds."""
    wanted = _wanted(call)
    if isinstance(wanted, Refusal):
        return wanted
    settings = await _known_settings(call)
    if isinstance(settings, Refusal):
        return settings
    name = call.text("FriendlyName") or wanted
    try:
        return await call.services.phone_numbers.add(
            call.account.sid, wanted, name, settings, call.now
        )
    except Taken:
        return refuse(21422, f"{wanted} is not available: it is held already")
    except Closed:
        return _inactive(call.account.sid, AccountStatus.CLOSED)


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
    return _SETTINGS.read(call)


async def _known_settings(call: Call) -> dict[str, str] | Refusal:
    settings = read_settings(call)
    sid = "" if isinstance(settings, Refusal) else settings.get("voice_application_sid", "")
    if sid and await applications.get(call.services.store, call.account.sid, sid) is None:
        return refuse(21420, f"VoiceApplicationSid {sid[:40]} is none of this account")
    return settings


async def find(call: Call) -> PhoneNumber | Refusal:
    """One number of the account."""
    number = call.services.phone_numbers.get(call.account.sid, call.path["Sid"])
    return number or not_found(call.request.path)


async def pages(call: Call, page: Page) -> Slice:
    """The account's numbers, newest first."""
    name, pattern = call.text("FriendlyName"), _pattern(call.text("PhoneNumber"))
    held = [
        number
        for number in call.services.phone_numbers.of_account(call.account.sid)
        if name in ("", number.friendly_name)
        and pattern.search(number.phone_number)
        and call.text("Origin") in ("", _ORIGIN)
    ]
    return slice_of(held, page)


def _pattern(given: str) -> re.Pattern[str]:
    # Twilio's rule: part of a number will do, and * stands for any digit.
    return re.compile(re.escape(plus_restored(given)).replace(r"\*", r"\d"))


def _guard(number: PhoneNumber) -> Refusal | None:
    return file_owns(number.phone_number, "numbers") if number.declared else None


async def update(call: Call, number: PhoneNumber) -> PhoneNumber | Refusal:
    """Rename a number, change what runs for it, or give it to an account of the same family."""
    settings = await _known_settings(call)
    if isinstance(settings, Refusal):
        return settings
    receiver = call.text("AccountSid") or number.account_sid
    refusal = _refuse_receiver(call, receiver)
    if refusal is not None:
        return refusal
    try:
        return await call.services.phone_numbers.change(
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


def _refuse_receiver(call: Call, sid: str) -> Refusal | None:
    """Why the account `sid` can't have the number; None for one that is active, of the family."""
    family = {member.sid: member for member in call.services.accounts.family(call.caller.sid)}
    receiver = family.get(sid)
    if receiver is None:
        return refuse(21471, f"Account {sid[:40]} does not exist")
    return None if receiver.status is AccountStatus.ACTIVE else _inactive(sid, receiver.status)


def _inactive(sid: str, status: AccountStatus) -> Refusal:
    return refuse(21472, f"Account {sid} is {status}; only an active one can have a number")


async def delete(call: Call, number: PhoneNumber) -> None:
    """Let a number go."""
    await call.services.phone_numbers.remove([number.sid], call.now)


async def create_as_test(call: Call) -> PhoneNumber | Refusal:
    """The purchase that test credentials ask for: judged by Twilio's magic numbers, not made."""
    refusal = refuse_test_number(call)
    if refusal is not None:
        return refusal
    settings = read_settings(call)
    if isinstance(settings, Refusal):
        return settings
    wanted = call.text("PhoneNumber") or MAGIC_NUMBER
    return PhoneNumber(
        sid=new_sid(PHONE_NUMBER, call.now),
        account_sid=call.account.sid,
        phone_number=wanted,
        friendly_name=call.text("FriendlyName") or wanted,
        settings=settings,
        date_created=call.now,
        date_updated=call.now,
        version=1,
    )


_SETTABLE: Final = (
    Param(name="FriendlyName", doc="A name for people, up to 64 characters."),
    *_SETTINGS.params(),
)

RESOURCES: Final = (
    Resource[PhoneNumber](
        name="IncomingPhoneNumber",
        path=f"{PATH}/IncomingPhoneNumbers",
        prefixes=(PHONE_NUMBER,),
        list_key="incoming_phone_numbers",
        returns=PhoneNumberBody,
        body=phone_number_body,
        find=find,
        pages=pages,
        guard=_guard,
        create=create,
        update=update,
        delete=delete,
        test=create_as_test,
        filters=(
            Param(name="PhoneNumber", doc="A number or part of one; * stands for any digit."),
            Param(name="FriendlyName", doc="Only numbers of exactly this name."),
            Param(name="Origin", choices=(_ORIGIN, "hosted"), doc="None is hosted elsewhere."),
        ),
        create_params=(
            Param(name="PhoneNumber", required=True, doc="E.164, such as +447700900123."),
            Param(name="AreaCode", doc="Not offered: 21457."),
            *_SETTABLE,
        ),
        update_params=(
            Param(name="AccountSid", doc="Gives the number to another account of the family."),
            *_SETTABLE,
        ),
    ),
)
