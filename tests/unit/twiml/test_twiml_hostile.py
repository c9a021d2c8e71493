"""Whatever an app answers to a call, reading it ends soon, in a value, and fetches nothing."""

import time
from encodings.aliases import aliases

import pytest

from tests.floods import each
from twiml.elements import Dialect
from twiml.errors import ParseFailure
from twiml.parser import MAX_BODY, MAX_WARNINGS, Document, findings, parse
from twiml.verbs import Dial, Gather, Say
from twiml.voice_dialect import ALL_VOICE, VOICE

SOON = 1.0  # seconds; a hundredth of it is usual
DIALECTS = [ALL_VOICE, VOICE]


def read(body: str | bytes, content_type: str = "text/xml") -> Document[object] | ParseFailure:
    began = time.process_time()
    octets = body if isinstance(body, bytes) else body.encode()
    result = parse(octets, content_type, ALL_VOICE)
    assert time.process_time() - began < SOON
    for finding in findings(result):
        finding.message.encode()
        assert len(finding.message) < 1000
    return result


def fatal(body: str | bytes, content_type: str = "text/xml") -> int:
    result = read(body, content_type)
    assert isinstance(result, ParseFailure), result
    return result.code


def filled(before: str, each: str, after: str) -> str:
    """As much of `each` as a document has room for."""
    return before + each * ((MAX_BODY - len(before) - len(after)) // len(each.encode())) + after


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    ("opening", "closing"),
    [
        ("<a>", "</a>"),
        ("<Say>", "</Say>"),
        ("<s>", "</s>"),
        ("<prosody rate='1%'>", "</prosody>"),
        ("<Gather>", "</Gather>"),
        ("<Dial>", "</Dial>"),
    ],
)
@pytest.mark.parametrize("depth", [300, 2000])
def test_depth_is_an_error(
    dialect: Dialect[object], opening: str, closing: str, depth: int
) -> None:
    body = f"<Response><Say>{opening * depth}{closing * depth}</Say></Response>"
    result = parse(body.encode(), "text/xml", dialect)
    assert isinstance(result, ParseFailure)
    assert result.code == 12100


def test_ten_thousand_elements_deep_is_an_error_as_well() -> None:
    assert fatal("<Response>" + "<s>" * 10_000 + "</s>" * 5_000) == 12100


def test_one_octet_more_than_64_kib_is_an_error() -> None:
    body = filled("<Response><Say>", "x", "</Say></Response>")
    assert isinstance(read(body), Document)
    assert fatal(body.replace("x", "xx", 1)) == 11750


