"""What can be written in each element of a document for a call: good values, bad ones, children."""

import inspect
from collections.abc import Iterator

import pytest
from twilio.twiml import voice_response as sdk

from twiml.elements import Element
from twiml.errors import Level, ParseFailure
from twiml.nouns import (
    Application,
    Beep,
    CallEvent,
    Client,
    Conference,
    ConferenceEvent,
    ConferenceRecord,
    JitterBuffer,
    Queue,
    RecordingEvent,
    RecordingTrack,
    Trim,
)
from twiml.parser import Document, parse
from twiml.queue_elements import MAX_QUEUE_NAME
from twiml.registry import elements as listed
from twiml.registry import promised
from twiml.verbs import (
    Dial,
    Echo,
    Enqueue,
    Gather,
    Leave,
    Pause,
    Play,
    Record,
    Refer,
    Say,
    Sms,
    StartRecording,
    StopRecording,
)
from twiml.voice_dialect import ALL_VOICE

COACHED = "CA" + "1f" * 16
APPLICATION = "AP" + "2e" * 16

WRITTEN = {
    "Say": "<Say {}>Hi</Say>",
    "Play": "<Play {}>/a.mp3</Play>",
    "Gather": "<Gather {}/>",
    "Record": "<Record {}/>",
    "Enqueue": "<Enqueue {}>support</Enqueue>",
    "Refer": "<Refer {}><Sip>sip:a@b</Sip></Refer>",
    "Sms": "<Sms {}>Hi</Sms>",
    "Start": "<Start {}><Recording/></Start>",
    "Recording": "<Start><Recording {}/></Start>",
    "Client": "<Dial><Client {}>joe</Client></Dial>",
    "Conference": "<Dial><Conference {}>room</Conference></Dial>",
    "Queue": "<Dial><Queue {}>support</Queue></Dial>",
    "Application": f"<Dial><Application {{}}>{APPLICATION}</Application></Dial>",
}

ACTION = [("action", "/a", "action", "/a"), ("method", "get", "method", "GET")]
RECORDED = [
    ("recordingStatusCallback", "/r", "recording_status_callback", "/r"),
    (
        "recordingStatusCallbackEvent",
        "absent in-progress",
        "recording_status_callback_event",
        (RecordingEvent.ABSENT, RecordingEvent.IN_PROGRESS),
    ),
    ("recordingStatusCallbackMethod", "GET", "recording_status_callback_method", "GET"),
]
NOUN = [
    ("url", "/w", "url", "/w"),
    ("method", "GET", "method", "GET"),
    ("statusCallback", "/s", "status_callback", "/s"),
    ("statusCallbackEvent", "ringing", "status_callback_event", (CallEvent.RINGING,)),
    ("statusCallbackMethod", "GET", "status_callback_method", "GET"),
]

