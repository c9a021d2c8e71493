"""Invariant: whatever an app answers, reading it gives a value.

Documents are good ones with octets changed, cut, doubled and put together. `read` holds what every
answer must give: findings that can be shown, a known code, replies that can be sent.
"""

import random

from twiml.errors import ParseFailure
from twiml.messaging import interpret
from twiml.messaging_dialect import MESSAGING
from twiml.parser import Document, findings, parse
from twiml.verbs import MAX_MEDIA, MAX_MESSAGES, Message

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


def read(body: bytes, content_type: str) -> None:
    """What holds for any answer."""
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


def damaged(chance: random.Random) -> bytes:
    """A document with some faults in it."""
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
    return bytes(body)


def check(seed: int) -> None:
    """One try; the same for the same seed."""
    chance = random.Random(seed)
    read(damaged(chance), chance.choice(TYPES))
