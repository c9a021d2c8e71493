"""Calls and applications that REST makes, where no process here carries calls."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from rest_world import NUMBER, OTHER_NUMBER, World, rest_world
from twilio.base.exceptions import TwilioRestException

from gateway.api.services import ApiLimits
from gateway.calls import orders
from gateway.calls.model import CallStatus
from gateway.calls.orders import NoCalls, Place, Redirect
from gateway.calls.tables import GET, call_of
from gateway.messages import notifications
from gateway.store.base import Query
from twiml.nouns import RecordingTrack, Trim
from twiml.verbs import StartRecording

ALL = Query("applications_left", "SELECT sid FROM applications WHERE account_sid = $1")
URL = "https://app.example/voice"
TO = "+447700900123"
GOOD = {"To": TO, "From": NUMBER, "Url": URL}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with rest_world(tmp_path) as world:
        yield world


def path(world: World, what: str = "Calls") -> str:
    return f"/2010-04-01/Accounts/{world.main.sid}/{what}.json"


REFUSED = {
    "no to": ({"To": ""}, 21201),
    "no number": ({"To": "12345"}, 21211),
    "no address": ({"To": "sip:"}, 21211),
    "a browser without a name": ({"To": "client:"}, 21211),
    "a browser with a long name": ({"To": f"client:{'a' * 122}"}, 21211),
    "a browser that is told too much": ({"To": f"client:a?b={'c' * 8192}"}, 21227),
    "too many headers": ({"To": f"sip:a@b.example?X-A={'a' * 1024}"}, 21227),
    "a header of SIP's own": ({"To": "sip:a@b.example?Route=c"}, 21228),
    "a header that ends the line": ({"To": "sip:a@b.example?X-A=b%0D%0AVia:c"}, 21228),
    "no from": ({"From": ""}, 21213),
    "a from that is none": ({"From": "alice"}, 21212),
    "a browser that calls a telephone": ({"From": "client:alice"}, 21212),
    "somebody else's number": ({"From": OTHER_NUMBER}, 21210),
    "shown as somebody else": ({"CallerId": OTHER_NUMBER}, 21210),
    "an unprintable caller": ({"To": "sip:a@b.example", "From": "a\r\nb"}, 21212),
    "nothing to run": ({"Url": ""}, 21205),
    "no url": ({"Url": "ftp://app.example"}, 21205),
    "no fallback": ({"FallbackUrl": "app"}, 21205),
    "a long document": ({"Url": "", "Twiml": "x" * 4001}, 32018),
    "a strange application": ({"ApplicationSid": "AP" + "0" * 32}, 21218),
    "a method": ({"Method": "PUT"}, 21209),
    "no callback": ({"StatusCallback": "app"}, 21609),
    "a strange event": ({"StatusCallbackEvent": "busy"}, 21626),
    "no ringing": ({"Timeout": "0"}, 21208),
    "long ringing": ({"Timeout": "601"}, 21208),
    "no timeout": ({"Timeout": "soon"}, 21208),
    "no limit": ({"TimeLimit": "0"}, 20001),
    "strange keys": ({"SendDigits": "1x"}, 21206),
    "too many keys": ({"SendDigits": "1" * 33}, 21206),
    "a long user": ({"SipAuthUsername": "u" * 256}, 21221),
    "a strange user": ({"SipAuthUsername": "u\n"}, 21222),
    "a long password": ({"SipAuthPassword": "p" * 256}, 21223),
    "a strange password": ({"SipAuthPassword": "p\n"}, 21224),
    "a strange event of a recording": ({"RecordingStatusCallbackEvent": "busy"}, 20001),
    "no channels": ({"RecordingChannels": "three"}, 20001),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_what_can_t_be_called_is_refused_and_not_kept(world: World, name: str) -> None:
    wrong, code = REFUSED[name]
    status, body, _ = await world.ask("POST", path(world), world.main, data={**GOOD, **wrong})
    assert (status, body["code"]) == (400, code), body
    _, page, _ = await world.ask("GET", path(world), world.main)
    assert page["calls"] == []


async def place(world: World, **fields: Any) -> tuple[Any, Place]:
    """What the official client made, and what is left for who carries calls."""
    client = world.sdk(world.main)
    made = await world.call(lambda: client.calls.create(**fields))
    (order,) = await orders.waiting(world.services.store)
    assert isinstance(order.order, Place)
    assert (order.sid, order.account_sid) == (made.sid, world.main.sid)
    return made, order.order


async def test_a_browser_may_be_called_as_by_another(world: World) -> None:
    made, wanted = await place(world, to="client:bob", from_="client:alice", url=URL)
    assert (made.to, made._from) == ("client:bob", "client:alice")
    assert (wanted.to, wanted.caller) == ("client:bob", "client:alice")


async def test_a_call_is_stored_with_all_that_it_takes_to_make_it(world: World) -> None:
    made, wanted = await place(
        world,
        to="sip:bob@b.example;transport=tcp?X-Order=1%202",
        from_="front-desk",
        url=URL,
        method="GET",
        twiml="<Response/>",
        fallback_url=f"{URL}/2",
        status_callback=f"{URL}/status",
        status_callback_event=["ringing", "completed"],
        send_digits="1w#",
        timeout=600,
        time_limit=30,
        record=True,
        recording_channels="dual",
        recording_track="inbound",
        recording_status_callback=f"{URL}/recording",
        sip_auth_username="u",
        sip_auth_password="secret",
        async_amd="true",
    )
    assert (made.status, made.direction) == ("queued", "outbound-api")
    assert wanted == Place(
        to="sip:bob@b.example;transport=tcp",
        caller="front-desk",
        runs=Redirect(url=URL, method="GET", fallback_url=f"{URL}/2"),
        headers=(("X-Order", "1 2"),),
        username="u",
        password="secret",
        timeout=600,
        time_limit=30,
        send_digits="1w#",
        recording=StartRecording(
            channels=2,
            track=RecordingTrack.INBOUND,
            trim=Trim.TRIM_SILENCE,
            recording_status_callback=f"{URL}/recording",
        ),
    )
    assert "secret" not in repr(wanted)
    store = world.services.store
    call = call_of((await store.fetch(GET, world.main.sid, made.sid))[0])
    assert (call.status, call.owner, call.version) == (CallStatus.QUEUED, "", 1)
    assert call.status_callback_events == ("ringing", "completed")
    noted = await store.fetch(notifications.OF_RESOURCE, made.sid)
    assert [row[3] for row in noted] == [32019, 21263]


async def test_help_is_called_by_its_short_number(world: World) -> None:
    made, wanted = await place(world, to="999", from_=NUMBER, url=URL)
    assert (made.to, wanted.to) == ("999", "999")


async def test_a_call_for_an_application_runs_what_that_says(world: World) -> None:
    client = world.sdk(world.main)
    application = await world.call(
        lambda: client.applications.create(
            voice_url=URL, voice_method="GET", status_callback=f"{URL}/over"
        )
    )
    made, wanted = await place(
        world, to=TO, from_=NUMBER, application_sid=application.sid, method="POST"
    )
    assert wanted.runs == Redirect(url=URL, method="GET")
    assert wanted.application_sid == application.sid
    call = call_of((await world.services.store.fetch(GET, world.main.sid, made.sid))[0])
    assert (call.status_callback, call.status_callback_events) == (f"{URL}/over", ("completed",))
    number = world.services.phone_numbers.holder(NUMBER)
    assert number is not None
    assert made.phone_number_sid == number.sid
    await world.call(lambda: client.applications(application.sid).update(voice_url=""))
    with pytest.raises(TwilioRestException, match="has no VoiceUrl"):
        await place(world, to=TO, from_=NUMBER, application_sid=application.sid)


async def test_no_more_wait_for_a_process_that_carries_calls_than_may(world: World) -> None:
    object.__setattr__(world.services, "limits", ApiLimits(max_queued=1))
    status, _, _ = await world.ask("POST", path(world), world.main, data=GOOD)
    assert status == 201
    status, body, _ = await world.ask("POST", path(world), world.main, data=GOOD)
    assert (status, body["code"]) == (429, 20429)


async def test_where_nobody_can_carry_calls_that_is_said(world: World) -> None:
    object.__setattr__(world.services, "calls", NoCalls("nobody carries calls"))
    status, body, _ = await world.ask("POST", path(world), world.main, data=GOOD)
    assert (status, body["code"], body["message"]) == (503, 20503, "nobody carries calls")


@pytest.mark.parametrize(
    ("to", "from_", "code"),
    [
        (TO, "+15005550006", 0),
        (TO, "+15005550001", 21212),
        (TO, NUMBER, 21210),
        ("+15005550001", "+15005550006", 21217),
        ("+15005550002", "+15005550006", 21214),
        ("+15005550003", "+15005550006", 21215),
        ("+15005550004", "+15005550006", 21216),
    ],
)
async def test_test_credentials_call_nobody(world: World, to: str, from_: str, code: int) -> None:
    client = world.sdk(world.test)
    if code:
        with pytest.raises(TwilioRestException) as raised:
            await world.call(lambda: client.calls.create(to=to, from_=from_, url=URL))
        assert raised.value.code == code
    else:
        made = await world.call(lambda: client.calls.create(to=to, from_=from_, url=URL))
        assert made.status == "queued"
    assert await orders.waiting(world.services.store) == []


async def test_an_application_is_kept_changed_and_removed(world: World) -> None:
    client = world.sdk(world.main)
    made = await world.call(
        lambda: client.applications.create(
            friendly_name="reminders", voice_url=URL, sms_url=f"{URL}/sms", voice_method="GET"
        )
    )
    assert (made.friendly_name, made.voice_method, made.sms_method) == ("reminders", "GET", "POST")
    await world.call(lambda: client.applications(made.sid).update(voice_url=f"{URL}/2"))
    found = await world.call(lambda: client.applications(made.sid).fetch())
    assert (found.voice_url, found.sms_url) == (f"{URL}/2", f"{URL}/sms")
    named = await world.call(lambda: client.applications.list(friendly_name="reminders"))
    assert [each.sid for each in named] == [made.sid]
    assert await world.call(lambda: client.applications.list(friendly_name="others")) == []
    assert await world.call(lambda: client.applications(made.sid).delete())
    assert await world.call(lambda: client.applications.list()) == []


async def test_a_number_refers_to_applications_of_its_account_alone(world: World) -> None:
    client = world.sdk(world.main)
    number = await world.call(
        lambda: client.incoming_phone_numbers.create(phone_number="+15550004000")
    )
    assert number.voice_application_sid == ""
    for sid in (f"AP{'0' * 32}", "app"):
        with pytest.raises(TwilioRestException) as raised:
            await world.call(lambda sid=sid: number.update(voice_application_sid=sid))
        assert raised.value.code == 21420
    made = await world.call(lambda: client.applications.create(voice_url=URL))
    changed = await world.call(lambda: number.update(voice_application_sid=made.sid))
    assert changed.voice_application_sid == made.sid
    changed = await world.call(lambda: number.update(voice_application_sid=""))
    assert changed.voice_application_sid == ""


async def test_a_closed_account_has_no_applications(world: World) -> None:
    client = world.sdk(world.main)
    sub = await world.call(lambda: client.api.accounts.create())
    path = f"/2010-04-01/Accounts/{sub.sid}/Applications.json"
    status, _, _ = await world.ask("POST", path, world.main, data={"VoiceUrl": URL})
    assert status == 201
    await world.call(lambda: client.api.accounts(sub.sid).update(status="closed"))
    rows = await world.services.store.fetch(ALL, sub.sid)
    assert rows == []
