"""Each attribute that a document for a call may have, and the difference that it makes.

A row is a document in which the attribute says something else than its default, and what is to be
seen of the call then. `make mutate-twiml` takes the attribute's effect away and wants the row red.
"""

from collections.abc import Callable, Mapping
from functools import partial
from operator import attrgetter

import msgspec
import pytest

from tests.unit.twiml.fake_call import BASE, FakeCall, World, document_of
from twiml.nouns import (
    Beep,
    CallEvent,
    ConferenceEvent,
    ConferenceRecord,
    JitterBuffer,
    RecordingEvent,
    RecordingTrack,
    RecordMode,
    SipUri,
    Trim,
)
from twiml.voice import Pickup

ROOT = "https://app.example.com/voice/"
NEXT = f"{ROOT}next"
COACHED = "CA" + "1f" * 16
APP = "AP" + "2e" * 16
PAGES = {BASE: (), NEXT: ()}


class Row(msgspec.Struct, frozen=True):
    """What is written, what is looked at, and what is seen there."""

    written: str
    look: Callable[[FakeCall], object]
    sees: object
    world: World = World(app=PAGES)
    pickup: Pickup = Pickup.ANSWERED


def first(asked: str, field: str) -> Callable[[FakeCall], object]:
    """A field of the first thing of a kind that the call was asked for."""
    return lambda call: attrgetter(field)(getattr(call, asked)[0])


say = partial(first, "says")
dial = partial(first, "dials")
record = partial(first, "records")
start = partial(first, "starts")
enqueue = partial(first, "enqueues")
text = partial(first, "texts")


def noun(field: str) -> Callable[[FakeCall], object]:
    return lambda call: attrgetter(field)(call.dials[0].nouns[0])


def timeline(call: FakeCall) -> object:
    return call.timeline


def asked(call: FakeCall) -> object:
    return [(each.at, each.method, each.url) for each in call.asked]


def digits(call: FakeCall) -> object:
    return [(each.at, each.parameters.get("Digits")) for each in call.asked]


def reported(call: FakeCall) -> object:
    return [(each.method, each.url) for each in call.reported]


def keyed(*keys: tuple[float, str]) -> World:
    return World(app=PAGES, keys=keys)


SPOKEN = World(app=PAGES, speaks_until=4.0)
COMPLETED_AND_ABSENT = (RecordingEvent.COMPLETED, RecordingEvent.ABSENT)
EVENTS = 'recordingStatusCallbackEvent="completed absent"'
CALLED = (CallEvent.INITIATED, CallEvent.RINGING)
NUMBER = "+15550002000"


def number(attribute: str) -> str:
    return f"<Dial {attribute}>{NUMBER}</Dial>"