# Attribute, value, the field it fills, what is there then.
HONOURED = {
    "Say": [
        ("voice", "alice", "voice", "alice"),
        ("voice", "Polly.Joanna-Neural", "voice", "Polly.Joanna-Neural"),
        ("voice", "Google.en-US-Chirp3-HD-Aoede", "voice", "Google.en-US-Chirp3-HD-Aoede"),
        ("language", "en-GB-WLS", "language", "en-GB-WLS"),
        ("language", "arb", "language", "arb"),
        ("loop", "0", "loop", 0),
        ("loop", "1000", "loop", 1000),
    ],
    "Play": [("loop", "0", "loop", 0), ("digits", "1wW*#D", "digits", "1wW*#D")],
    "Gather": [
        *ACTION,
        ("timeout", "1", "timeout", 1),
        ("finishOnKey", "", "finish_on_key", ""),
        ("finishOnKey", "*0", "finish_on_key", "*0"),
        ("numDigits", "4", "num_digits", 4),
        ("actionOnEmptyResult", "true", "action_on_empty_result", True),
    ],
    "Record": [
        *ACTION,
        *RECORDED,
        ("timeout", "0", "timeout", 0),
        ("finishOnKey", "", "finish_on_key", ""),
        ("finishOnKey", "#", "finish_on_key", "#"),
        ("maxLength", "14400", "max_length", 14400),
        ("playBeep", "false", "play_beep", False),
        ("trim", "do-not-trim", "trim", Trim.KEEP),
    ],
    "Enqueue": [
        *ACTION,
        ("waitUrl", "", "wait_url", ""),
        ("waitUrl", "/wait", "wait_url", "/wait"),
        ("waitUrlMethod", "GET", "wait_method", "GET"),
        ("maxQueueSize", "5000", "max_queue_size", 5000),
    ],
    "Refer": ACTION,
    "Sms": [
        *ACTION,
        ("to", "+15550002000", "to", "+15550002000"),
        ("from", "+15550001000", "from_", "+15550001000"),
        ("statusCallback", "/s", "status_callback", "/s"),
    ],
    "Start": ACTION,
    "Recording": [
        *RECORDED,
        ("channels", "mono", "channels", 1),
        ("track", "outbound", "track", RecordingTrack.OUTBOUND),
        ("trim", "trim-silence", "trim", Trim.TRIM_SILENCE),
    ],
    "Client": NOUN,
    "Application": [
        *NOUN,
        ("customerId", "joe", "customer_id", "joe"),
        ("copyParentTo", "true", "copy_parent_to", True),
    ],
    "Conference": [
        ("muted", "true", "muted", True),
        ("beep", "onExit", "beep", Beep.ON_EXIT),
        ("startConferenceOnEnter", "false", "start_on_enter", False),
        ("endConferenceOnExit", "true", "end_on_exit", True),
        ("maxParticipants", "2", "max_participants", 2),
        ("waitUrl", "", "wait_url", ""),
        ("waitUrl", "/wait", "wait_url", "/wait"),
        ("waitMethod", "GET", "wait_method", "GET"),
        ("coach", COACHED, "coach", COACHED),
        ("participantLabel", "Joe &amp; co", "participant_label", "Joe & co"),
        ("jitterBufferSize", "off", "jitter_buffer", JitterBuffer.OFF),
        ("record", "record-from-start", "record", ConferenceRecord.FROM_START),
        ("trim", "do-not-trim", "trim", Trim.KEEP),
        ("statusCallback", "/s", "status_callback", "/s"),
        (
            "statusCallbackEvent",
            "start speaker",
            "status_callback_event",
            (ConferenceEvent.START, ConferenceEvent.SPEAKER),
        ),
        ("statusCallbackMethod", "GET", "status_callback_method", "GET"),
        ("eventCallbackUrl", "/e", "event_callback_url", "/e"),
        *RECORDED,
    ],
    "Queue": [("url", "/w", "url", "/w"), ("method", "GET", "method", "GET")],
}

# Attribute, a value that is right, one that is not and its code; None if any is right.
UNDONE: dict[str, list[tuple[str, str, tuple[str, int] | None]]] = {
    "Gather": [
        ("speechTimeout", "auto", ("soon", 13327)),
        ("language", "de-DE", ("german!", 13331)),
        ("hints", "one, two, $OOV_CLASS", ("a&#10;b", 13330)),
        ("speechModel", "googlev2_telephony", ("best", 13334)),
        ("enhanced", "true", ("yes", 12200)),
        ("profanityFilter", "false", ("no", 13333)),
        ("bargeIn", "true", ("1", 13332)),
        ("partialResultCallback", "/p", ("data:x", 12200)),
        ("partialResultCallbackMethod", "GET", ("PUT", 13329)),
        ("maxSpeechTime", "60", ("0", 13328)),
        ("debug", "true", None),
        ("dtmfDetection", "true", None),
    ],
    "Record": [("transcribe", "true", ("yes", 13614)), ("recordingConfigurationId", "x", None)],
    "Enqueue": [("workflowSid", "WW1", None)],
    "Recording": [("recordingConfigurationId", "x", None)],
    "Conference": [("region", "us1", None), ("recordingConfigurationId", "x", None)],
    "Queue": [("reservationSid", "WR1", None), ("postWorkActivitySid", "WA1", None)],
}

