"""A document's octets to verbs and warnings; it never raises, whatever the octets are.

What Twilio calls fatal (its page on TwiML's error codes) is a `ParseFailure`; unknown elements and
attributes are warnings. Entities, DTDs and anything that would make the parser fetch are refused.
"""

import codecs
import re
from typing import Final

import msgspec
from lxml import etree

from twiml.errors import (
    BODY_TOO_LARGE,
    DOCUMENT_PARSE_FAILURE,
    INVALID_CONTENT_TYPE,
    ROOT_NOT_RESPONSE,
    SCHEMA_WARNING,
    Finding,
    Level,
    ParseFailure,
)
from twiml.verbs import Content, Dialect, Element, OnBadValue, Verb

__all__ = ["MAX_BODY", "MAX_WARNINGS", "Document", "Finding", "ParseFailure", "findings", "parse"]

MAX_BODY: Final = 65536
# One document's mistakes must not fill anybody's log; the first ones are the telling ones.
MAX_WARNINGS: Final = 100

_XML_TYPES: Final = frozenset({"text/xml", "application/xml", "text/html"})
_TEXT_TYPE: Final = "text/plain"

# What may stand before the root (XML 1.0, production 22), up to the one thing we refuse there.
_DOCTYPE: Final = re.compile(
    rb"(?:\s|\xef\xbb\xbf|<\?(?:[^?]|\?(?!>))*\?>|<!--(?:[^-]|-(?!->))*-->)*<!DOCTYPE"
)
_BEFORE_DECLARATION: Final = re.compile(rb"(?:\s|\xef\xbb\xbf)+<\?xml\s")
# Some XML writers declare the UTF-16 of their strings in memory, whatever they write out.
_FALSE_UTF16: Final = re.compile(rb"<\?xml[^>]*encoding=.utf-?16", re.IGNORECASE)
_PARSER_ADVICE: Final = re.compile(r", use XML_PARSE_\w+ option|, line \d+, column \d+$")
_BYTE_ORDER_MARKS: Final = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """What was said, in order, and what was odd about how."""

    verbs: tuple[Verb, ...]
    warnings: tuple[Finding, ...] = ()


def findings(result: Document | ParseFailure) -> tuple[Finding, ...]:
    """Everything that is wrong with what `parse` gave."""
    match result:
        case Document(warnings=warnings):
            return warnings
        case ParseFailure():
            return (result.finding,)


def parse(body: bytes, content_type: str, dialect: Dialect) -> Document | ParseFailure:
    """Read a document as `dialect`; `content_type` is the header as it came, or empty.

    An empty body says nothing, which is legal in a reply to a message.
    """
    if len(body) > MAX_BODY:
        return _failed(
            BODY_TOO_LARGE, f"the document has {len(body)} octets; {MAX_BODY} are the most"
        )
    if not body.strip():
        return Document(verbs=())
    media_type, charset = _media_type(content_type)
    if media_type in _XML_TYPES:
        return _parse_xml(body, charset, dialect)
    if media_type == _TEXT_TYPE:
        text = _decoded(body, charset).strip()
        return Document(verbs=(dialect.of_text(text),) if text else ())
    if not media_type:
        return _failed(INVALID_CONTENT_TYPE, "the answer has no Content-Type; text/xml is right")
    return _failed(
        INVALID_CONTENT_TYPE, f"the Content-Type is {media_type[:80]}; text/xml is right"
    )


def _failed(code: int, message: str, line: int = 0) -> ParseFailure:
    return ParseFailure(code=code, line=line, message=message)


def _media_type(content_type: str) -> tuple[str, str]:
    """The type in lower case and the charset parameter, empty if absent (RFC 9110 8.3)."""
    media_type, _, parameters = content_type.partition(";")
    found = re.search(r'charset\s*=\s*"?([^\s;"]+)', parameters, re.IGNORECASE)
    return media_type.strip().lower(), found.group(1) if found else ""


def _codec(charset: str) -> str:
    """The name of a text encoding that is known; UTF-8 for any other."""
    try:
        name = codecs.lookup(charset).name
        "".encode(name)
    except (LookupError, ValueError, UnicodeError):
        return "utf-8"
    return name


def _decoded(body: bytes, charset: str) -> str:
    text = body.decode(_codec(charset or "utf-8"), "replace").removeprefix("\ufeff")
    # U+0000 can't be stored or sent as text.
    return text.replace("\x00", "")


def _parse_xml(body: bytes, charset: str, dialect: Dialect) -> Document | ParseFailure:
    if _BEFORE_DECLARATION.match(body):
        return _failed(
            DOCUMENT_PARSE_FAILURE, "the XML declaration has to be the first thing in it", 1
        )
    if _DOCTYPE.match(body):
        return _failed(DOCUMENT_PARSE_FAILURE, "a document type declaration is not accepted", 1)
    try:
        root = etree.fromstring(body, _xml_parser(body, charset))
    except etree.XMLSyntaxError as error:
        why = _PARSER_ADVICE.sub("", error.msg or "it is empty")
        return _failed(
            DOCUMENT_PARSE_FAILURE, f"it is not well-formed XML: {why}", int(error.lineno or 0)
        )
    except (etree.LxmlError, ValueError, LookupError) as error:
        return _failed(DOCUMENT_PARSE_FAILURE, f"it can't be read as XML: {error}")
    # Not every encoding shows a DOCTYPE to the look at the octets above.
    if root.getroottree().docinfo.internalDTD is not None:
        return _failed(DOCUMENT_PARSE_FAILURE, "a document type declaration is not accepted", 1)
    if root.tag != "Response":
        return _failed(
            ROOT_NOT_RESPONSE,
            f"the root element is <{_shown(root.tag)}>, not <Response>",
            _line(root),
        )
    return _Reading(dialect).document(root)


