"""Whatever an app answers, reading it gives a value."""

import os
import random
import time

from hypothesis import given, settings
from hypothesis import strategies as st

from twiml.errors import ParseFailure
from twiml.messaging import interpret
from twiml.parser import Document, findings, parse
from twiml.verbs import MAX_MEDIA, MAX_MESSAGES, MESSAGING, Message

SEEDS = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<Response><Message to="+15550001000" method="GET">'
    b"<Body>a &amp; b &#8364;</Body><Media>https://example.com/x.png</Media></Message>"
    b'<!-- c --><Redirect method="POST">/next?a=1</Redirect></Response>',
    b'<!DOCTYPE r [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]><Response><Sms to="&b;">&b;</Sms>'
    b"</Response>",
    '<?xml version="1.0" encoding="utf-16"?><Response><Say>x</Say></Response>'.encode("utf-16"),
    b"<Response>" + b"<Message>x</Message>" * 12 + b"<![CDATA[ ]]></Response>",
)
TYPES = ("text/xml", "text/html; charset=utf-16", "text/xml; charset=latin-1", "text/plain", "")
PIECES = (
    b"<", b">", b"</", b"/>", b"&", b";", b"<!--", b"-->", b"<![CDATA[", b"]]>", b"<?xml ", b"?>",
    b"<!DOCTYPE ", b"<!ENTITY ", b"Response", b"Message", b"Body", b" to='", b"\x00", b"\xff\xfe",
    b"\xef\xbb\xbf", b"encoding='utf-7'", b"encoding='utf-32'", b"xmlns='a'", b"<a:b>", b"\xed\xa0",
)  # fmt: skip


def check(body: bytes, content_type: str) -> None:
    result = parse(body, content_type, MESSAGING)
    for finding in findings(result):
        assert finding.code >= 11000
        assert finding.line >= 0
        finding.message.encode()
    match result:
        case ParseFailure(code=code):
            assert code in (11750, 12100, 12102, 12300)
        case Document(verbs=verbs):
            assert sum(isinstance(verb, Message) for verb in verbs) <= MAX_MESSAGES
            run = interpret(result, base="https://example.com/a", texter="+1", number="+2")
            for reply in run.replies:
                reply.body.encode()
                assert len(reply.media) <= MAX_MEDIA


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400), st.sampled_from(TYPES))
def test_any_octets(body: bytes, content_type: str) -> None:
    check(body, content_type)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=100), st.text(max_size=40))
def test_any_text_and_any_content_type(text: str, content_type: str) -> None:
    check(text.encode("utf-8", "replace"), content_type)
    check(f"<Response><Message>{text}</Message></Response>".encode("utf-8", "replace"), "text/xml")


def test_documents_that_were_damaged() -> None:
    """For `SECONDS` (1 by default): seeds with octets changed, cut, doubled and put together."""
    seed = random.SystemRandom().randrange(2**32)
    chance = random.Random(seed)
    until = time.monotonic() + float(os.environ.get("SECONDS", "1"))
    rounds = 0
    while time.monotonic() < until or rounds < 500:
        body = bytearray(chance.choice(SEEDS))
        for _ in range(chance.randrange(1, 6)):
            at = chance.randrange(len(body) + 1)
            match chance.randrange(4):
                case 0:
                    body[at:at] = chance.choice(PIECES)
                case 1:
                    del body[at : at + chance.randrange(1, 20)]
                case 2:
                    body[at:at] = body[at : at + chance.randrange(1, 60)] * chance.randrange(1, 20)
                case 3:
                    body[at : at + 1] = bytes([chance.randrange(256)])
        try:
            check(bytes(body), chance.choice(TYPES))
        except Exception as error:
            raise AssertionError(f"seed {seed}, round {rounds}: {bytes(body)!r}") from error
        rounds += 1
