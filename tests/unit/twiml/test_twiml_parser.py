import pytest
from twilio.twiml.messaging_response import MessagingResponse

from twiml.errors import Level, ParseFailure
from twiml.messaging_dialect import MESSAGING
from twiml.parser import MAX_BODY, MAX_WARNINGS, Document, findings, parse
from twiml.verbs import Message, MessagingVerb, Redirect
from twiml.voice_dialect import VOICE

XML = "text/xml"


def read(body: str | bytes, content_type: str = XML) -> Document[MessagingVerb]:
    octets = body if isinstance(body, bytes) else body.encode()
    document = parse(octets, content_type, MESSAGING)
    assert isinstance(document, Document), document
    return document


def failed(body: str | bytes, content_type: str = XML) -> ParseFailure:
    octets = body if isinstance(body, bytes) else body.encode()
    failure = parse(octets, content_type, MESSAGING)
    assert isinstance(failure, ParseFailure), failure
    return failure


def codes(document: Document[MessagingVerb]) -> list[int]:
    return [finding.code for finding in document.warnings]


def test_what_the_sdk_writes_is_read_without_a_warning() -> None:
    response = MessagingResponse()
    first = response.message(
        to="+15550002000",
        from_="+15550001000",
        action="/action",
        method="GET",
        status_callback="https://example.com/status",
    )
    first.body("Hello & <welcome>")
    first.media("https://example.com/a.png")
    first.media("/b.png")
    response.message("plain")
    response.redirect("../next", method="GET")
    assert read(str(response)) == Document(
        verbs=(
            Message(
                to="+15550002000",
                from_="+15550001000",
                action="/action",
                method="GET",
                status_callback="https://example.com/status",
                body="Hello & <welcome>",
                media=("https://example.com/a.png", "/b.png"),
            ),
            Message(body="plain"),
            Redirect(method="GET", url="../next"),
        )
    )


@pytest.mark.parametrize(
    ("inner", "body"),
    [
        ("  two\n lines \n", "two\n lines"),
        ("a<!-- note -->b", "ab"),
        ("a<?php echo ?>b", "ab"),
        ("<![CDATA[<b> & <!DOCTYPE x>]]>", "<b> & <!DOCTYPE x>"),
        ("&#8364;&#x1F600;&lt;&amp;&quot;", '€😀<&"'),
        ("<Body> in body </Body>", "in body"),
        ("<Body/><Media>/m</Media>", ""),
    ],
)
def test_text_is_read_as_xml_says(inner: str, body: str) -> None:
    (verb,) = read(f"<Response><Message>{inner}</Message></Response>").verbs
    assert isinstance(verb, Message)
    assert verb.body == body


@pytest.mark.parametrize(
    "body",
    ["", "  \n", "<Response/>", "\n\t<Response></Response>", "\ufeff<Response/>"],
)
def test_nothing_said_is_no_reply(body: str) -> None:
    assert read(body) == Document(verbs=())


def test_an_empty_body_needs_no_content_type() -> None:
    assert read("", "") == Document(verbs=())
    assert read("", "application/json") == Document(verbs=())


@pytest.mark.parametrize(
    "content_type",
    ["text/xml", "application/xml", "text/html", "Text/XML; charset=utf-8", "text/xml ;x=y"],
)
def test_content_types_of_documents(content_type: str) -> None:
    assert read("<Response><Message>x</Message></Response>", content_type).verbs == (
        Message(body="x"),
    )


@pytest.mark.parametrize("content_type", ["", "application/json", "audio/mpeg", "image/png", ";"])
def test_other_content_types_are_12300(content_type: str) -> None:
    assert failed("<Response/>", content_type).code == 12300


def test_plain_text_is_one_message() -> None:
    assert read("  Hello <b>\n", "text/plain").verbs == (Message(body="Hello <b>"),)
    latin = "Grüße".encode("latin-1")
    assert read(latin, "text/plain; charset=ISO-8859-1").verbs == (Message(body="Grüße"),)
    assert read(latin, "text/plain; charset=nonsense").verbs == (Message(body="Gr\ufffd\ufffde"),)
    assert read("\ufeffhi\x00", "text/plain").verbs == (Message(body="hi"),)


