"""TwiML that stands in the config file: what a call runs where no app is asked.

It is read when the file is: one that can't be run is refused then. It came from no URL, so those in
it that are relative lead nowhere, as with TwiML that REST is given.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from gateway.forms import Form, Unreadable, text
from gateway.tables import Finding
from twiml.errors import ParseFailure
from twiml.parser import Document, findings, parse
from twiml.verbs import VoiceVerb
from twiml.voice_dialect import VOICE

if TYPE_CHECKING:
    from gateway.config import Config

_TYPE: Final = "text/xml; charset=utf-8"
_EXPECTED: Final = 'TwiML for calls, such as "<Response><Dial>+442071838750</Dial></Response>"'
_TEXT: Final = text()


def form() -> Form:
    """A document for calls, or ""; what can't be run is refused with its line."""

    def read(found: object, environ: Mapping[str, str]) -> str:
        written: str = _TEXT.read(found, environ)
        if written and isinstance(parsed := read_document(written), ParseFailure):
            raise Unreadable(f"{_EXPECTED}; line {parsed.line}: {parsed.code}, {parsed.message}")
        return written

    return _TEXT._replace(expected=f'{_EXPECTED}, or ""', read=read)


@lru_cache(maxsize=256)  # most calls run the same
def read_document(written: str) -> Document[VoiceVerb] | ParseFailure:
    """What a document that came without a URL says."""
    return parse(written.encode("utf-8", "replace"), _TYPE, VOICE)


def both(config: "Config") -> Iterator[Finding]:
    """Numbers and domains that say it themselves, and whom to ask, too."""
    for where, url, document in _entries(config):
        if url and document:
            yield Finding(
                f"{where} voice_twiml", "there is a voice_url, too", "leave one of them out"
            )


def dubious(config: "Config") -> Iterator[Finding]:
    """What a call will pass over in such a document."""
    for where, _, document in _entries(config):
        for each in findings(read_document(document)) if document else ():
            problem = f"line {each.line}: {each.code}, {each.message}"
            yield Finding(f"{where} voice_twiml", problem, "")


def _entries(config: "Config") -> Iterator[tuple[str, str, str]]:
    """Where each stands in the file, its `voice_url` and its `voice_twiml`."""
    for at, number in enumerate(config.numbers, 1):
        yield f"[[numbers]] {at} ({number.number})", number.voice_url, number.voice_twiml
    for at, domain in enumerate(config.domains, 1):
        yield f"[[domains]] {at} ({domain.name})", domain.voice_url, domain.voice_twiml
