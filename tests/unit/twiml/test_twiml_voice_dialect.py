import msgspec
import pytest
from twilio.twiml import voice_response as sdk

from twiml.dial_elements import MAX_NOUNS
from twiml.elements import Complaint
from twiml.errors import Level, ParseFailure
from twiml.nouns import (
    CallEvent,
    Number,
    RecordingEvent,
    RecordingTrack,
    RecordMode,
    Sip,
    SipUri,
    Trim,
)
from twiml.parser import MAX_BODY, Document, findings, parse
from twiml.registry import elements
from twiml.sip_nouns import MAX_HEADERS, MAX_URIS
from twiml.verbs import Dial, Hangup, Pause, Redirect, Reject, RejectReason, Say
from twiml.voice_dialect import ALL_VOICE, VOICE


def read(inner: str, content_type: str = "text/xml") -> Document[object]:
    document = parse(f"<Response>{inner}</Response>".encode(), content_type, ALL_VOICE)
    assert isinstance(document, Document), document
    return document


def failed(body: str, content_type: str = "text/xml") -> ParseFailure:
    failure = parse(body.encode(), content_type, ALL_VOICE)
    assert isinstance(failure, ParseFailure), failure
    return failure


def codes(document: Document[object]) -> list[int]:
    return [finding.code for finding in document.warnings]


def one(inner: str) -> object:
    document = read(inner)
    (verb,) = document.verbs
    return verb


def dialled(inner: str) -> Dial:
    verb = one(inner)
    assert isinstance(verb, Dial)
    return verb


def test_what_the_sdk_writes_is_read_without_a_warning() -> None:
    response = sdk.VoiceResponse()
    dial = response.dial(
        action="/after",
        method="GET",
        timeout=20,
        time_limit=600,
        caller_id="+15550001000",
        answer_on_bridge=True,
        sequential=True,
    )
    dial.number(
        "+1 (555) 000-2000",
        url="/whisper",
        method="GET",
        status_callback="/status",
        status_callback_event="initiated answered",
        status_callback_method="GET",
    )
    dial.sip("sip:bob@example.com", username="bob", password="secret")
    response.pause(length=3)
    response.redirect("/next", method="GET")
    response.hangup()
    document = parse(str(response).encode(), "text/xml", ALL_VOICE)
    assert document == Document(
        verbs=(
            Dial(
                nouns=(
                    Number(
                        number="+15550002000",
                        url="/whisper",
                        method="GET",
                        status_callback="/status",
                        status_callback_event=(CallEvent.INITIATED, CallEvent.ANSWERED),
                        status_callback_method="GET",
                    ),
                    Sip(
                        uris=(SipUri(uri="sip:bob@example.com", username="bob", password="secret"),)
                    ),
                ),
                action="/after",
                method="GET",
                timeout=20,
                time_limit=600,
                caller_id="+15550001000",
                answer_on_bridge=True,
                sequential=True,
            ),
            Pause(length=3),
            Redirect(url="/next", method="GET"),
            Hangup(),
        )
    )


def test_defaults_are_twilios() -> None:
    assert read(
        "<Reject/><Pause/><Hangup/><Redirect>/a</Redirect><Dial>+15550002000</Dial>"
    ).verbs == (
        Reject(reason=RejectReason.REJECTED),
        Pause(length=1),
        Hangup(),
        Redirect(url="/a", method="POST"),
        Dial(
            nouns=(
                Number(
                    number="+15550002000",
                    method="POST",
                    status_callback_event=(CallEvent.COMPLETED,),
                    status_callback_method="POST",
                ),
            ),
            action="",
            method="POST",
            timeout=30,
            time_limit=14400,
            hangup_on_star=False,
            answer_on_bridge=False,
            sequential=False,
            record=RecordMode.NEVER,
            trim=Trim.KEEP,
            recording_track=RecordingTrack.BOTH,
            recording_status_callback_event=(RecordingEvent.COMPLETED,),
        ),
    )


