"""Applications: `/2010-04-01/Accounts/{AccountSid}/Applications`."""

from typing import Any, Final

import msgspec

from gateway import applications
from gateway.api.declare import API_VERSION, PATH, Resource
from gateway.api.http import refuse, rfc2822
from gateway.api.lists import Listing
from gateway.api.paging import Page, Slice
from gateway.api.resources import Call, Kind, Param
from gateway.api.settings import Settings
from gateway.applications import COLUMNS, Application
from gateway.messages.draft import Refusal
from gateway.sids import APPLICATION, new_sid
from gateway.store.base import Stale

_MAX_NAME: Final = 64
_SETTINGS: Final = Settings(
    urls=(
        *("VoiceUrl", "VoiceFallbackUrl", "StatusCallback", "SmsUrl", "SmsFallbackUrl"),
        *("SmsStatusCallback", "MessageStatusCallback"),
    ),
    methods=(
        *("VoiceMethod", "VoiceFallbackMethod", "StatusCallbackMethod"),
        *("SmsMethod", "SmsFallbackMethod"),
    ),
    flags=(
        Param(name="VoiceCallerIdLookup", kind=Kind.BOOLEAN, doc="Kept and shown."),
        Param(name="PublicApplicationConnectEnabled", kind=Kind.BOOLEAN, doc="Kept and shown."),
    ),
)


class ApplicationBody(msgspec.Struct, frozen=True, kw_only=True):
    """An application as REST shows it."""

    account_sid: str
    api_version: str = API_VERSION
    date_created: str
    date_updated: str
    friendly_name: str
    message_status_callback: str
    public_application_connect_enabled: bool
    sid: str
    sms_fallback_method: str
    sms_fallback_url: str
    sms_method: str
    sms_status_callback: str
    sms_url: str
    status_callback: str
    status_callback_method: str
    uri: str
    voice_caller_id_lookup: bool
    voice_fallback_method: str
    voice_fallback_url: str
    voice_method: str
    voice_url: str


class _Filters(msgspec.Struct, frozen=True, kw_only=True):
    friendly_name: str = ""


_LISTING: Final = Listing(
    "applications", COLUMNS, applications.read, (APPLICATION,), (("friendly_name = {}",),)
)


def application_body(call: Call, found: Application) -> ApplicationBody:
    """The JSON of `found`."""
    shown: dict[str, Any] = _SETTINGS.shown(found.settings)
    base = PATH.format(AccountSid=found.account_sid)
    return ApplicationBody(
        account_sid=found.account_sid,
        date_created=rfc2822(found.date_created),
        date_updated=rfc2822(found.date_updated),
        friendly_name=found.friendly_name,
        sid=found.sid,
        uri=f"{base}/Applications/{found.sid}.json",
        **shown,
    )


def _settings(call: Call) -> dict[str, str] | Refusal:
    if len(call.text("FriendlyName")) > _MAX_NAME:
        return refuse(20002, f"FriendlyName should have {_MAX_NAME} characters at most")
    return _SETTINGS.read(call)


async def create(call: Call) -> Application | Refusal:
    """Name what runs for calls and texts, so that others can refer to it."""
    settings = _settings(call)
    if isinstance(settings, Refusal):
        return settings
    sid = new_sid(APPLICATION, call.now)
    made = Application(
        account_sid=call.account.sid,
        sid=sid,
        friendly_name=call.text("FriendlyName") or sid,
        settings=settings,
        date_created=call.now,
        date_updated=call.now,
    )
    await call.services.store.commit(applications.added(made))
    return made


async def find(call: Call) -> Application | Refusal:
    """One application of the account."""
    return await _LISTING.find(call)


async def pages(call: Call, page: Page) -> Slice:
    """The account's applications, newest first."""
    filters = _Filters(friendly_name=call.text("FriendlyName"))
    return await _LISTING.page(call.services.store, call.account.sid, filters, page)


async def update(call: Call, found: Application) -> Application | Refusal:
    """Rename an application, or change what runs."""
    settings = _settings(call)
    if isinstance(settings, Refusal):
        return settings
    while True:
        new = msgspec.structs.replace(
            found,
            friendly_name=call.text("FriendlyName") or found.friendly_name,
            settings={**found.settings, **settings},
            date_updated=call.now,
            version=found.version + 1,
        )
        try:
            await call.services.store.commit(applications.changed(new))
        except Stale:  # somebody else was quicker
            again = await find(call)
            if isinstance(again, Refusal):
                return again
            found = again
        else:
            return new


async def delete(call: Call, found: Application) -> None:
    """Remove an application; calls that run for it go on."""
    await call.services.store.commit(applications.removed(found, call.now))


_PARAMS: Final = (
    Param(name="FriendlyName", doc="A name for people, up to 64 characters."),
    Param(name="ApiVersion", choices=(API_VERSION,), doc="There is one."),
    *_SETTINGS.params(),
)

RESOURCES: Final = (
    Resource[Application](
        name="Application",
        path=f"{PATH}/Applications",
        prefixes=(APPLICATION,),
        list_key="applications",
        returns=ApplicationBody,
        body=application_body,
        find=find,
        pages=pages,
        create=create,
        update=update,
        delete=delete,
        filters=(Param(name="FriendlyName", doc="Only those of exactly this name."),),
        create_params=_PARAMS,
        update_params=_PARAMS,
    ),
)