VERBS: Mapping[str, Row] = {
    "Say voice": Row('<Say voice="alice">Hi</Say>', say("voice"), "alice"),
    "Say language": Row('<Say language="de-DE">Hi</Say>', say("language"), "de-DE"),
    "Say loop": Row('<Say loop="3">Hi</Say>', timeline, [(0.0, "say Hi"), (3.0, "hang up done")]),
    "Play loop": Row(
        '<Play loop="2">a</Play>', timeline, [(0.0, f"play {ROOT}a"), (2.0, "hang up done")]
    ),
    "Play digits": Row(
        '<Play digits="1w2"/>', timeline, [(0.0, "press 1w2"), (1.0, "hang up done")]
    ),
    "Pause length": Row('<Pause length="7"/>', timeline, [(0.0, "pause 7"), (7.0, "hang up done")]),
    "Gather input": Row('<Gather input="speech"/>', asked, [], keyed((1.0, "1"))),
    "Gather action": Row(
        '<Gather action="next"/>', asked, [(6.0, "POST", NEXT)], keyed((1.0, "1"))
    ),
    "Gather method": Row('<Gather method="GET"/>', asked, [(6.0, "GET", BASE)], keyed((1.0, "1"))),
    "Gather timeout": Row('<Gather timeout="2"/>', digits, [(3.0, "1")], keyed((1.0, "1"))),
    "Gather finishOnKey": Row(
        '<Gather finishOnKey="*"/>', digits, [(1.5, "1#")], keyed((1.0, "1#"), (1.5, "*"))
    ),
    "Gather numDigits": Row('<Gather numDigits="2"/>', digits, [(1.0, "12")], keyed((1.0, "12"))),
    "Gather actionOnEmptyResult": Row('<Gather actionOnEmptyResult="true"/>', digits, [(5.0, "")]),
    "Record action": Row('<Record action="next"/>', asked, [(9.0, "POST", NEXT)], SPOKEN),
    "Record method": Row('<Record method="GET"/>', asked, [(9.0, "GET", BASE)], SPOKEN),
    "Record timeout": Row('<Record timeout="2"/>', asked, [(6.0, "POST", BASE)], SPOKEN),
    "Record finishOnKey": Row(
        '<Record finishOnKey="#"/>',
        digits,
        [(2.0, "#")],
        World(app=PAGES, speaks_until=4.0, keys=((1.0, "1"), (2.0, "#"))),
    ),
    "Record maxLength": Row('<Record maxLength="3"/>', asked, [(3.0, "POST", BASE)], SPOKEN),
    "Record playBeep": Row('<Record playBeep="false"/>', record("play_beep"), False),
    "Record trim": Row('<Record trim="do-not-trim"/>', record("trim"), Trim.KEEP),
    "Record recordingStatusCallback": Row(
        '<Record recordingStatusCallback="next"/>', record("recording_status_callback"), NEXT
    ),
    "Record recordingStatusCallbackMethod": Row(
        '<Record recordingStatusCallbackMethod="GET"/>',
        record("recording_status_callback_method"),
        "GET",
    ),
    "Record recordingStatusCallbackEvent": Row(
        f"<Record {EVENTS}/>", record("recording_status_callback_event"), COMPLETED_AND_ABSENT
    ),
    "Redirect method": Row('<Redirect method="GET">next</Redirect>', asked, [(0.0, "GET", NEXT)]),
    "Refer action": Row(
        '<Refer action="next"><Sip>sip:a@b</Sip></Refer>', asked, [(2.0, "POST", NEXT)]
    ),
    "Refer method": Row(
        '<Refer action="next" method="GET"><Sip>sip:a@b</Sip></Refer>',
        asked,
        [(2.0, "GET", NEXT)],
    ),
    "Reject reason": Row(
        '<Reject reason="busy"/>', timeline, [(0.0, "reject busy")], pickup=Pickup.RINGING
    ),
    "Sms to": Row(f'<Sms to="{NUMBER}">Hi</Sms>', text("to"), NUMBER),
    "Sms from": Row(f'<Sms from="{NUMBER}">Hi</Sms>', text("from_"), NUMBER),
    "Sms action": Row('<Sms action="next">Hi</Sms>', asked, [(0.5, "POST", NEXT)]),
    "Sms method": Row('<Sms action="next" method="GET">Hi</Sms>', asked, [(0.5, "GET", NEXT)]),
    "Sms statusCallback": Row('<Sms statusCallback="next">Hi</Sms>', text("status_callback"), NEXT),
    "Enqueue action": Row('<Enqueue action="next">q</Enqueue>', asked, [(20.0, "POST", NEXT)]),
    "Enqueue method": Row(
        '<Enqueue action="next" method="GET">q</Enqueue>', asked, [(20.0, "GET", NEXT)]
    ),
    "Enqueue waitUrl": Row('<Enqueue waitUrl="next">q</Enqueue>', enqueue("wait_url"), NEXT),
    "Enqueue waitUrlMethod": Row(
        '<Enqueue waitUrlMethod="GET">q</Enqueue>', enqueue("wait_method"), "GET"
    ),
    "Enqueue maxQueueSize": Row(
        '<Enqueue maxQueueSize="7">q</Enqueue>', enqueue("max_queue_size"), 7
    ),
    "Start action": Row('<Start action="next"><Recording/></Start>', reported, [("POST", NEXT)]),
    "Start method": Row(
        '<Start action="next" method="GET"><Recording/></Start>', reported, [("GET", NEXT)]
    ),
    "Start>Recording channels": Row(
        '<Start><Recording channels="mono"/></Start>', start("channels"), 1
    ),
    "Start>Recording track": Row(
        '<Start><Recording track="inbound"/></Start>', start("track"), RecordingTrack.INBOUND
    ),
    "Start>Recording trim": Row(
        '<Start><Recording trim="trim-silence"/></Start>', start("trim"), Trim.TRIM_SILENCE
    ),
    "Start>Recording recordingStatusCallback": Row(
        '<Start><Recording recordingStatusCallback="next"/></Start>',
        start("recording_status_callback"),
        NEXT,
    ),
    "Start>Recording recordingStatusCallbackMethod": Row(
        '<Start><Recording recordingStatusCallbackMethod="GET"/></Start>',
        start("recording_status_callback_method"),
        "GET",
    ),
    "Start>Recording recordingStatusCallbackEvent": Row(
        f"<Start><Recording {EVENTS}/></Start>",
        start("recording_status_callback_event"),
        COMPLETED_AND_ABSENT,
    ),
}

