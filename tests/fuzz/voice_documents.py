"""Invariant: whatever documents a call is given and whatever becomes of it, it is asked in order.

Documents are good ones with octets changed, cut, doubled and put together; the events of the call
come in any order, late ones and wrong ones among them. A call is answered once at most, asked for
one thing at a time, and asked nothing any more once it was told to end.
"""

import random
from typing import Final

from lxml import etree

from tests.fuzz.documents import PIECES
from twiml.call import (
    Call,
    DialEnded,
    DialStatus,
    Ending,
    Event,
    Fetched,
    HungUp,
    NotFetched,
    Paused,
)
from twiml.dial_elements import MAX_NOUNS
from twiml.errors import Finding, ParseFailure
from twiml.nouns import Sip
from twiml.outcome import Goto
from twiml.parser import Document, findings, parse
from twiml.prompt_elements import MAX_TEXT
from twiml.sip_nouns import MAX_HEADERS, MAX_URIS
from twiml.ssml_elements import SSML
from twiml.verbs import Dial, Gather, RejectReason, Say, VoiceVerb
from twiml.voice import Interpreter, Part, Pickup
from twiml.voice_dialect import ALL_VOICE, VOICE

SEEDS: Final = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<Response><Pause length="2"/><Dial action="/a"'
    b' timeout="5" answerOnBridge="true" record="true"><Number sendDigits="1w2">+15550001000'
    b'</Number><Sip username="u" password="p">sip:a@b;lr?X-A=%20b</Sip></Dial></Response>',
    b'<Response><Dial><Sip><Uri priority="1">sip:a@[::1]</Uri><Uri>sip:b</Uri><Headers>'
    b'<Header name="X-A" value="&#8364;"/></Headers></Sip></Dial><Hangup/></Response>',
    b'<Response><Pause/><Reject reason="busy"/><Redirect method="GET">../x?y=1</Redirect>'
    b"</Response>",
    b"<Response><Dial>(555) 000-1000</Dial><Pause/><Redirect/></Response>",
    b'<Response><Say voice="Polly.Amy" loop="2">Hi <emphasis level="strong">you<break time="1s"/>'
    b'</emphasis><sub alias="a &lt; b">c</sub></Say><Gather numDigits="1" finishOnKey=""><Play>/a'
    b'</Play><Say>b</Say></Gather><Play digits="1w2"/></Response>',
    b'<Response><Start><Recording track="both"/></Start><Record maxLength="9" playBeep="false"/>'
    b'<Enqueue waitUrl="">q</Enqueue><Sms to="+15550002000">a</Sms><Refer><Sip>sip:a@b?X-A=b</Sip>'
    b"</Refer><Stop><Recording/></Stop><Echo/><Leave/></Response>",
    b'<Response><Dial record="true"><Client>a<Parameter name="b" value="c"/></Client><Application>'
    b"AP00000000000000000000000000000000</Application></Dial><Dial><Conference beep='onExit'>r"
    b"</Conference></Dial><Dial><Queue>q</Queue></Dial></Response>",
    b"<Response/>",
)
TYPES: Final = ("text/xml", "text/xml", "text/html; charset=latin-1", "text/plain", "")
_WORDS: Final = (
    b"<Dial>", b"</Dial>", b"<Pause/>", b"<Reject/>", b"<Hangup/>", b"<Redirect/>", b"<Number>",
    b"</Number>", b"<Sip>", b"</Sip>", b"?X-A=%0d%0a", b" answerOnBridge='true'", b" action='b'",
    b"<Say>", b"</Say>", b"<break/>", b"<lang xml:lang='x'>", b"<prosody rate='slow'>", b"</p>",
    b"<Conference>", b"<Recording/>", b" digits='1'", b"<script>", b" alias='<'",
)  # fmt: skip


class Watched(Call):
    """A call that holds the interpreter to what may be asked when."""

    def __init__(self) -> None:
        self.asks = 0
        self.awaited = ""
        self.answers = 0
        self.over = False
        self.gone = False

    def _asked(self, what: str, ask: int) -> None:
        assert not self.over
        assert not self.gone
        assert not self.awaited
        assert ask == self.asks + 1
        self.asks, self.awaited = ask, what

    def answer(self) -> None:
        assert not self.over
        self.answers += 1
        assert self.answers == 1

    def reject(self, reason: RejectReason) -> None:
        assert not self.answers
        self._end()

    def hang_up(self, ending: Ending) -> None:
        self._end()

    def connect(self) -> None:
        self._end()

    def _end(self) -> None:
        assert not self.over
        assert not self.gone
        assert not self.awaited
        self.over = True

    def pause(self, ask: int, seconds: int) -> None:
        assert seconds > 0
        self._asked("pause", ask)

    def dial(self, ask: int, dial: Dial) -> None:
        assert 0 < len(dial.nouns) <= MAX_NOUNS
        for noun in dial.nouns:
            if isinstance(noun, Sip):
                assert 0 < len(noun.uris) <= MAX_URIS
                assert len(noun.headers) <= MAX_HEADERS
                for text in (*(each.uri for each in noun.uris), *sum(noun.headers, ())):
                    assert text.isprintable()
        self._asked("dial", ask)

    def fetch(self, ask: int, goto: Goto) -> None:
        assert goto.url.startswith("http")
        self._asked("fetch", ask)

    def report(self, goto: Goto) -> None:
        assert self.gone

    def stop(self, ask: int) -> None:
        assert not self.over
        assert self.awaited
        assert ask == self.asks
        self.awaited = ""

    def note(self, finding: Finding) -> None:
        assert finding.code in (13201, 13238, 14106)