def _xml_parser(body: bytes, charset: str) -> "etree.XMLParser":
    # RFC 7303 3: a byte order mark wins over the charset parameter, which wins over the document.
    named = "" if body.startswith(_BYTE_ORDER_MARKS) else charset
    if not named and _FALSE_UTF16.match(body):
        named = "utf-8"
    return etree.XMLParser(
        encoding=_codec(named) if named else None,
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )


def _line(node: "etree._Element") -> int:
    # None for a node that was not parsed from text; the stubs know more kinds than there are.
    line = node.sourceline
    return line if isinstance(line, int) else 0


def _shown(name: object) -> str:
    return str(name)[:80]


class _Reading:
    """One document being read; gathers warnings on the way."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._warnings: list[Finding] = []
        self._counts: dict[int, int] = {}

    def document(self, root: "etree._Element") -> Document:
        for name in root.attrib:
            self._odd_attribute(root, str(name))
        if (root.text or "").strip():
            self._warn(SCHEMA_WARNING, root, "text in <Response> outside of a verb is not used")
        verbs = [verb for child in root if (verb := self._verb(child)) is not None]
        return Document(verbs=tuple(verbs), warnings=tuple(self._warnings))

    def _verb(self, node: "etree._Element") -> Verb | None:
        name = str(node.tag)
        element = self._dialect.elements.get(name)
        if element is None:
            if name in self._dialect.foreign:
                code, why = self._dialect.foreign_code, "is no verb for a message"
            else:
                code, why = SCHEMA_WARNING, "is not known here"
            self._warn(code, node, f"<{_shown(name)}> {why}; it is passed over")
            return None
        fields = self._fields(node, element)
        content = self._content(node, element)
        if fields is None:
            return None
        made = element.make(fields, content)
        for complaint in made.complaints:
            self._warn(complaint.code, node, complaint.message)
        return made.verb if made.verb is None or self._within_limit(node, element) else None

    def _within_limit(self, node: "etree._Element", element: Element) -> bool:
        if not element.limit:
            return True
        count = self._counts[id(element)] = self._counts.get(id(element), 0) + 1
        if count == element.limit + 1:
            self._warn(
                element.limit_code,
                node,
                f"more than {element.limit} <{node.tag}> in a document; the rest are left out",
            )
        return count <= element.limit

    def _fields(self, node: "etree._Element", element: Element) -> dict[str, str] | None:
        """The fields that the attributes fill; None if a bad one costs the verb."""
        fields: dict[str, str] | None = {}
        for key, text in node.attrib.items():
            name, value = str(key), str(text).strip()
            attribute = element.attributes.get(name)
            if attribute is None:
                self._odd_attribute(node, name)
                continue
            read = attribute.read(value)
            if read is not None:
                if fields is not None:
                    fields[attribute.field] = read
                continue
            # An attribute left empty counts as absent.
            if not value:
                continue
            left_out = attribute.on_bad_value is OnBadValue.LEAVE_OUT
            self._warn(
                attribute.code,
                node,
                f"{name}={value[:80]!r} of <{node.tag}> is not {attribute.expected};"
                f" {'the verb is left out' if left_out else 'the default is used'}",
            )
            if left_out:
                fields = None
        return fields

    def _content(self, node: "etree._Element", element: Element) -> Content:
        children: list[tuple[str, str]] = []
        for child in node:
            name = str(child.tag)
            if name not in element.children:
                self._warn(
                    SCHEMA_WARNING,
                    child,
                    f"<{_shown(name)}> has no meaning in <{node.tag}>; it is passed over",
                )
                continue
            for odd in child.attrib:
                self._odd_attribute(child, str(odd))
            children.append((name, self._text(child)))
            for grandchild in child:
                self._warn(
                    SCHEMA_WARNING,
                    grandchild,
                    f"<{_shown(grandchild.tag)}> has no meaning in <{name}>; it is passed over",
                )
        return Content(text=self._text(node), children=tuple(children))

    def _text(self, node: "etree._Element") -> str:
        """The text directly inside, trimmed as a whole."""
        parts = [str(node.text or ""), *(str(child.tail or "") for child in node)]
        return "".join(parts).strip()

    def _odd_attribute(self, node: "etree._Element", name: str) -> None:
        # Namespaced ones (a schema's location, say) belong to XML tools and are nobody's mistake.
        if not name.startswith("{"):
            self._warn(
                SCHEMA_WARNING,
                node,
                f"{_shown(name)} is no attribute of <{_shown(node.tag)}>; it is passed over",
            )

    def _warn(self, code: int, node: "etree._Element", message: str) -> None:
        if len(self._warnings) == MAX_WARNINGS:
            return
        self._warnings.append(
            Finding(code=code, level=Level.WARNING, line=_line(node), message=message)
        )
