"""Whatever an app answers, reading it gives a value: octets and texts of any kind.

Damaged documents are targets of `tests.fuzz`.
"""

from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from tests.fuzz import voice_documents
from tests.fuzz.documents import TYPES, read
from twiml.ssml_elements import SSML


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400), st.sampled_from(TYPES))
def test_any_octets(body: bytes, content_type: str) -> None:
    read(body, content_type)
    voice_documents.read(body, content_type)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=100), st.text(max_size=40))
def test_any_text_and_any_content_type(text: str, content_type: str) -> None:
    read(text.encode("utf-8", "replace"), content_type)
    read(f"<Response><Message>{text}</Message></Response>".encode("utf-8", "replace"), "text/xml")


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=200), st.sampled_from(("Number", "Sip", "Uri")))
def test_any_text_as_an_address_and_as_a_value(text: str, noun: str) -> None:
    response = etree.Element("Response")
    dial = etree.SubElement(response, "Dial")
    parent = etree.SubElement(dial, "Sip") if noun == "Uri" else dial
    printable = "".join(each for each in text if each.isprintable())
    etree.SubElement(parent, noun).text = printable
    for name in ("timeout", "callerId", "action", "record", "callReason"):
        dial.set(name, printable)
    voice_documents.read(etree.tostring(response), "text/xml")


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200), st.text(max_size=60), st.sampled_from(sorted(SSML)))
def test_any_text_is_spoken_as_it_is(text: str, value: str, name: str) -> None:
    response = etree.Element("Response")
    say = etree.SubElement(response, "Say")
    printable = "".join(each for each in text if each.isprintable())
    say.text = printable
    child = etree.SubElement(say, name)
    child.tail = printable
    for attribute in SSML[name].attributes:
        key = attribute.replace("xml:", "{http://www.w3.org/XML/1998/namespace}")
        child.set(key, "".join(each for each in value if each.isprintable()))
    voice_documents.read(etree.tostring(response), "text/xml")
