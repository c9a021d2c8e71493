"""A document's octets to verbs and warnings; it never raises, whatever the octets are.

What Twilio calls fatal (its page on TwiML's error codes) is a `ParseFailure`; unknown elements and
attributes are warnings. Entities, DTDs and anything that would make the parser fetch are refused.
"""

import codecs
import re
from typing import Any, Final, Generic, TypeVar

import msgspec
from lxml import etree

from twiml.elements import Attribute, Complaint, Content, Dialect, Element, OnBadValue, OnNothing
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
# Encodings that Python knows and no web server means: they give half of a pair, or take long.
_NO_CHARSETS: Final = frozenset(
    {"idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape", "utf-7"}
)
_PARSER_ADVICE: Final = re.compile(r", use XML_PARSE_\w+ option|, line \d+, column \d+$")
_XML_NAMESPACE: Final = "{http://www.w3.org/XML/1998/namespace}"
_BYTE_ORDER_MARKS: Final = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


V_co = TypeVar("V_co", covariant=True)
T = TypeVar("T")
V = TypeVar("V")


class Document(msgspec.Struct, Generic[V_co], frozen=True, kw_only=True):
    """What was said, in order, and what was odd about how."""

    verbs: tuple[V_co, ...]
    warnings: tuple[Finding, ...] = ()


def findings(result: Document[object] | ParseFailure) -> tuple[Finding, ...]:
    """Everything that is wrong with what `parse` gave."""
    match result:
        case Document(warnings=warnings):
            return warnings
        case ParseFailure():
            return (result.finding, *result.others)


def parse(body: bytes, content_type: str, dialect: Dialect[V]) -> Document[V] | ParseFailure:
    """Read a document as `dialect`; `content_type` is the header as it came, or empty."""
    if len(body) > MAX_BODY:
        return _failed(
            BODY_TOO_LARGE, f"the document has {len(body)} octets; {MAX_BODY} are the most"
        )
    if not body.strip():
        if dialect.on_nothing is OnNothing.SAYS_NOTHING:
            return Document(verbs=())
        return _failed(DOCUMENT_PARSE_FAILURE, "the document is empty; <Response/> ends a call")
    media_type, charset = _media_type(content_type)
    if media_type in _XML_TYPES:
        return _parse_xml(body, charset, dialect)
    if media_type == _TEXT_TYPE:
        return _plain(_decoded(body, charset).strip(), dialect)
    if not media_type:
        return _failed(INVALID_CONTENT_TYPE, "the answer has no Content-Type; text/xml is right")
    return _failed(
        INVALID_CONTENT_TYPE, f"the Content-Type is {media_type[:80]}; text/xml is right"
    )


def _plain(text: str, dialect: Dialect[V]) -> Document[V]:
    if not text:
        return Document(verbs=())
    name = dialect.of_text
    element = dialect.elements.get(name)
    if element is None:
        foreign = dialect.foreign.get(name, _UNKNOWN)
        why = f"a text is a <{name}>, which {foreign.message}; it is passed over"
        return Document(verbs=(), warnings=(_warned(foreign.code, why),))
    made = element.make({}, Content(text=text, mixed=(text,)))
    return Document(
        verbs=() if made.value is None else (made.value,),
        warnings=tuple(_warned(each.code, each.message) for each in made.complaints),
    )


def _warned(code: int, message: str) -> Finding:
    return Finding(code=code, level=Level.WARNING, line=0, message=message)


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
    return "utf-8" if name.replace("_", "-") in _NO_CHARSETS else name


def _decoded(body: bytes, charset: str) -> str:
    text = body.decode(_codec(charset or "utf-8"), "replace").removeprefix("\ufeff")
    # U+0000 can't be stored or sent as text.
    return text.replace("\x00", "")


def _parse_xml(body: bytes, charset: str, dialect: Dialect[V]) -> Document[V] | ParseFailure:
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


_UNKNOWN: Final = Complaint(SCHEMA_WARNING, "is not known here")