@pytest.mark.parametrize(
    ("octets", "content_type"),
    [
        ('<?xml version="1.0" encoding="ISO-8859-1"?>{}'.encode("latin-1"), "text/xml"),
        (b"{}", "text/xml; charset=iso-8859-1"),
    ],
)
def test_the_declared_encoding_is_used(octets: bytes, content_type: str) -> None:
    whole = octets.replace(b"{}", "<Response><Message>é</Message></Response>".encode("latin-1"))
    assert read(whole, content_type).verbs == (Message(body="é"),)


def test_a_false_declaration_of_utf16_is_forgiven() -> None:
    text = '<?xml version="1.0" encoding="utf-16"?><Response><Message>é</Message></Response>'
    for octets in (text.encode(), text.encode("utf-16")):
        assert read(octets).verbs == (Message(body="é"),)
        assert read(octets, "text/xml; charset=utf-8").verbs == (Message(body="é"),)


@pytest.mark.parametrize(
    "body",
    [
        "<Response>",
        "<Response><Message>a & b</Message></Response>",
        "<Response><Message>&nbsp;</Message></Response>",
        "<Response></response>",
        "<Response/><Response/>",
        "not XML",
        ' <?xml version="1.0"?><Response/>',
        '\n<?xml version="1.0"?><Response/>',
        '\ufeff<?xml version="1.0"?><Response/>',
        b"<Response><Message>\xff</Message></Response>",
        b"<Response>\x00</Response>",
        "<Response><Message>&#0;</Message></Response>",
        "<Response>" + "<a>" * 300 + "</a>" * 300 + "</Response>",
    ],
)
def test_what_is_not_well_formed_is_12100(body: str | bytes) -> None:
    assert failed(body).code == 12100


@pytest.mark.parametrize(
    "body",
    [
        "<!DOCTYPE Response><Response/>",
        '<?xml version="1.0"?><!-- x --><!DOCTYPE Response SYSTEM "http://127.0.0.1/x"><Response/>',
        '<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
        "<Response><Message>&x;</Message></Response>",
        '<!DOCTYPE r [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>'
        "<Response><Message>&b;</Message></Response>",
        '<?xml version="1.0" encoding="utf-16"?><!DOCTYPE r [<!ENTITY x "y">]>'
        "<Response><Message>&x;</Message></Response>",
    ],
)
def test_a_document_type_is_refused_in_any_encoding(body: str) -> None:
    octets = body.encode("utf-16" if "utf-16" in body else "utf-8")
    failure = failed(octets)
    assert failure.code == 12100
    assert "document type" in failure.message


@pytest.mark.parametrize(
    "body", ["<response/>", "<Foo/>", "<html><body/></html>", '<Response xmlns="urn:x"/>']
)
def test_another_root_is_12102(body: str) -> None:
    assert failed(body).code == 12102


def test_a_document_may_have_64_kib_and_no_more() -> None:
    filled = "<Response><Message>" + "x" * (MAX_BODY - 39) + "</Message></Response>"
    assert len(filled) == MAX_BODY + 1
    assert failed(filled).code == 11750
    assert len(read(filled.replace("xx", "x", 1)).verbs) == 1


def test_a_failure_says_where() -> None:
    failure = failed("<Response>\n<Message>\n&nope;</Message></Response>")
    assert failure.line == 3
    assert "nope" in failure.message
    assert findings(failure)[0].level is Level.ERROR


def test_what_refuses_a_document_hides_nothing_else_that_is_wrong() -> None:
    bad = "<Enqueue/>\n<Foo/>\n<Enqueue method='x'>a</Enqueue>\n<Say bar='1'>x</Say>"
    failure = parse(f"<Response>{bad}</Response>".encode(), XML, VOICE)
    assert isinstance(failure, ParseFailure)
    assert [(each.line, each.code, each.level) for each in findings(failure)] == [
        (1, 14204, Level.ERROR),
        (3, 14201, Level.ERROR),
        (2, 12200, Level.WARNING),
        (4, 12200, Level.WARNING),
    ]