# Attribute, value, the field it fills, what is there then.
HONOURED = {
    "Dial": [
        ("action", "/a", "action", "/a"),
        ("method", "get", "method", "GET"),
        ("timeout", "600", "timeout", 600),
        ("timeLimit", "86400", "time_limit", 86400),
        ("callerId", "client:joe", "caller_id", "client:joe"),
        ("callerId", "(555) 000-1000", "caller_id", "5550001000"),
        ("callerId", "front.desk", "caller_id", "front.desk"),
        ("answerOnBridge", "TRUE", "answer_on_bridge", True),
        ("ringTone", "us-old", "ring_tone", "us-old"),
        ("sequential", "true", "sequential", True),
        ("referUrl", "/t", "refer_url", "/t"),
        ("referMethod", "GET", "refer_method", "GET"),
        ("hangupOnStar", "true", "hangup_on_star", True),
        ("record", "true", "record", RecordMode.FROM_ANSWER),
        ("record", "record-from-ringing-dual", "record", RecordMode.FROM_RINGING_DUAL),
        ("trim", "trim-silence", "trim", Trim.TRIM_SILENCE),
        ("recordingTrack", "inbound", "recording_track", RecordingTrack.INBOUND),
        ("recordingStatusCallback", "/r", "recording_status_callback", "/r"),
        (
            "recordingStatusCallbackEvent",
            "absent in-progress",
            "recording_status_callback_event",
            (RecordingEvent.ABSENT, RecordingEvent.IN_PROGRESS),
        ),
        ("recordingStatusCallbackMethod", "GET", "recording_status_callback_method", "GET"),
    ],
    "Number": [
        ("sendDigits", "0w9*#W", "send_digits", "0w9*#W"),
        ("url", "/w", "url", "/w"),
        ("method", "GET", "method", "GET"),
        ("statusCallback", "/s", "status_callback", "/s"),
        (
            "statusCallbackEvent",
            "completed  ringing ringing",
            "status_callback_event",
            (CallEvent.COMPLETED, CallEvent.RINGING),
        ),
        ("statusCallbackMethod", "GET", "status_callback_method", "GET"),
    ],
    "Sip": [
        ("url", "/w", "url", "/w"),
        ("method", "GET", "method", "GET"),
        ("statusCallback", "/s", "status_callback", "/s"),
        ("statusCallbackEvent", "ringing", "status_callback_event", (CallEvent.RINGING,)),
        ("statusCallbackMethod", "GET", "status_callback_method", "GET"),
        ("codecs", "PCMU, G722", "codecs", ("PCMU", "G722")),
        ("username", "u", "uris", (SipUri(uri="sip:a@b", username="u"),)),
    ],
    "Pause": [("length", "14400", "length", 14400)],
    "Reject": [("reason", "busy", "reason", RejectReason.BUSY)],
    "Redirect": [("method", "get", "method", "GET")],
}

UNREAD = {
    "Dial": ["passports", "events", "recordingConfigurationId"],
    "Number": [
        "byoc",
        "amdStatusCallback",
        "amdStatusCallbackMethod",
        "machineDetection",
        "machineDetectionSilenceTimeout",
        "machineDetectionSpeechEndThreshold",
        "machineDetectionSpeechThreshold",
        "machineDetectionTimeout",
    ],
    "Sip": [
        "amdStatusCallback",
        "amdStatusCallbackMethod",
        "machineDetection",
        "machineDetectionSilenceTimeout",
        "machineDetectionSpeechEndThreshold",
        "machineDetectionSpeechThreshold",
        "machineDetectionTimeout",
    ],
}

WRITTEN = {
    "Dial": "<Dial {}>+15550002000</Dial>",
    "Number": "<Dial><Number {}>+15550002000</Number></Dial>",
    "Sip": "<Dial><Sip {}>sip:a@b</Sip></Dial>",
    "Pause": "<Pause {}/>",
    "Reject": "<Reject {}/>",
    "Redirect": "<Redirect {}>/x</Redirect>",
}


def element_of(inner: str) -> object:
    verb = one(inner)
    if isinstance(verb, Dial) and "<Dial>" in inner:
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
    assert codes(read(written)) == []
    assert getattr(element_of(written), field) == expected
    assert getattr(element_of(WRITTEN[element].format("")), field) != expected


@pytest.mark.parametrize(
    ("element", "attribute"),
    [(element, attribute) for element, attributes in UNREAD.items() for attribute in attributes],
)
def test_what_is_not_done_is_said(element: str, attribute: str) -> None:
    document = read(WRITTEN[element].format(f"{attribute}='x'"))
    assert codes(document) == [12200]
    why = f"{attribute} of <{element}> has no effect here: "
    assert document.warnings[0].message.startswith(why)
    assert codes(read(WRITTEN[element].format(f"{attribute}=''"))) == []