BAD = [
    ("Say", "voice", "Joanna", 13511),
    ("Say", "voice", "Polly.&lt;x", 13511),
    ("Say", "language", "english language", 13512),
    ("Say", "loop", "-1", 13510),
    ("Say", "loop", "1001", 13510),
    ("Play", "loop", "x", 13410),
    ("Play", "digits", "12x", 13430),
    ("Gather", "action", "data:x", 12200),
    ("Gather", "method", "PUT", 13312),
    ("Gather", "timeout", "0", 13313),
    ("Gather", "timeout", "auto", 13313),
    ("Gather", "finishOnKey", "any", 13310),
    ("Gather", "numDigits", "0", 13314),
    ("Gather", "numDigits", "٣", 13314),
    ("Gather", "input", "keys", 13326),
    ("Record", "action", "data:x", 12200),
    ("Record", "method", "PUT", 13610),
    ("Record", "timeout", "-1", 13611),
    ("Record", "maxLength", "0", 13612),
    ("Record", "maxLength", "14401", 13612),
    ("Record", "finishOnKey", "A", 13613),
    ("Record", "playBeep", "loud", 13616),
    ("Record", "trim", "both", 13699),
    ("Record", "recordingStatusCallback", "data:x", 13256),
    ("Record", "recordingStatusCallbackMethod", "PUT", 12200),
    ("Enqueue", "maxQueueSize", "5001", 12200),
    ("Refer", "action", "data:x", 12200),
    ("Refer", "method", "PUT", 12200),
    ("Sms", "from", "a name that is too long", 14102),
    ("Sms", "action", "data:x", 12200),
    ("Sms", "method", "PUT", 14104),
    ("Sms", "statusCallback", "data:x", 14105),
    ("Start", "action", "data:x", 12200),
    ("Start", "method", "PUT", 12200),
    ("Recording", "channels", "2", 12200),
    ("Recording", "track", "left", 12200),
    ("Recording", "trim", "both", 13699),
    ("Client", "url", "data:x", 12200),
    ("Client", "method", "PUT", 12200),
    ("Client", "statusCallbackEvent", "died", 12200),
    ("Application", "url", "data:x", 12200),
    ("Application", "customerId", "x" * 122, 12200),
    ("Application", "copyParentTo", "1", 12200),
    ("Conference", "muted", "1", 13230),
    ("Conference", "beep", "loud", 13235),
    ("Conference", "startConferenceOnEnter", "1", 13232),
    ("Conference", "maxParticipants", "1", 12200),
    ("Conference", "maxParticipants", "251", 12200),
    ("Conference", "waitUrl", "data:x", 13233),
    ("Conference", "waitMethod", "PUT", 13234),
    ("Conference", "participantLabel", "x" * 129, 12200),
    ("Conference", "jitterBufferSize", "huge", 12200),
    ("Conference", "record", "true", 12200),
    ("Conference", "statusCallback", "data:x", 12200),
    ("Conference", "statusCallbackEvent", "join shout", 12200),
    ("Conference", "statusCallbackMethod", "PUT", 12200),
    ("Conference", "eventCallbackUrl", "data:x", 12200),
    ("Conference", "recordingStatusCallback", "data:x", 13256),
]