DIALS: Mapping[str, Row] = {
    "Dial action": Row(number('action="next"'), asked, [(10.0, "POST", NEXT)]),
    "Dial method": Row(number('action="next" method="GET"'), asked, [(10.0, "GET", NEXT)]),
    "Dial timeout": Row(number('timeout="7"'), dial("timeout"), 7),
    "Dial timeLimit": Row(number('timeLimit="7"'), dial("time_limit"), 7),
    "Dial hangupOnStar": Row(number('hangupOnStar="true"'), dial("hangup_on_star"), True),
    "Dial callerId": Row(number('callerId="+15550003000"'), dial("caller_id"), "+15550003000"),
    "Dial answerOnBridge": Row(
        number('answerOnBridge="true"'),
        timeline,
        [(0.0, "dial"), (10.0, "hang up done")],
        pickup=Pickup.RINGING,
    ),
    "Dial sequential": Row(number('sequential="true"'), dial("sequential"), True),
    "Dial ringTone": Row(number('ringTone="de"'), dial("ring_tone"), "de"),
    "Dial record": Row(
        number('record="record-from-answer"'), dial("record"), RecordMode.FROM_ANSWER
    ),
    "Dial trim": Row(number('trim="trim-silence"'), dial("trim"), Trim.TRIM_SILENCE),
    "Dial recordingTrack": Row(
        number('recordingTrack="outbound"'), dial("recording_track"), RecordingTrack.OUTBOUND
    ),
    "Dial recordingStatusCallback": Row(
        number('recordingStatusCallback="next"'), dial("recording_status_callback"), NEXT
    ),
    "Dial recordingStatusCallbackMethod": Row(
        number('recordingStatusCallbackMethod="GET"'),
        dial("recording_status_callback_method"),
        "GET",
    ),
    "Dial recordingStatusCallbackEvent": Row(
        number(EVENTS), dial("recording_status_callback_event"), COMPLETED_AND_ABSENT
    ),
    "Dial referUrl": Row(number('referUrl="next"'), dial("refer_url"), NEXT),
    "Dial referMethod": Row(number('referMethod="GET"'), dial("refer_method"), "GET"),
}

_NOUNS = {"Application": APP, "Client": "joe", "Number": NUMBER, "Queue": "q", "Sip": "sip:a@b"}
_CALLED = {
    "url": ("next", "url", NEXT),
    "method": ("GET", "method", "GET"),
    "statusCallback": ("next", "status_callback", NEXT),
    "statusCallbackMethod": ("GET", "status_callback_method", "GET"),
    "statusCallbackEvent": ("initiated ringing", "status_callback_event", CALLED),
}


def called(kind: str, attribute: str, value: str, field: str, sees: object) -> Row:
    """An attribute of a noun, which is the call's affair."""
    written = f'<Dial><{kind} {attribute}="{value}">{_NOUNS[kind]}</{kind}></Dial>'
    return Row(written, noun(field), sees)


CALLEES: Mapping[str, Row] = {
    **{
        f"Dial>{kind} {attribute}": called(kind, attribute, *row)
        for kind in _NOUNS
        for attribute, row in _CALLED.items()
        if kind != "Queue" or attribute in ("url", "method")
    },
    "Dial>Number sendDigits": called("Number", "sendDigits", "1w2", "send_digits", "1w2"),
    "Dial>Application customerId": called("Application", "customerId", "c1", "customer_id", "c1"),
    "Dial>Application copyParentTo": called(
        "Application", "copyParentTo", "true", "copy_parent_to", True
    ),
    **{
        f"Dial>{kind}>Parameter {attribute}": Row(
            f'<Dial><{kind}><{inner}>{_NOUNS[kind]}</{inner}><Parameter name="a" value="b"/>'
            f"</{kind}></Dial>",
            noun("parameters"),
            (("a", "b"),),
        )
        for kind, inner in (("Application", "ApplicationSid"), ("Client", "Identity"))
        for attribute in ("name", "value")
    },
    "Dial>Sip codecs": called("Sip", "codecs", "PCMA G722", "codecs", ("PCMA", "G722")),
    **{
        f"Dial>Sip {attribute}": Row(
            '<Dial><Sip username="u" password="p">sip:a@b</Sip></Dial>',
            noun("uris"),
            (SipUri(uri="sip:a@b", username="u", password="p"),),
        )
        for attribute in ("username", "password")
    },
    **{
        f"Dial>Sip>Uri {attribute}": Row(
            '<Dial><Sip><Uri username="u" password="p" priority="3" weight="4">sip:a@b</Uri>'
            "</Sip></Dial>",
            lambda call, attribute=attribute: getattr(call.dials[0].nouns[0].uris[0], attribute),
            sees,
        )
        for attribute, sees in {
            "username": "u",
            "password": "p",
            "priority": 3,
            "weight": 4,
        }.items()
    },
    **{
        f"Dial>Sip>Headers>Header {attribute}": Row(
            '<Dial><Sip><Uri>sip:a@b</Uri><Headers><Header name="X-A" value="b"/></Headers>'
            "</Sip></Dial>",
            noun("headers"),
            (("X-A", "b"),),
        )
        for attribute in ("name", "value")
    },
}