@pytest.mark.parametrize(
    ("element", "attribute", "value", "code"),
    [
        ("Dial", "action", "javascript:x", 12200),
        ("Dial", "method", "PUT", 13210),
        ("Dial", "timeout", "0", 13212),
        ("Dial", "timeout", "601", 13212),
        ("Dial", "timeout", "1.5", 13212),
        ("Dial", "timeout", "٣", 13212),
        ("Dial", "timeout", "9" * 5000, 13212),
        ("Dial", "timeLimit", "-1", 13216),
        ("Dial", "timeLimit", "86401", 13216),
        ("Dial", "hangupOnStar", "yes", 13213),
        ("Dial", "callerId", "a b", 13214),
        ("Dial", "callerId", "a" * 65, 13214),
        ("Dial", "answerOnBridge", "1", 13219),
        ("Dial", "sequential", "no", 13218),
        ("Dial", "record", "always", 13217),
        ("Dial", "trim", "both", 13699),
        ("Dial", "ringTone", "xx", 13220),
        ("Dial", "recordingStatusCallback", "mailto:x", 13256),
        ("Dial", "recordingStatusCallbackMethod", "PUT", 12200),
        ("Dial", "recordingTrack", "left", 12200),
        ("Dial", "referUrl", "tel:1", 12200),
        ("Dial", "referMethod", "PUT", 12200),
        ("Dial", "callReason", "x" * 51, 12200),
        ("Number", "sendDigits", "12a", 13222),
        ("Number", "url", "data:x", 12200),
        ("Number", "method", "PUT", 13221),
        ("Number", "statusCallback", "data:x", 12200),
        ("Number", "statusCallbackEvent", "answered died", 12200),
        ("Number", "statusCallbackMethod", "PUT", 12200),
        ("Sip", "url", "data:x", 12200),
        ("Sip", "method", "PUT", 13241),
        ("Sip", "statusCallback", "data:x", 12200),
        ("Sip", "statusCallbackEvent", "died", 12200),
        ("Sip", "statusCallbackMethod", "PUT", 12200),
        ("Sip", "codecs", "PCMU;x", 12200),
        ("Sip", "password", "x", 13249),
        ("Pause", "length", "0", 13910),
        ("Pause", "length", "14401", 13910),
        ("Reject", "reason", "bored", 13810),
        ("Redirect", "method", "PUT", 13710),
    ],
)
def test_a_bad_value_is_the_default_and_a_warning(
    element: str, attribute: str, value: str, code: int
) -> None:
    document = read(WRITTEN[element].format(f'{attribute}="{value}"'))
    assert codes(document)[-1] == code
    assert document.verbs == read(WRITTEN[element].format("")).verbs
    assert {finding.level for finding in document.warnings} == {Level.WARNING}


def test_an_attribute_that_twilio_calls_an_error_ends_the_document() -> None:
    failure = failed(
        '<Response>\n<Dial recordingStatusCallbackEvent="done">+15550002000</Dial></Response>'
    )
    assert (failure.code, failure.line) == (13621, 2)
    assert findings(failure)[0].level is Level.ERROR


def test_what_this_version_does_not_run_is_said_and_the_rest_is_run() -> None:
    """Whatever is not in `VOICE` yet, and what stays out of it."""
    waiting = sorted(ALL_VOICE.elements.keys() - VOICE.elements.keys())
    for verb in [*waiting, "Connect", "Pay", "Prompt"]:
        document = parse(
            f"<Response><{verb}>x</{verb}><Hangup/></Response>".encode(), "text/xml", VOICE
        )
        assert isinstance(document, Document)
        assert [finding.code for finding in document.warnings] == [13750]
        assert document.verbs == (Hangup(),)
        assert document.warnings[0].level is Level.WARNING


def test_what_of_a_verb_is_not_done_yet_is_read_and_said() -> None:
    """Of each verb that is run, whatever the whole language has and it has not."""
    whole_of = dict(elements(ALL_VOICE))  # what nests without end is in it once
    for place, done in elements(VOICE):
        whole = whole_of[place]
        assert done.attributes == whole.attributes
        assert done.children.keys() | done.undone_children >= whole.children.keys()
        assert done.undone.items() >= whole.undone.items()