# What Twilio calls an error, not a warning.
FATAL = [
    ("Gather", "actionOnEmptyResult", "1", 13338),
    ("Record", "recordingStatusCallbackEvent", "done", 13621),
    ("Record", "transcribeCallback", "data:x", 13257),
    ("Recording", "recordingStatusCallbackEvent", "done", 13621),
    ("Enqueue", "action", "data:x", 14203),
    ("Enqueue", "method", "PUT", 14201),
    ("Enqueue", "waitUrl", "data:x", 14202),
    ("Enqueue", "waitUrlMethod", "PUT", 14206),
    ("Conference", "endConferenceOnExit", "1", 13231),
    ("Conference", "coach", "joe", 13240),
    ("Conference", "trim", "both", 13239),
    ("Conference", "recordingStatusCallbackEvent", "done", 13621),
    ("Queue", "method", "PUT", 14210),
    ("Queue", "url", "data:x", 14211),
]


def read(inner: str) -> Document[object]:
    document = parse(f"<Response>{inner}</Response>".encode(), "text/xml", ALL_VOICE)
    assert isinstance(document, Document), document
    return document


def failed(inner: str) -> ParseFailure:
    failure = parse(f"<Response>\n{inner}</Response>".encode(), "text/xml", ALL_VOICE)
    assert isinstance(failure, ParseFailure), failure
    return failure


def codes(document: Document[object]) -> list[int]:
    assert {finding.level for finding in document.warnings} <= {Level.WARNING}
    return [finding.code for finding in document.warnings]


def one(inner: str) -> object:
    """The only verb, or the only noun of a `<Dial>`."""
    (verb,) = read(inner).verbs
    if isinstance(verb, Dial):
        (noun,) = verb.nouns
        return noun
    return verb


@pytest.mark.parametrize(
    ("element", "attribute", "value", "field", "expected"),
    [(element, *row) for element, rows in HONOURED.items() for row in rows],
)
def test_attributes_are_read(
    element: str, attribute: str, value: str, field: str, expected: object
) -> None:
    written = WRITTEN[element].format(f'{attribute}="{value}"')
    if attribute == "digits":
        written = written.replace("/a.mp3", "")
    assert codes(read(written)) == []
    assert getattr(one(written), field) == expected
    assert getattr(one(WRITTEN[element].format("")), field) != expected


@pytest.mark.parametrize("element", HONOURED)
def test_all_that_is_promised_is_read(element: str) -> None:
    read_here = {attribute for attribute, *_ in HONOURED[element]}
    all_of_it = {name for place, name in promised(ALL_VOICE) if place[-1] == element}
    assert all_of_it - {"input"} == read_here


@pytest.mark.parametrize(("element", "attribute", "value", "code"), BAD)
def test_a_bad_value_is_the_default_and_a_warning(
    element: str, attribute: str, value: str, code: int
) -> None:
    document = read(WRITTEN[element].format(f'{attribute}="{value}"'))
    assert codes(document) == [code]
    assert document.verbs == read(WRITTEN[element].format("")).verbs


@pytest.mark.parametrize(("element", "attribute", "value", "code"), FATAL)
def test_a_bad_value_that_twilio_calls_an_error_ends_the_document(
    element: str, attribute: str, value: str, code: int
) -> None:
    failure = failed(WRITTEN[element].format(f'{attribute}="{value}"'))
    assert (failure.code, failure.line) == (code, 2)
    assert attribute in failure.message


@pytest.mark.parametrize(
    ("element", "attribute", "value", "bad"),
    [(element, *row) for element, rows in UNDONE.items() for row in rows],
)
def test_what_has_no_effect_is_looked_at_and_said(
    element: str, attribute: str, value: str, bad: tuple[str, int] | None
) -> None:
    plain = WRITTEN[element].format("")
    document = read(WRITTEN[element].format(f'{attribute}="{value}"'))
    assert codes(document) == [12200]
    why = f"{attribute} of <{element}> has no effect here: "
    assert document.warnings[0].message.startswith(why)
    assert document.verbs == read(plain).verbs
    assert codes(read(WRITTEN[element].format(f'{attribute}=""'))) == []
    if bad is not None:
        wrong = read(WRITTEN[element].format(f'{attribute}="{bad[0]}"'))
        assert codes(wrong) == [12200, bad[1]]
        assert wrong.verbs == read(plain).verbs


