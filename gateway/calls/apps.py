"""What runs for a call: the settings of the number, the domain or the application it came by."""

from collections.abc import Mapping
from typing import Final

import msgspec

from gateway.applications import Application
from gateway.model import PhoneNumber
from gateway.sip.model import Domain
from gateway.webhooks.instructions import Fallback

APPLICATION: Final = "application:"
"""How the `origin` of a call begins that an application has; the application's SID follows."""


class App(msgspec.Struct, frozen=True, kw_only=True):
    """Whom to ask what to do with a call, and whom to tell of its end; "" is nobody.

    `twiml` is a document that runs without asking. With an `application_sid` that application says
    it, and nothing here does.
    """

    url: str = ""
    twiml: str = ""
    method: str = "POST"
    fallback: Fallback | None = None
    status_callback: str = ""
    status_callback_method: str = "POST"
    application_sid: str = ""


def app_of_number(number: PhoneNumber) -> App:
    """What runs for calls to `number`: an application goes before its own URLs, as at Twilio."""
    if sid := number.settings.get("voice_application_sid", ""):
        return App(application_sid=sid)
    return _app(number.settings, "status_callback", "status_callback_method")


def app_of_application(application: Application) -> App:
    """What runs for calls that refer to `application`."""
    return _app(application.settings, "status_callback", "status_callback_method")


def app_of_domain(domain: Domain) -> App:
    """What runs for calls that come in by `domain`."""
    return _app(domain.settings, "voice_status_callback_url", "voice_status_callback_method")


def _app(settings: Mapping[str, str], callback: str, callback_method: str) -> App:
    fallback = settings.get("voice_fallback_url", "")
    return App(
        url=settings.get("voice_url", ""),
        twiml=settings.get("voice_twiml", ""),
        method=settings.get("voice_method") or "POST",
        fallback=(
            Fallback(url=fallback, method=settings.get("voice_fallback_method") or "POST")
            if fallback
            else None
        ),
        status_callback=settings.get(callback, ""),
        status_callback_method=settings.get(callback_method) or "POST",
    )