@pytest.mark.parametrize(
    "body",
    [
        '<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]><Response><Say>&x;</Say></Response>',
        '<!DOCTYPE r SYSTEM "http://127.0.0.1:1/x.dtd"><Response><Say>x</Say></Response>',
        '<!DOCTYPE r [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;"><!ENTITY c "&b;&b;&b;">]>'
        "<Response><Say>&c;</Say></Response>",
        '<!DOCTYPE r [<!ENTITY % p SYSTEM "file:///etc/passwd">%p;]><Response/>',
        "<Response><Say>&nbsp;</Say></Response>",
        "<Response><Say voice='&x;'>a</Say></Response>",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_entities_and_document_types_are_refused(body: str, encoding: str) -> None:
    assert fatal(body.encode(encoding)) == 12100


@pytest.mark.parametrize(
    ("body", "spoken"),
    [
        (b"\xef\xbb\xbf<Response><Say>a</Say></Response>", "a"),
        ("\ufeff<Response><Say>é</Say></Response>".encode("utf-16-le"), "é"),
        ("\ufeff<Response><Say>é</Say></Response>".encode("utf-16-be"), "é"),
        (b"\n \t<Response><Say>a</Say></Response>", "a"),
        (b'<?xml version="1.0" encoding="iso-8859-1"?><Response><Say>\xe9</Say></Response>', "é"),
    ],
)
def test_marks_of_encodings_are_read(body: bytes, spoken: str) -> None:
    result = read(body)
    assert isinstance(result, Document)
    assert result.verbs == (Say(text=spoken),)


@pytest.mark.parametrize(
    "body",
    [
        b'\xef\xbb\xbf<?xml version="1.0"?><Response/>',
        b' <?xml version="1.0"?><Response/>',
        b'<?xml version="1.0" encoding="no-such-thing"?><Response/>',
        b"<Response><Say>\xff\xfe</Say></Response>",
        b"<Response><Say>\x00</Say></Response>",
        b"<Response><Say>&#0;&#xFFFF;</Say></Response>",
        b"\xff\xfe<Response/>",
        b"\x00\x00\xfe\xff<Response/>",
        b"\x1f\x8b\x08\x00",
    ],
)
def test_octets_that_are_no_text_are_refused(body: bytes) -> None:
    assert fatal(body) == 12100


CHARSETS = sorted({*aliases.values(), "idna", "punycode", "undefined", "unicode_escape"})


@each("charset", [*CHARSETS, "x" * 1000, "utf-8\x00", '"', ""])
def test_any_charset_gives_a_value(charset: str) -> None:
    """Texts that can be written again, whatever the octets are said to be."""
    for octets in (
        b"<Response><Say>a\xff+2AA-\\ud800 \xed\xa0\x80</Say></Response>",
        b"a-" * 30_000,
    ):
        for kind in ("text/xml", "text/plain", "text/html"):
            result = read(octets, f"{kind}; charset={charset}")
            for verb in result.verbs if isinstance(result, Document) else ():
                assert isinstance(verb, Say)
                verb.text.encode()


@pytest.mark.parametrize(
    "body",
    [
        filled("<Response>", "<Say/>", "</Response>"),
        filled("<Response><Gather>", "<Ninja/>", "</Gather></Response>"),
        filled("<Response><Dial>", "<Number>x</Number>", "</Dial></Response>"),
        filled("<Response><Say>", "<b/>", "</Say></Response>"),
        filled(
            "<Response><Dial><Sip>sip:a@b<Headers>",
            "<Header/>",
            "</Headers></Sip></Dial></Response>",
        ),
        "<Response><Say " + " ".join(f"a{at}='x'" for at in range(5000)) + "/></Response>",
    ],
    ids=["say", "gather", "dial", "ssml", "headers", "attributes"],
)  # fmt: skip
def test_mistakes_are_not_counted_without_end(body: str) -> None:
    result = read(body)
    assert isinstance(result, Document)
    assert len(result.warnings) <= MAX_WARNINGS


@pytest.mark.parametrize(
    "attribute",
    ["voice", "language", "loop", "digits", "finishOnKey", "hints", "timeout", "waitUrl", "coach",
     "callerId", "participantLabel", "sendDigits", "codecs", "statusCallbackEvent", "to", "from"],
)  # fmt: skip
@each("piece", ["1", "a", " ", "(", "a-", "1.", "a:", "a ", "%", "é"])
def test_long_values_cost_no_time(attribute: str, piece: str) -> None:
    value = filled("", piece, "")[: 20_000 // len(piece)]
    for name in ("Say", "Play", "Gather", "Enqueue", "Dial", "Sms", "Record"):
        read(f"<Response><{name} {attribute}='{value}'>a</{name}></Response>")
    for noun in ("Conference", "Number", "Sip", "Client"):
        read(f"<Response><Dial><{noun} {attribute}='{value}'>a</{noun}></Dial></Response>")


@pytest.mark.parametrize("piece", ["1", "a", "sip:", "@", ".", "a@", "&amp;X-A=", "%0d%0a", "1 ("])
def test_long_names_cost_no_time(piece: str) -> None:
    for noun in ("Number", "Sip", "Client", "Conference", "Queue", "Application"):
        read(filled(f"<Response><Dial><{noun}>", piece, f"</{noun}></Dial></Response>"))
    for verb in ("Play", "Redirect", "Enqueue", "Sms", "Say"):
        read(filled(f"<Response><{verb}>", piece, f"</{verb}></Response>"))


def test_markup_around_a_long_text_costs_no_time() -> None:
    depth = 250
    before = "<Response><Say>" + "<prosody rate='1%'>" * depth
    result = read(filled(before, "a ", "</prosody>" * depth + "</Say></Response>"))
    assert isinstance(result, Document)
    assert [each.code for each in result.warnings] == [13521]


@pytest.mark.parametrize(
    "inner",
    [
        "<script>x</script>",
        "<Gather><Say>a</Say>text<Play>/a</Play>more</Gather>",
        "<Say><![CDATA[</Say><Hangup/>]]></Say>",
        "<Say xmlns='urn:x'>a</Say>",
        "<x:Say xmlns:x='urn:x'>a</x:Say>",
        "<Say><?php system('x') ?>a</Say>",
        "<Say onload='x()' style='x'>a</Say>",
        "<Dial><Sip>sip:a@b&#13;&#10;Via: x</Sip></Dial>",
        "<Dial><Client>a&#10;b</Client></Dial>",
        "<Play>javascript:alert(1)</Play>",
        "<Play>file:///etc/passwd</Play>",
        "<Redirect>gopher://example.com/</Redirect>",
    ],
)
def test_what_is_smuggled_in_is_told_or_taken_as_text(inner: str) -> None:
    result = read(f"<Response>{inner}</Response>")
    assert isinstance(result, Document)
    for verb in result.verbs:
        match verb:
            case Say(text=text, ssml=ssml):
                assert text in ("a", "</Say><Hangup/>")
                assert not ssml
            case Gather(prompts=prompts):
                assert len(prompts) == 2
            case Dial(nouns=nouns):
                assert nouns == ()
            case _:
                raise AssertionError(verb)