def test_a_callback_for_what_was_said_is_not_called() -> None:
    document = read("<Record transcribeCallback='/t'/>")
    assert codes(document) == [12200]
    assert document.verbs == (Record(),)


def test_speech_as_input_is_said_to_have_no_effect() -> None:
    document = read("<Gather input='speech dtmf'/>")
    assert codes(document) == [12200]
    assert document.verbs == (Gather(input=("speech", "dtmf")),)
    assert codes(read("<Gather input='dtmf'/>")) == []


def test_defaults_are_twilios() -> None:
    verbs = "".join(written.format("") for written in WRITTEN.values())
    said, played, gathered, recorded, queued, referred, texted, started, _, *nouns = read(
        f"{verbs}<Stop><Recording/></Stop><Echo/><Leave/>"
    ).verbs
    assert said == Say(text="Hi", loop=1)
    assert played == Play(url="/a.mp3", loop=1)
    assert gathered == Gather(
        input=("dtmf",), method="POST", timeout=5, finish_on_key="#", num_digits=0
    )
    assert recorded == Record(
        timeout=5,
        finish_on_key="1234567890*#",
        max_length=3600,
        play_beep=True,
        trim=Trim.TRIM_SILENCE,
        recording_status_callback_event=(RecordingEvent.COMPLETED,),
    )
    assert queued == Enqueue(name="support", wait_url=None, max_queue_size=100)
    assert referred == Refer(uri="sip:a@b")
    assert texted == Sms(body="Hi")
    assert started == StartRecording(channels=2, track=RecordingTrack.BOTH, trim=Trim.KEEP)
    *dials, stopped, echoed, left = nouns
    assert (stopped, echoed, left) == (StopRecording(), Echo(), Leave())
    assert [dial.nouns for dial in dials if isinstance(dial, Dial)] == [
        (Client(identity="joe"),),
        (
            Conference(
                name="room",
                beep=Beep.ALWAYS,
                start_on_enter=True,
                max_participants=250,
                wait_url=None,
                trim=Trim.TRIM_SILENCE,
                status_callback_event=(),
            ),
        ),
        (Queue(name="support"),),
        (Application(application_sid=APPLICATION),),
    ]


def test_prompts_of_a_gather_stand_in_their_order() -> None:
    document = read(
        "<Gather numDigits='1'><Play>/a</Play><Say voice='man'>Press 1</Say><Pause length='2'/>"
        "<Say>Now</Say></Gather>"
    )
    assert document == Document(
        verbs=(
            Gather(
                num_digits=1,
                prompts=(
                    Play(url="/a"),
                    Say(text="Press 1", voice="man"),
                    Pause(length=2),
                    Say(text="Now"),
                ),
            ),
        )
    )


