"""What runs for a call, by the settings of the number or the domain that it came by."""

import msgspec
import pytest

from gateway.calls.apps import App, app_of_domain, app_of_number
from gateway.model import PhoneNumber
from gateway.sip.model import Domain
from gateway.webhooks.instructions import Fallback

WHOLE = {
    "voice_url": "https://a.example/v",
    "voice_method": "GET",
    "voice_fallback_url": "https://a.example/f",
    "voice_fallback_method": "GET",
}
APPS = [
    ({}, App()),
    ({"voice_url": "https://a.example/v"}, App(url="https://a.example/v")),
    (
        {"voice_fallback_url": "https://a.example/f"},
        App(fallback=Fallback(url="https://a.example/f")),
    ),
    ({"voice_twiml": "<Response/>"}, App(twiml="<Response/>")),
    (
        WHOLE,
        App(
            url="https://a.example/v",
            method="GET",
            fallback=Fallback(url="https://a.example/f", method="GET"),
        ),
    ),
]


@pytest.mark.parametrize(("settings", "wanted"), APPS)
def test_what_runs_is_what_was_set(settings: dict[str, str], wanted: App) -> None:
    told = msgspec.structs.replace(
        wanted, status_callback="https://a.example/s", status_callback_method="GET"
    )
    common = {"account_sid": "AC1", "date_created": 0.0, "date_updated": 0.0, "version": 1}
    for prefix, make, url in (
        ("", _number, "status_callback"),
        ("voice_", _domain, "voice_status_callback_url"),
    ):
        callback = {url: told.status_callback, f"{prefix}status_callback_method": "GET"}
        assert make(settings, common) == wanted
        assert make({**settings, **callback}, common) == told


def test_an_application_goes_before_the_urls_of_a_number() -> None:
    common = {"account_sid": "AC1", "date_created": 0.0, "date_updated": 0.0, "version": 1}
    callback = {"status_callback": "https://a.example/s"}
    settings = {**WHOLE, **callback, "voice_application_sid": "AP1"}
    assert _number(settings, common) == App(application_sid="AP1")
    assert _number({**WHOLE, "voice_application_sid": ""}, common) == APPS[-1][1]


def _number(settings: dict[str, str], common: dict[str, object]) -> App:
    return app_of_number(
        PhoneNumber(
            sid="PN1",
            phone_number="+15550001000",
            friendly_name="",
            settings=settings,
            **common,
        )
    )


def _domain(settings: dict[str, str], common: dict[str, object]) -> App:
    return app_of_domain(
        Domain(
            sid="SD1",
            domain_name="a.example",
            friendly_name="",
            settings=settings,
            **common,
        )
    )