# Those of any document, and those of an attribute or a name that Twilio calls errors.
_FATAL: Final = frozenset(
    {11750, 12100, 12102, 12300, 13231, 13239, 13240, 13257, 13338, 13621}
    | {14201, 14202, 14203, 14204, 14205, 14206, 14210, 14211, 14212, 14213}
)


def read(body: bytes, content_type: str) -> Document[VoiceVerb] | None:
    """What holds for any answer, and its document if it is one."""
    whole = parse(body, content_type, ALL_VOICE)
    _hold(whole)
    if isinstance(whole, Document):
        for verb in whole.verbs:
            _spoken(verb)
    result = parse(body, content_type, VOICE)
    _hold(result)
    return result if isinstance(result, Document) else None


def _hold(result: Document[object] | ParseFailure) -> None:
    for finding in findings(result):
        assert finding.code >= 11000
        finding.message.encode()
    if isinstance(result, ParseFailure):
        assert result.code in _FATAL


def _spoken(verb: object) -> None:
    """A speech engine is given text, and SSML of ten elements without a namespace."""
    match verb:
        case Gather(prompts=prompts):
            for prompt in prompts:
                _spoken(prompt)
        case Say(text=text, ssml=ssml):
            assert text or ssml
            assert len(text) <= MAX_TEXT
            if ssml:
                root = etree.fromstring(ssml.encode(), etree.XMLParser(resolve_entities=False))
                assert root.tag == "speak"
                assert {str(each.tag) for each in root.iterdescendants()} <= SSML.keys()


def damaged(chance: random.Random) -> bytes:
    """A document with some faults in it, or none."""
    body = bytearray(chance.choice(SEEDS))
    for _ in range(chance.randrange(4)):
        at = chance.randrange(len(body) + 1)
        match chance.randrange(4):
            case 0:
                body[at:at] = chance.choice(PIECES)
            case 1:
                del body[at : at + chance.randrange(1, 20)]
            case 2:
                body[at:at] = body[at : at + chance.randrange(1, 60)] * chance.randrange(1, 20)
            case 3:
                tags = [index for index, octet in enumerate(body) if octet == ord("<")]
                at = chance.choice(tags) if tags else 0
                body[at:at] = chance.choice(_WORDS)
    return bytes(body)


def check(seed: int) -> None:
    """One try; the same for the same seed."""
    chance = random.Random(seed)
    call = Watched()
    part = chance.choice(list(Part))
    pickup = Pickup.ANSWERED if part is Part.WHISPER else chance.choice(list(Pickup))
    interpreter = Interpreter(call, pickup=pickup, part=part)
    interpreter.start(Goto(url="https://example.com/a", method="POST"))
    for _ in range(30):
        match chance.randrange(12):
            case 0:
                interpreter.start(Goto(url="https://example.com/b", method="GET"))
            case 1:
                document = read(damaged(chance), "text/xml")
                interpreter.run(document or Document(verbs=()), "https://example.com/")
            case _:
                _tell(interpreter, call, _event(chance, call))


def _tell(interpreter: Interpreter, call: Watched, event: Event) -> None:
    if isinstance(event, HungUp):
        call.gone = True
    elif event.ask == call.asks:
        call.awaited = ""
    interpreter.on(event)


def _event(chance: random.Random, call: Watched) -> Event:
    late = chance.randrange(6) == 0 or not call.awaited
    ask = chance.randrange(call.asks) if late else call.asks
    match chance.choice(("pause", "dial", "fetch", "hang up")) if late else call.awaited:
        case "pause":
            return Paused(ask=ask)
        case "dial":
            status = chance.choice(list(DialStatus))
            return DialEnded(ask=ask, status=status, bridged=chance.random() < 0.5, duration=1)
        case "fetch":
            document = read(damaged(chance), chance.choice(TYPES))
            if document is None:
                return NotFetched(ask=ask)
            return Fetched(ask=ask, document=document, base="https://example.com/c/d?e#f")
    return HungUp()