@pytest.mark.parametrize(
    ("inner", "code"),
    [
        ("<Say>Hi</Say>", 14110),
        ("<Dial>+15550001000</Dial>", 14110),
        ("<message>lower case</message>", 12200),
        ("<Ninja/>", 12200),
        ("<Message>a<Ninja/></Message>", 12200),
        ("<Message><Body>a<Ninja/></Body></Message>", 12200),
        ("<Message colour='red'>a</Message>", 12200),
        ("<Message TO='+15550001000'>a</Message>", 12200),
        ("<Message><Body x='y'>a</Body></Message>", 12200),
        ("<Message><Body>a</Body><Body>b</Body></Message>", 12200),
        ("<Message>a<Body>b</Body></Message>", 12200),
        ("<Message>a<Media>ftp://example.com/x</Media></Message>", 12200),
        ("<Message>a<Media/></Message>", 12200),
        ("<Message action='javascript:x'>a</Message>", 12200),
        ("<Redirect>ftp://example.com/</Redirect>", 12200),
        ("stray", 12200),
        ("<Message/>", 14103),
        ("<Message to='nobody'>a</Message>", 14101),
        ("<Message from='a name that is too long'>a</Message>", 14102),
        ("<Message method='PUT'>a</Message>", 14104),
        ("<Message statusCallback='mailto:a@example.com'>a</Message>", 14105),
        ("<Redirect method='PATCH'>/x</Redirect>", 13710),
    ],
)
def test_oddities_are_warnings(inner: str, code: int) -> None:
    document = read(f"<Response>\n{inner}</Response>")
    assert codes(document) == [code]
    (warning,) = findings(document)
    assert warning.level is Level.WARNING
    assert warning.line == (1 if inner == "stray" else 2)


def test_defaults_stand_in_for_bad_values() -> None:
    document = read(
        "<Response><Message from='?' method='PUT' action='data:x'>a</Message>"
        "<Redirect method='x'>/b</Redirect></Response>"
    )
    assert document.verbs == (Message(body="a"), Redirect(url="/b"))


def test_a_text_for_somebody_unknown_is_not_sent_to_the_texter() -> None:
    document = read("<Response><Message to='bob'>private</Message><Message>b</Message></Response>")
    assert document.verbs == (Message(body="b"),)


@pytest.mark.parametrize(
    "address", ["+15550001000", "(555) 000-1000", "12345", "whatsapp:+15550001000", "client:joe"]
)
def test_addresses_in_usual_writing_are_taken(address: str) -> None:
    document = read(f"<Response><Message to='{address}'>a</Message></Response>")
    assert document == Document(verbs=(Message(to=address, body="a"),))


@pytest.mark.parametrize("sender", ["+15550001000", "ACME Corp", "MG" + "0" * 32, "12345"])
def test_senders_are_taken(sender: str) -> None:
    document = read(f"<Response><Message from='{sender}'>a</Message></Response>")
    assert document == Document(verbs=(Message(from_=sender, body="a"),))


def test_an_empty_attribute_counts_as_absent() -> None:
    document = read("<Response><Message to='' method='' action=''>a</Message></Response>")
    assert document == Document(verbs=(Message(body="a"),))


def test_a_schema_location_is_nobodys_mistake() -> None:
    document = read(
        '<Response xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
        ' xsi:noNamespaceSchemaLocation="twiml.xsd"><Message>a</Message></Response>'
    )
    assert document == Document(verbs=(Message(body="a"),))


def test_ten_messages_and_no_more() -> None:
    document = read("<Response>" + "<Message>a</Message>" * 8 + "<Sms>b</Sms>" * 5 + "</Response>")
    assert document.verbs == (Message(body="a"),) * 8 + (Message(body="b"),) * 2
    assert codes(document) == [14109]
    assert codes(read("<Response>" + "<Message>a</Message>" * 10 + "</Response>")) == []


def test_ten_media_and_no_more() -> None:
    media = "".join(f"<Media>/{number}</Media>" for number in range(11))
    document = read(f"<Response><Message>{media}</Message></Response>")
    (verb,) = document.verbs
    assert isinstance(verb, Message)
    assert verb.media == tuple(f"/{number}" for number in range(10))
    assert codes(document) == [12200]


def test_mistakes_are_not_counted_without_end() -> None:
    assert len(read("<Response>" + "<x/>" * 5000 + "</Response>").warnings) == MAX_WARNINGS


def test_a_missing_content_type_is_called_missing() -> None:
    assert "no Content-Type" in failed("<Response/>", "").message
    assert "is image/png" in failed("<Response/>", "image/png").message


def test_an_attribute_of_the_root_is_a_warning() -> None:
    assert codes(read("<Response version='1'/>")) == [12200]


def test_a_warning_says_what_became_of_the_verb() -> None:
    (left_out,) = read("<Response><Message to='bob'>a</Message></Response>").warnings
    (default,) = read("<Response><Message method='x'>a</Message></Response>").warnings
    assert left_out.message.endswith("the verb is left out")
    assert default.message.endswith("the default is used")
