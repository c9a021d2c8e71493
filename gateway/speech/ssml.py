"""SSML: what of it espeak-ng is given, and what is left for engines that take text alone.

A document is taken apart and written anew, so that an engine meets only the elements that Twilio
has, with values of their form. The numbers and letters of `<say-as>` are told apart here.
"""

import re
from collections.abc import Iterator
from typing import Final, TypeVar
from xml.sax.saxutils import escape, quoteattr

import msgspec
from lxml import etree

from gateway.speech import voices
from gateway.speech.model import Unspoken

LONGEST_PAUSE: Final = 10.0  # seconds, Twilio's
_LANG: Final = "{http://www.w3.org/XML/1998/namespace}lang"
_PAUSES: Final = {
    "none": 0.0, "x-weak": 0.1, "weak": 0.25, "medium": 0.4, "strong": 0.7, "x-strong": 1.0
}  # fmt: skip
_TIME: Final = re.compile(r"\+?(\d{1,6}(?:\.\d{1,3})?)(ms|s)")
_PROSODY: Final = {
    "rate": re.compile(r"x-slow|slow|medium|fast|x-fast|default|\d{1,3}(?:\.\d{1,3})?%"),
    "pitch": re.compile(r"x-low|low|medium|high|x-high|default|[+-]?\d{1,3}(?:\.\d{1,3})?%"),
    "volume": re.compile(
        r"silent|x-soft|soft|medium|loud|x-loud|default|[+-]\d{1,3}(?:\.\d{1,3})?dB"
    ),
}
_LEVELS: Final = frozenset({"strong", "moderate", "reduced"})
_SPELT: Final = frozenset({"characters", "spell-out", "verbatim", "digits", "telephone"})
# Element -> what is put after it where nothing else tells that something ended.
_BLOCKS: Final = {"p": 0.5, "s": 0.25}

T = TypeVar("T")


class Pause(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds of nothing between two parts."""

    seconds: float


Part = str | Pause


def _tree(ssml: str) -> "etree._Element | Unspoken":
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True,
        remove_pis=True, huge_tree=False,
    )  # fmt: skip
    try:
        root = etree.fromstring(ssml.encode("utf-8", "replace"), parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        return Unspoken(reason=f"the SSML can't be read: {error}")
    if "<!DOCTYPE" in ssml:
        return Unspoken(reason="SSML with a DTD is not read")
    return root


def parts(ssml: str) -> tuple[Part, ...] | Unspoken:
    """The texts of a document and the pauses between them."""
    root = _tree(ssml)
    if isinstance(root, Unspoken):
        return root
    found: list[Part] = []
    for each in _parts(root):
        if isinstance(each, Pause) and not each.seconds:
            each = " "  # words are two all the same
        if isinstance(each, str):
            if found and isinstance(found[-1], str):
                found[-1] += each
            else:
                found.append(each)
        else:
            found.append(each)
    texts = (" ".join(each.split()) if isinstance(each, str) else each for each in found)
    return tuple(each for each in texts if each)


def _parts(element: "etree._Element") -> Iterator[Part]:
    name = element.tag
    if name == "break":
        yield Pause(seconds=_pause(element))
    elif name == "sub":
        yield element.get("alias", "")
    elif name == "say-as":
        yield _said_as(element)
    else:
        yield element.text or ""
        for child in element:
            yield from _parts(child)
            yield child.tail or ""
        if name in _BLOCKS:
            yield Pause(seconds=_BLOCKS[str(name)])


def _pause(element: "etree._Element") -> float:
    if match := _TIME.fullmatch(element.get("time", "").strip()):
        seconds = float(match[1]) * (0.001 if match[2] == "ms" else 1.0)
        return min(seconds, LONGEST_PAUSE)
    return _PAUSES.get(element.get("strength", "medium"), _PAUSES["medium"])


def _said_as(element: "etree._Element") -> str:
    text = "".join(str(each) for each in element.itertext())
    how = element.get("interpret-as", "")
    if how == "expletive":
        return ""
    if how in _SPELT:
        return f" {' '.join(each for each in text if not each.isspace())} "
    return text


def for_espeak(ssml: str) -> str | Unspoken:
    """The document as espeak-ng is to have it."""
    root = _tree(ssml)
    return root if isinstance(root, Unspoken) else f"<speak>{_inside(root)}</speak>"


def _inside(element: "etree._Element") -> str:
    written = [escape(element.text or "")]
    for child in element:
        written.append(_marked(child))
        written.append(escape(child.tail or ""))
    return "".join(written)


def _marked(element: "etree._Element") -> str:
    match element.tag:
        case "break":
            return f'<break time="{round(_pause(element) * 1000)}ms"/>'
        case "sub":
            return escape(element.get("alias", ""))
        case "say-as":
            return escape(_said_as(element))
        case "p" | "s":
            return f"<{element.tag}>{_inside(element)}</{element.tag}>"
        case "emphasis":
            level = element.get("level", "moderate")
            level = level if level in _LEVELS else "moderate"
            return f'<emphasis level="{level}">{_inside(element)}</emphasis>'
        case "prosody":
            named = ((name, element.get(name, "")) for name in _PROSODY)
            fit = [f" {name}={quoteattr(value)}" for name, value in named if _fits(name, value)]
            return f"<prosody{''.join(fit)}>{_inside(element)}</prosody>"
        case "lang" if found := voices.tongue(element.get(_LANG, "")):
            return f'<voice xml:lang="{found}">{_inside(element)}</voice>'
        case _:
            return _inside(element)


def _fits(name: str, value: str) -> bool:
    return bool(value and _PROSODY[name].fullmatch(value))