class _Reading(Generic[V]):
    """One document being read; gathers what is wrong on the way."""

    def __init__(self, dialect: Dialect[V]) -> None:
        self._dialect = dialect
        self._warnings: list[Finding] = []
        self._counts: dict[int, int] = {}
        self._errors: list[ParseFailure] = []

    def document(self, root: "etree._Element") -> Document[V] | ParseFailure:
        for name in root.attrib:
            self._odd_attribute(root, str(name))
        if (root.text or "").strip():
            self._warn(SCHEMA_WARNING, root, "text in <Response> outside of a verb is not used")
        said = [(child, verb) for child in root if (verb := self._verb(child)) is not None]
        if self._errors:
            first, *more = self._errors
            others = (*(each.finding for each in more), *self._warnings)
            return msgspec.structs.replace(first, others=others[:MAX_WARNINGS])
        verbs = tuple(verb for _, verb in said)
        for index, complaint in self._dialect.review(verbs).items():
            self._complain(said[index][0], complaint)
        return Document(verbs=verbs, warnings=tuple(self._warnings))

    def _verb(self, node: "etree._Element") -> V | None:
        name = str(node.tag)
        element = self._dialect.elements.get(name)
        if element is None:
            foreign = self._dialect.foreign.get(name, _UNKNOWN)
            why = f"<{_shown(name)}> {foreign.message}; it is passed over"
            self._warn(foreign.code, node, why)
            return None
        verb = self._made(node, element)
        return verb if verb is None or self._within_limit(node, element) else None

    def _made(self, node: "etree._Element", element: Element[T]) -> T | None:
        fields = self._fields(node, element)
        content = self._content(node, element)
        if fields is None:
            return None
        made = element.make(fields, content)
        for complaint in made.complaints:
            self._complain(node, complaint)
        return made.value

    def _within_limit(self, node: "etree._Element", element: Element[V]) -> bool:
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

    def _fields(self, node: "etree._Element", element: Element[object]) -> dict[str, Any] | None:
        """The fields that the attributes fill; None if a bad one costs the element."""
        fields: dict[str, Any] = {}
        usable = True
        for key, text in node.attrib.items():
            name, value = str(key).replace(_XML_NAMESPACE, "xml:"), str(text).strip()
            attribute = element.attributes.get(name)
            if name in element.undone and value:
                why = f"{name} of <{node.tag}> has no effect here: {element.undone[name]}"
                self._warn(SCHEMA_WARNING, node, why)
            if attribute is None:
                if name not in element.undone:
                    self._odd_attribute(node, str(key))
                continue
            read = attribute.read(value)
            if read is not None and attribute.field:
                fields[attribute.field] = read
            # One left empty counts as absent, unless its reader knows what empty means.
            elif read is None and value:
                usable = self._bad_value(node, attribute, name, value) and usable
        return fields if usable else None

    def _bad_value(
        self, node: "etree._Element", attribute: Attribute, name: str, value: str
    ) -> bool:
        """Whether the element can be used all the same, with the default."""
        wrong = f"{name}={value[:80]!r} of <{node.tag}> is not {attribute.expected}"
        if attribute.on_bad_value is OnBadValue.END_DOCUMENT:
            self._errors.append(_failed(attribute.code, wrong, _line(node)))
            return False
        left_out = attribute.on_bad_value is OnBadValue.LEAVE_OUT
        what = "the verb is left out" if left_out else "the default is used"
        self._warn(attribute.code, node, f"{wrong}; {what}")
        return not left_out

    def _content(self, node: "etree._Element", element: Element[object]) -> Content:
        # As deep as the rows go, whatever the depth of the document.
        parts: list[object] = []
        mixed: list[object] = [str(node.text or "")]
        for child in node:
            name = str(child.tag)
            known = element.children.get(name)
            if known is None:
                self._odd_child(node, child, element)
            elif (part := self._made(child, known)) is not None:
                parts.append(part)
                mixed.append(part)
            mixed.append(str(child.tail or ""))
        text = "".join(each for each in mixed if isinstance(each, str)).strip()
        return Content(text=text, parts=tuple(parts), mixed=tuple(mixed))

    def _odd_child(
        self, node: "etree._Element", child: "etree._Element", element: Element[object]
    ) -> None:
        name = str(child.tag)
        undone = element.undone_children.get(name)
        what = "meaning" if undone is None else f"effect here: {undone}"
        why = f"<{_shown(name)}> in <{node.tag}> has no {what}; it is passed over"
        self._warn(element.child_code, child, why)

    def _odd_attribute(self, node: "etree._Element", name: str) -> None:
        # Namespaced ones (a schema's location, say) belong to XML tools and are nobody's mistake.
        if not name.startswith("{"):
            self._warn(
                SCHEMA_WARNING,
                node,
                f"{_shown(name)} is no attribute of <{_shown(node.tag)}>; it is passed over",
            )

    def _complain(self, node: "etree._Element", complaint: Complaint) -> None:
        if complaint.level is Level.ERROR:
            self._errors.append(_failed(complaint.code, complaint.message, _line(node)))
        else:
            self._warn(complaint.code, node, complaint.message)

    def _warn(self, code: int, node: "etree._Element", message: str) -> None:
        if len(self._warnings) == MAX_WARNINGS:
            return
        self._warnings.append(
            Finding(code=code, level=Level.WARNING, line=_line(node), message=message)
        )