@pytest.mark.parametrize(
    ("inner", "code"),
    [
        ("<Gather><Record/></Gather>", 13320),
        ("<Gather><Say voice='x'>a</Say></Gather>", 13321),
        ("<Gather><Say loop='x'>a</Say></Gather>", 13322),
        ("<Gather><Say language='!'>a</Say></Gather>", 13512),
        ("<Gather><Play loop='x'>/a</Play></Gather>", 13410),
        ("<Gather><Say/></Gather>", 13520),
        ("<Gather>press 1</Gather>", 12200),
        ("<Say/>", 13520),
        ("<Say> \n </Say>", 13520),
        ("<Play/>", 12200),
        ("<Play>ftp://example.com/a</Play>", 12200),
        ("<Play digits='1'>/a</Play>", 12200),
        ("<Record>a</Record>", 12200),
        ("<Record><Say>a</Say></Record>", 12200),
        ("<Enqueue>a<Task priority='1'>{}</Task></Enqueue>", 12200),
        ("<Leave>a</Leave>", 12200),
        ("<Echo>a</Echo>", 12200),
        ("<Refer/>", 13243),
        ("<Refer>a<Sip>sip:a@b</Sip></Refer>", 12200),
        ("<Refer><Sip>sip:a@b</Sip><Sip>sip:c@d</Sip></Refer>", 12200),
        ("<Refer><Sip username='u'>sip:a@b</Sip></Refer>", 12200),
        ("<Refer><Sip>sip:a@b?Contact=c</Sip></Refer>", 13252),
        ("<Sms/>", 14103),
        ("<Sms to='bob'>private</Sms>", 14101),
        ("<Start/>", 12200),
        ("<Start><Recording/><Recording/></Start>", 14300),
        ("<Start><Recording/><Ninja/></Start>", 14300),
        ("<Start><Recording/><Stream url='wss://example.com'/></Start>", 14300),
        ("<Start><Recording/><Siprec/></Start>", 14300),
        ("<Start><Recording/><Transcription/></Start>", 14300),
        ("<Stop/>", 12200),
        ("<Stop><Recording/><Stream name='a'/></Stop>", 14300),
        ("<Dial><Client/><Number>+15550002000</Number></Dial>", 12200),
        ("<Dial><Client>a<Identity>b</Identity></Client></Dial>", 12200),
        ("<Dial><Client>a<Parameter value='b'/></Client></Dial>", 12200),
        ("<Dial><Application>AP1</Application><Number>+15550002000</Number></Dial>", 12200),
        ("<Dial><Conference/><Number>+15550002000</Number></Dial>", 13237),
        (f"<Dial><Conference>{'x' * 129}</Conference><Client>a</Client></Dial>", 13237),
    ],
)
def test_oddities_are_warnings(inner: str, code: int) -> None:
    assert codes(read(inner)) == [code]


@pytest.mark.parametrize(
    "inner",
    ["<Say/>", "<Play/>", "<Refer/>", "<Sms/>", "<Sms to='bob'>private</Sms>", "<Start/>",
     "<Stop/>", "<Start><Stream url='wss://example.com'/></Start>"],
)  # fmt: skip
def test_what_can_do_nothing_is_passed_over(inner: str) -> None:
    assert read(f"{inner}<Pause/>").verbs == (Pause(),)


@pytest.mark.parametrize(
    ("inner", "code"),
    [
        ("<Enqueue/>", 14204),
        ("<Enqueue workflowSid='WW1'><Task>{}</Task></Enqueue>", 14204),
        (f"<Enqueue>{'x' * (MAX_QUEUE_NAME + 1)}</Enqueue>", 14205),
        ("<Dial><Queue/></Dial>", 14212),
        (f"<Dial><Queue>{'x' * (MAX_QUEUE_NAME + 1)}</Queue></Dial>", 14213),
    ],
)
def test_a_queue_needs_a_name_of_64_characters_at_most(inner: str, code: int) -> None:
    assert failed(inner).code == code
    assert codes(read(f"<Enqueue>{'x' * MAX_QUEUE_NAME}</Enqueue>")) == []


def test_a_caller_is_sent_on_with_the_headers_of_the_uri() -> None:
    assert one("<Refer action='/a'><Sip>sip:a@b;lr?X-A=1%202&amp;User-to-User=b</Sip></Refer>") == (
        Refer(uri="sip:a@b;lr", headers=(("X-A", "1 2"), ("User-to-User", "b")), action="/a")
    )
    many = "&amp;".join(f"X-{at}=" for at in range(40))
    document = read(f"<Refer><Sip>sip:a@b?{many}</Sip></Refer>")
    assert codes(document) == [13251]
    (verb,) = document.verbs
    assert isinstance(verb, Refer)
    assert len(verb.headers) == 32


def test_a_client_is_named_in_either_way_and_is_given_parameters() -> None:
    parameters = "<Parameter name='a' value=' b '/><Parameter name='c'/>"
    expected = Client(identity="joe", parameters=(("a", "b"), ("c", "")))
    assert one(f"<Dial><Client>joe{parameters}</Client></Dial>") == expected
    assert one(f"<Dial><Client><Identity>joe</Identity>{parameters}</Client></Dial>") == expected