_ROOM: Mapping[str, tuple[str, str, object]] = {
    "muted": ("true", "muted", True),
    "beep": ("onEnter", "beep", Beep.ON_ENTER),
    "startConferenceOnEnter": ("false", "start_on_enter", False),
    "endConferenceOnExit": ("true", "end_on_exit", True),
    "maxParticipants": ("7", "max_participants", 7),
    "waitUrl": ("next", "wait_url", NEXT),
    "waitMethod": ("GET", "wait_method", "GET"),
    "coach": (COACHED, "coach", COACHED),
    "participantLabel": ("agent", "participant_label", "agent"),
    "jitterBufferSize": ("small", "jitter_buffer", JitterBuffer.SMALL),
    "record": ("record-from-start", "record", ConferenceRecord.FROM_START),
    "trim": ("do-not-trim", "trim", Trim.KEEP),
    "statusCallback": ("next", "status_callback", NEXT),
    "statusCallbackMethod": ("GET", "status_callback_method", "GET"),
    "statusCallbackEvent": (
        "start end",
        "status_callback_event",
        (ConferenceEvent.START, ConferenceEvent.END),
    ),
    "eventCallbackUrl": ("next", "event_callback_url", NEXT),
    "recordingStatusCallback": ("next", "recording_status_callback", NEXT),
    "recordingStatusCallbackMethod": ("GET", "recording_status_callback_method", "GET"),
    "recordingStatusCallbackEvent": (
        "completed absent",
        "recording_status_callback_event",
        COMPLETED_AND_ABSENT,
    ),
}

ROOMS: Mapping[str, Row] = {
    f"Dial>Conference {attribute}": Row(
        f'<Dial><Conference {attribute}="{value}">room</Conference></Dial>', noun(field), sees
    )
    for attribute, (value, field, sees) in _ROOM.items()
}

_SSML = {
    "break": {"strength": "strong", "time": "2s"},
    "emphasis": {"level": "strong"},
    "lang": {"xml:lang": "fr-FR"},
    "prosody": {"pitch": "high", "rate": "slow", "volume": "loud"},
    "say-as": {"interpret-as": "digits"},
    "sub": {"alias": "hello"},
}


def spoken(kind: str, attributes: Mapping[str, str]) -> Row:
    """Attributes of SSML, which reach who speaks; the order is theirs."""
    written = " ".join(f'{name}="{value}"' for name, value in attributes.items())
    inner = "" if kind == "break" else "Hi"
    return Row(
        f"<Say>So <{kind} {written}>{inner}</{kind}></Say>",
        lambda call: [
            f'{name}="{value}"' in call.says[0].ssml for name, value in attributes.items()
        ],
        [True] * len(attributes),
    )


SSML: Mapping[str, Row] = {
    f"Say>{kind} {attribute}": spoken(kind, attributes)
    for kind, attributes in _SSML.items()
    for attribute in attributes
}

ROWS: Mapping[str, Row] = {**VERBS, **DIALS, **CALLEES, **ROOMS, **SSML}


@pytest.mark.parametrize("name", ROWS)
def test_an_attribute_makes_its_difference(name: str) -> None:
    row = ROWS[name]
    call = FakeCall(row.world, pickup=row.pickup)
    assert not document_of(f"<Response>{row.written}</Response>").warnings
    call.runs(f"<Response>{row.written}</Response>").play_out()
    assert row.look(call) == row.sees
    assert call.left == {}
