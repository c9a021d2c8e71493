"""Which headers a trunk adds to what we send and takes out of what it sends: rules of the file.

A value is a literal with names in braces, `"{account_sid}"`; nothing is computed. Headers that
route a message or that the stack itself writes are no business of a rule.
"""

import re
from collections.abc import Mapping
from typing import Final

from protocols.sip.grammar import is_token
from protocols.sip.message import Headers

NAMES: Final = ("from", "to", "call_sid", "account_sid", "carrier")
"""What a template may name."""

_OURS: Final = frozenset(
    {
        "via",
        "from",
        "to",
        "call-id",
        "cseq",
        "contact",
        "route",
        "record-route",
        "max-forwards",
        "content-length",
        "content-type",
        "content-encoding",
        "content-disposition",
        "authorization",
        "proxy-authorization",
        "www-authenticate",
        "proxy-authenticate",
        "require",
        "proxy-require",
        "supported",
        "unsupported",
        "allow",
        "session-expires",
        "min-se",
        "rseq",
        "rack",
        "expires",
        "refer-to",
        "replaces",
        "event",
        "subscription-state",
    }
)
_HOLE: Final = re.compile(r"\{([^{}]*)\}")
_MAX_VALUE: Final = 1024


def problems_of_rules(given: Mapping[str, str], removed: tuple[str, ...]) -> tuple[str, ...]:
    """What is wrong with `set_headers` and `remove_headers`, a sentence for each."""
    found = []
    for name in (*given, *removed):
        if not is_token(name):
            found.append(f"{name!r} is no name of a header")
        elif name.lower() in _OURS:
            found.append(f"{name} can't be set or removed: the stack itself needs it")
    for name, template in given.items():
        if not _is_plain(template):
            found.append(f"{name} has a character in its value that no header can have")
        found += [
            f"{name}: there is no {{{hole}}}; there are {', '.join(NAMES)}"
            for hole in _HOLE.findall(template)
            if hole not in NAMES
        ]
    return tuple(found)


def with_rules(
    headers: Headers, given: Mapping[str, str], removed: tuple[str, ...], values: Mapping[str, str]
) -> Headers:
    """`headers` by the rules: `removed` go first, then those of `given` stand alone.

    `values` has a text for each of `NAMES`, which may come from a peer: what can't stand in a
    header is left out of it.
    """
    if not given and not removed:
        return headers
    gone = {name.lower() for name in (*removed, *given)}
    kept = [item for item in headers if item[0].lower() not in gone]
    return Headers((*kept, *((name, _filled(each, values)) for name, each in given.items())))


def _filled(template: str, values: Mapping[str, str]) -> str:
    filled = _HOLE.sub(lambda hole: values.get(hole[1], ""), template)
    return "".join(each for each in filled if _is_plain(each)).strip()[:_MAX_VALUE]


def _is_plain(text: str) -> bool:
    return text.isprintable()