def test_an_application_is_named_in_either_way_and_is_given_parameters() -> None:
    expected = Application(application_sid=APPLICATION, parameters=(("a", "b"),))
    for named in (APPLICATION, f"<ApplicationSid>{APPLICATION}</ApplicationSid>"):
        written = f"<Application>{named}<Parameter name='a' value='b'/></Application>"
        assert one(f"<Dial>{written}</Dial>") == expected


@pytest.mark.parametrize(
    ("nouns", "code", "expected"),
    [
        ("<Number>+15550002000</Number><Conference>r</Conference>", 13000, Conference(name="r")),
        ("<Conference>r</Conference><Conference>s</Conference>", 13000, Conference(name="r")),
        ("<Queue>q</Queue><Client>joe</Client>", 13215, Queue(name="q")),
    ],
)
def test_a_room_and_a_queue_stand_alone(nouns: str, code: int, expected: object) -> None:
    assert codes(read(f"<Dial>{nouns}</Dial>")) == [code]
    assert one(f"<Dial>{nouns}</Dial>") == expected


def test_the_reason_of_a_call_is_told_to_nobody() -> None:
    document = read('<Dial callReason="A visit">+15550002000</Dial>')
    assert codes(document) == [12200]
    assert "callReason of <Dial> has no effect here" in document.warnings[0].message
    assert codes(read(f'<Dial callReason="{"x" * 51}">+15550002000</Dial>')) == [12200, 12200]


def test_who_has_a_dial_recorded_is_told_that_a_room_is_not_recorded_by_it() -> None:
    record = 'record="record-from-answer"'
    assert codes(read(f"<Dial {record}><Conference>r</Conference></Dial>")) == [12200]
    assert codes(read(f"<Dial {record}><Queue>q</Queue></Dial>")) == []
    assert codes(read('<Dial record="false"><Conference>r</Conference></Dial>')) == []


def test_ten_of_any_kind_are_rung() -> None:
    nouns = "<Client>a</Client><Number>+15550002000</Number><Sip>sip:a@b</Sip>" * 4
    document = read(f"<Dial>{nouns}</Dial>")
    assert codes(document) == [13250]
    (dial,) = document.verbs
    assert isinstance(dial, Dial)
    assert len(dial.nouns) == 10


def test_what_the_sdk_writes_is_read_without_a_warning() -> None:
    response = sdk.VoiceResponse()
    response.say("Hello", voice="Polly.Joanna", language="en-US", loop=2)
    response.play("https://example.com/a.mp3", loop=0)
    gather = response.gather(num_digits=1, action="/keys", finish_on_key="", timeout=3)
    gather.say("Press 1")
    gather.pause(length=1)
    gather.play("/b.mp3")
    response.record(max_length=30, play_beep=True, finish_on_key="#", trim="do-not-trim")
    response.enqueue("support", wait_url="/wait", max_queue_size=5)
    dial = response.dial(recording_track="both", hangup_on_star=True)
    dial.conference("room", beep="onEnter", status_callback_event="start end join leave")
    started = response.start()
    started.recording(channels="mono", recording_status_callback="/r")
    response.refer(action="/referred").sip("sip:a@b?X-A=1")
    response.sms("Hi", to="+15550002000")
    response.leave()
    response.echo()
    document = parse(str(response).encode(), "text/xml", ALL_VOICE)
    assert isinstance(document, Document)
    assert document.warnings == ()
    assert [type(verb).__name__ for verb in document.verbs] == [
        "Say", "Play", "Gather", "Record", "Enqueue", "Dial", "StartRecording", "Refer", "Sms",
        "Leave", "Echo",
    ]  # fmt: skip