@pytest.mark.parametrize("noun", ["Sim", "WhatsApp"])
def test_nouns_that_are_not_dialled_are_13215_and_the_rest_is(noun: str) -> None:
    document = read(f"<Dial><{noun}>x</{noun}><Number>+15550002000</Number></Dial>")
    assert codes(document) == [13215]
    assert "no effect here" in document.warnings[0].message
    assert document.verbs == (Dial(nouns=(Number(number="+15550002000"),)),)


@pytest.mark.parametrize(
    ("inner", "code"),
    [
        ("<Message>x</Message>", 12200),
        ("<hangup/>", 12200),
        ("<Dial><Ninja/>+15550002000</Dial>", 13215),
        ("<Dial colour='red'>+15550002000</Dial>", 12200),
        ("<Dial><Number><Play/>+15550002000</Number></Dial>", 12200),
        ("<Dial>5551234<Number>+15550002000</Number></Dial>", 12200),
        ("<Dial/>", 12200),
        ("<Hangup>bye</Hangup>", 12200),
        ("<Pause>5</Pause>", 12200),
        ("<Reject>no</Reject>", 12200),
        ("<Reject><Parameter name='a' value='b'/></Reject>", 12200),
        ("<Hangup><Parameter name='a' value='b'/></Hangup>", 12200),
        ("<Dial><Sip><Uri>sip:a@b</Uri>sip:c@d</Sip></Dial>", 12200),
        ("<Dial><Sip><Uri priority='x'>sip:a@b</Uri></Sip></Dial>", 12200),
        ("<Dial><Sip>sip:a@b<Headers><Header name='Via' value='x'/></Headers></Sip></Dial>", 13252),
        ("<Dial><Sip>sip:a@b<Headers><Header name='X-A' value='a&#10;b'/></Headers></Sip></Dial>",
         13252),
        ("<Dial><Sip>sip:a@b?X-A=%0D%0AVia:%20x</Sip></Dial>", 13252),
        ("<Dial><Sip>sip:a@b?X-A=%FF&amp;X-B=b&amp;Contact=c</Sip></Dial>", 13252),
    ],
)  # fmt: skip
def test_oddities_are_warnings(inner: str, code: int) -> None:
    document = read(inner)
    assert codes(document) == [code]


def test_whoever_has_no_number_is_not_called_and_the_others_are() -> None:
    document = read("<Dial><Number>bob</Number><Number>+15550002000</Number></Dial>")
    assert codes(document) == [13223]
    assert document.verbs == (Dial(nouns=(Number(number="+15550002000"),)),)
    nobody = read("<Dial action='/a'>bob</Dial>")
    assert codes(nobody) == [13223, 12200]
    assert nobody.verbs == (Dial(action="/a"),)


def test_ten_are_called_and_no_more() -> None:
    nouns = "".join(f"<Number>+1555000{at:04}</Number>" for at in range(MAX_NOUNS + 1))
    document = read(f"<Dial>{nouns}</Dial>")
    assert codes(document) == [13250]
    (verb,) = document.verbs
    assert isinstance(verb, Dial)
    assert len(verb.nouns) == MAX_NOUNS


@pytest.mark.parametrize(
    "uri",
    [
        "sip:a@b",
        "sips:a.b@example.com:5061",
        "sip:+15550002000;ext=5@[2001:db8::1]:5060;transport=tcp",
        "SIP:example.com",
        "sip:a@10.0.0.1;lr;x=y",
    ],
)
def test_sip_uris_are_taken_as_they_are(uri: str) -> None:
    assert dialled(f"<Dial><Sip>{uri}</Sip></Dial>").nouns == (Sip(uris=(SipUri(uri=uri),)),)


@pytest.mark.parametrize(
    "uri",
    ["", "bob", "tel:+15550002000", "sip:", "sip:a@", "sip:a@b@c", "sip:a b@c", "sip:a@b:123456",
     "sip:a@b&#10;c", "sip:&lt;a@b>", "sip:" + "a" * 600 + "@b", "https://a@b"],
)  # fmt: skip
def test_what_is_no_sip_uri_is_not_called(uri: str) -> None:
    document = read(f"<Dial><Sip>{uri}</Sip><Number>+15550002000</Number></Dial>")
    assert codes(document) == [13243]
    assert document.verbs == (Dial(nouns=(Number(number="+15550002000"),)),)


