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
    DialEnded,
    DialStatus,
    Ending,
    Event,
    Fetched,
    FullCall,
    HungUp,
    KeyPressed,
    NotFetched,
    Paused,
    Prompted,
    QueueLeft,
    QueueResult,
    Recorded,
    RecordEnd,
    Referred,
    ReferStatus,
    Texted,
)
from twiml.dial_elements import MAX_NOUNS
from twiml.errors import Finding, ParseFailure
from twiml.nouns import Sip
from twiml.outcome import Goto
from twiml.parser import Document, findings, parse
from twiml.prompt_elements import MAX_TEXT
from twiml.runner import Runner
from twiml.sip_nouns import MAX_HEADERS, MAX_URIS
from twiml.ssml_elements import SSML
from twiml.verbs import (
    Dial,
    Enqueue,
    Gather,
    Play,
    Record,
    Refer,
    RejectReason,
    Say,
    Sms,
    StartRecording,
    VoiceVerb,
)
from twiml.voice import Interpreter, Part, Pickup, aside_verbs, call_verbs, whisper_verbs
from twiml.voice_dialect import ALL_VOICE, VOICE
from twiml.waiting import in_queue, in_room

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


class Watched(FullCall):
    """A call that holds the interpreter to what may be asked when."""

    def __init__(self) -> None:
        self.asks = 0
        self.awaited = ""
        self.answers = 0
        self.over = False
        self.gone = False
        self.kinds: dict[int, str] = {}

    def _asked(self, what: str, ask: int) -> None:
        assert not self.over
        assert not self.gone
        assert not self.awaited
        assert ask == self.asks + 1
        self.asks, self.awaited = ask, what
        self.kinds[ask] = what

    def clock(self) -> float:
        return 0.0

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

    def say(self, ask: int, say: Say) -> None:
        self._asked("sound", ask)

    def play(self, ask: int, play: Play) -> None:
        assert play.url.startswith("http") or play.digits
        self._asked("sound", ask)

    def record(self, ask: int, record: Record) -> None:
        self._asked("record", ask)

    def finish(self, ask: int) -> None:
        assert self.awaited == "record"
        assert ask == self.asks

    def start_recording(self, start: StartRecording) -> None:
        assert not self.over
        assert not self.awaited

    def stop_recording(self) -> None:
        assert not self.over
        assert not self.awaited

    def enqueue(self, ask: int, enqueue: Enqueue) -> None:
        self._asked("queue", ask)

    def leave(self) -> None:
        self._end()

    def text(self, ask: int, sms: Sms) -> None:
        self._asked("text", ask)

    def refer(self, ask: int, refer: Refer) -> None:
        self._asked("refer", ask)

    def echo(self, ask: int) -> None:
        self._asked("echo", ask)

    def fetch(self, ask: int, goto: Goto) -> None:
        assert goto.url.startswith("http")
        self._asked("fetch", ask)

    def report(self, goto: Goto) -> None:
        assert goto.url.startswith("http")

    def stop(self, ask: int) -> None:
        assert not self.over
        assert self.awaited
        assert ask == self.asks
        self.awaited = ""

    def note(self, finding: Finding) -> None:
        assert finding.code in (13201, 13238, 13750, 14106)


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
    _hold(parse(body, content_type, VOICE))
    return whole if isinstance(whole, Document) else None


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
    runner = _runner(chance, call)
    runner.start(Goto(url="https://example.com/a", method="POST"))
    for _ in range(30):
        match chance.randrange(12):
            case 0:
                runner.start(Goto(url="https://example.com/b", method="GET"))
            case 1:
                document = read(damaged(chance), "text/xml")
                runner.run(document or Document(verbs=()), "https://example.com/")
            case 2 | 3:
                runner.on(KeyPressed(key=chance.choice("0123456789*#ABCD")))
            case _:
                _tell(runner, call, _event(chance, call))


def _runner(chance: random.Random, call: Watched) -> Runner:
    """Whoever runs documents: a call, who is dialled, who hears something aside, who waits."""
    ringing = chance.choice(list(Pickup))
    answered = Pickup.ANSWERED
    match chance.randrange(6):
        case 0:
            return Interpreter(call, pickup=answered, part=Part.WHISPER, verbs=whisper_verbs(call))
        case 1:
            return Interpreter(call, pickup=answered, part=Part.ASIDE, verbs=aside_verbs(call))
        case 2:
            return in_queue(call)
        case 3:
            return in_room(call)
        case _:
            return Interpreter(call, pickup=ringing, verbs=call_verbs(call))


def _tell(runner: Runner, call: Watched, event: Event) -> None:
    if isinstance(event, HungUp):
        call.gone = True
    elif not isinstance(event, KeyPressed) and event.ask == call.asks:
        call.awaited = ""
    runner.on(event)


def _event(chance: random.Random, call: Watched) -> Event:
    late = chance.randrange(6) == 0 or not call.awaited
    # What was asked for ends in its own way, if at all, but it may do so at any time.
    ask = chance.randrange(call.asks + 1) if late else call.asks
    match call.kinds.get(ask, ""):
        case "pause":
            return Paused(ask=ask)
        case "sound":
            return Prompted(ask=ask, is_heard=chance.random() < 0.5)
        case "dial":
            status = chance.choice(list(DialStatus))
            return DialEnded(ask=ask, status=status, bridged=chance.random() < 0.5, duration=1)
        case "record":
            sid = chance.choice(("", "RE1"))
            return Recorded(ask=ask, end=chance.choice(list(RecordEnd)), sid=sid)
        case "queue":
            return QueueLeft(ask=ask, result=chance.choice(list(QueueResult)))
        case "text":
            return Texted(ask=ask, status=chance.choice(("queued", "failed")))
        case "refer":
            return Referred(ask=ask, status=chance.choice(list(ReferStatus)))
        case "fetch":
            document = read(damaged(chance), chance.choice(TYPES))
            if document is None:
                return NotFetched(ask=ask)
            return Fetched(ask=ask, document=document, base="https://example.com/c/d?e#f")
    return HungUp()