def elements() -> Iterator[tuple[type, Element[object], frozenset[str]]]:
    """What the official helper can write, our row of it, what of it is text."""
    verbs = ALL_VOICE.elements
    nouns = verbs["Dial"].children
    said = verbs["Say"].children
    for kind, element, *text in (
        (sdk.Say, verbs["Say"], "message"),
        (sdk.Play, verbs["Play"], "url"),
        (sdk.Pause, verbs["Pause"]),
        (sdk.Gather, verbs["Gather"]),
        (sdk.Record, verbs["Record"]),
        (sdk.Dial, verbs["Dial"], "number"),
        (sdk.Enqueue, verbs["Enqueue"], "name"),
        (sdk.Leave, verbs["Leave"]),
        (sdk.Echo, verbs["Echo"]),
        (sdk.Hangup, verbs["Hangup"]),
        (sdk.Reject, verbs["Reject"]),
        (sdk.Redirect, verbs["Redirect"], "url"),
        (sdk.Refer, verbs["Refer"]),
        (sdk.ReferSip, verbs["Refer"].children["Sip"], "sip_url"),
        (sdk.Sms, verbs["Sms"], "message"),
        (sdk.Start, verbs["Start"]),
        (sdk.Stop, verbs["Stop"]),
        (sdk.Recording, verbs["Start"].children["Recording"]),
        (sdk.Number, nouns["Number"], "phone_number"),
        (sdk.Sip, nouns["Sip"], "sip_url"),
        (sdk.SipUri, nouns["Sip"].children["Uri"], "sip_url"),
        (sdk.Header, nouns["Sip"].children["Headers"].children["Header"]),
        (sdk.Client, nouns["Client"], "identity"),
        (sdk.Parameter, nouns["Client"].children["Parameter"]),
        (sdk.Conference, nouns["Conference"], "name"),
        (sdk.Queue, nouns["Queue"], "name"),
        (sdk.Application, nouns["Application"], "application_sid"),
        (sdk.SsmlBreak, said["break"]),
        (sdk.SsmlEmphasis, said["emphasis"], "words"),
        (sdk.SsmlLang, said["lang"], "words"),
        (sdk.SsmlP, said["p"], "words"),
        (sdk.SsmlPhoneme, said["phoneme"], "words"),
        (sdk.SsmlProsody, said["prosody"], "words"),
        (sdk.SsmlS, said["s"], "words"),
        (sdk.SsmlSayAs, said["say-as"], "words"),
        (sdk.SsmlSub, said["sub"], "words"),
        (sdk.SsmlW, said["w"], "words"),
    ):
        yield kind, element, frozenset(text)


def plain(name: str) -> str:
    """A name as the helper writes it and as XML does, without what tells them apart."""
    return name.replace("_", "").replace("-", "").replace(":", "").lower()


@pytest.mark.parametrize(("kind", "element", "text"), list(elements()))
def test_everything_that_the_sdk_can_write_is_known(
    kind: type, element: Element[object], text: frozenset[str]
) -> None:
    parameters = set(inspect.signature(kind.__init__).parameters) - {"self", "kwargs"} - text
    known = {plain(name) for name in (*element.attributes, *element.undone)}
    assert {plain(name) for name in parameters} <= known
    children = {plain(name) for name in vars(kind) if name[0] != "_"}
    assert children <= {plain(name) for name in (*element.children, *element.undone_children)}


def test_every_verb_that_the_sdk_can_write_is_known() -> None:
    known = {plain(name) for name in (*ALL_VOICE.elements, *ALL_VOICE.foreign)}
    assert {plain(name) for name in vars(sdk.VoiceResponse) if name[0] != "_"} <= known


def test_every_element_is_listed_once_and_what_stands_in_itself_as_well() -> None:
    places = [place for place, _ in listed(ALL_VOICE)]
    assert len(places) == len(set(places))
    assert {("Say", "lang"), ("Dial", "Sip", "Uri"), ("Start", "Recording")} <= set(places)
    assert ("Gather", "Say") not in places
    assert ("Gather", "hints") not in {(place[-1], name) for place, name in promised(ALL_VOICE)}