def test_headers_of_a_uri_and_of_headers_go_along() -> None:
    (noun,) = dialled(
        "<Dial><Sip>sip:a@b;lr?X-One=1%202&amp;x-two=&amp;User-to-User=a%3Bb"
        "<Headers><Header name='X-Three' value='3 &#8364;'/></Headers></Sip></Dial>"
    ).nouns
    assert noun == Sip(
        uris=(SipUri(uri="sip:a@b;lr"),),
        headers=(
            ("X-Three", "3 €"),
            ("X-One", "1 2"),
            ("x-two", ""),
            ("User-to-User", "a;b"),
        ),
    )


def test_headers_are_bounded() -> None:
    long = read(f"<Dial><Sip>sip:a@b?X-A={'x' * 1024}</Sip></Dial>")
    assert codes(long) == [21227]
    assert long.verbs == (Dial(nouns=(Sip(uris=(SipUri(uri="sip:a@b"),)),)),)
    single = f"<Headers><Header name='X-A' value='{'x' * 1022}'/></Headers>"
    assert codes(read(f"<Dial><Sip>sip:a@b{single}</Sip></Dial>")) == [13253]
    many = "".join(f"<Header name='X-{at}' value='x'/>" for at in range(MAX_HEADERS + 1))
    document = read(f"<Dial><Sip>sip:a@b<Headers>{many}</Headers></Sip></Dial>")
    assert codes(document) == [13251]
    (verb,) = document.verbs
    assert isinstance(verb, Dial)
    assert isinstance(verb.nouns[0], Sip)
    assert len(verb.nouns[0].headers) == MAX_HEADERS


def test_several_uris_share_the_credentials_around_them() -> None:
    (noun,) = dialled(
        "<Dial><Sip username='u' password='p'><Uri priority='1' weight='20'>sip:a@b</Uri>"
        "<Uri username='v' password='q'>sip:c@d?X-A=1</Uri></Sip></Dial>"
    ).nouns
    assert noun == Sip(
        uris=(
            SipUri(uri="sip:a@b", username="u", password="p", priority=1, weight=20),
            SipUri(uri="sip:c@d", username="v", password="q"),
        ),
        headers=(("X-A", "1"),),
    )
    uris = "<Uri>sip:a@b</Uri>" * (MAX_URIS + 1)
    document = read(f"<Dial><Sip>{uris}</Sip></Dial>")
    assert codes(document) == [13250]


def test_a_password_is_not_shown() -> None:
    assert "hush" not in repr(Sip(uris=(SipUri(uri="sip:a@b", username="u", password="hush"),)))


def test_a_reject_counts_only_before_everything_but_pauses() -> None:
    assert codes(read("<Pause/><Reject/>")) == []
    late = read("<Pause/><Redirect>/a</Redirect>\n<Reject/>")
    assert codes(late) == [12200]
    assert late.warnings[0].line == 2
    assert len(late.verbs) == 3


@pytest.mark.parametrize("body", ["", " \n"])
def test_a_call_needs_a_document(body: str) -> None:
    assert failed(body).code == 12100
    assert read("").verbs == ()


@pytest.mark.parametrize(
    ("body", "content_type", "code"),
    [
        ("<Response>", "text/xml", 12100),
        ("<!DOCTYPE a><Response/>", "text/xml", 12100),
        ("<Response>" + "<a>" * 300 + "</a>" * 300 + "</Response>", "text/xml", 12100),
        ("<Call/>", "text/xml", 12102),
        ("<Response/>", "application/json", 12300),
        ("<Response/>" + " " * MAX_BODY, "text/xml", 11750),
    ],
)
def test_what_is_fatal_to_a_reply_is_fatal_to_a_call(
    body: str, content_type: str, code: int
) -> None:
    assert failed(body, content_type).code == code


def test_plain_text_is_spoken() -> None:
    document = parse(b"Hello <there>", "text/plain", ALL_VOICE)
    assert document == Document(verbs=(Say(text="Hello <there>"),))
    long = parse(b"a " * 3000, "text/plain", ALL_VOICE)
    assert isinstance(long, Document)
    assert [(each.code, each.line) for each in long.warnings] == [(13521, 0)]


def test_plain_text_where_nothing_is_spoken_is_a_warning() -> None:
    mute = msgspec.structs.replace(
        ALL_VOICE, elements={}, foreign={"Say": Complaint(13750, "is not run")}
    )
    document = parse(b"Hello", "text/plain", mute)
    assert isinstance(document, Document)
    assert [(each.code, each.line) for each in document.warnings] == [(13750, 0)]
    assert document.verbs == ()
