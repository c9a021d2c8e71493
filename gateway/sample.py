"""The config file as `trunkline init` writes it: every key, at its default, with its purpose.

Made from the declarations in `gateway/config`, so it can't name a key that isn't there. Keys at
their default are commented out: what a person writes is what differs.
"""

import re
import textwrap
from collections.abc import Iterable, Mapping

from gateway.config import LISTS, SECTIONS, SIP_KEYS
from gateway.tables import REQUIRED, Key

_HEAD = """\
# The configuration of Trunkline. Every key stands here with its default; take the "#" away to
# set one. `trunkline check` says what is wrong. A variable of the environment wins over the
# file: TRUNKLINE_HTTP__LISTEN for [http] listen, TRUNKLINE_CARRIERS='[{…}]' for a whole list.
# Durations are "500ms", "5s", "1m30s", "4h"; a secret may be "env:NAME" or "file:PATH".
"""

_ABOUT_LISTS = {
    "carriers": "Carriers, one table each. Without any, a simulated one serves all numbers.",
    "routes": "Which carriers serve which numbers. Without any, all carriers, in their order.",
    "numbers": "Phone numbers and the apps behind them; REST makes others.",
    "customers": "Who may bind to the SMPP server.",
    "domains": "SIP domains, with the users whose phones may register and call; REST makes others.",
    "sources": "Who may send events to /v1/track and /v1/batch with a key of its own.",
    "sinks": "Where facts are copied to, each at least once: docs/events.md.",
}
_EXAMPLES = {
    "name": '"acme"',
    "kind": '"smpp"',
    "carriers": '["acme"]',
    "number": '"+442071838750"',
    "price": '"0.0075"',
    "system_id": '"customer1"',
    "password": '"env:CUSTOMER1_PASSWORD"',
    "url": '"https://example.com/facts"',
    "write_key": '"env:SOURCE1_WRITE_KEY"',
}
_LIST_EXAMPLES = {
    "domains": {"name": '"pbx.example"'},
    "sources": {"name": '"shop"'},
    "sinks": {"name": '"billing"'},
}
_CHOICES = re.compile(r'"[^"]+"(?: or "[^"]+")+')
_EACH = "a list, each item {"
_ABOUT_TRUNKS = 'SIP trunks are carriers of kind "sip", which has keys of its own.'
_TRUNKS = '[[carriers]] of kind = "sip"'
_TRUNK_EXAMPLES = {
    **_EXAMPLES,
    "name": '"trunk1"',
    "kind": '"sip"',
    "emergency": '["GB"]',
}


def sample() -> str:
    """The whole text of the file."""
    parts = [_HEAD]
    for name, (section, keys) in SECTIONS.items():
        parts.append(f"# {_first_line(section)}\n[{name}]\n" + "".join(_lines(keys.values())))
    for name, (_, keys) in LISTS.items():
        examples = {**_EXAMPLES, **_LIST_EXAMPLES.get(name, {})}
        lines = _lines(keys.values(), examples)
        parts.append(f"# {_ABOUT_LISTS[name]}\n# [[{name}]]\n" + "".join(lines))
        if name == "carriers":
            lines = _lines(SIP_KEYS.values(), _TRUNK_EXAMPLES)
            parts.append(f"# {_ABOUT_TRUNKS}\n# [[carriers]]\n" + "".join(lines))
    return "\n".join(parts)


def rows() -> Mapping[str, list[tuple[str, str, str, str]]]:
    """Per section: key, default, form and purpose, for the documentation."""
    return {
        title: [(key.name, default_of(key), key.form.expected, key.about) for key in keys.values()]
        for title, keys in (
            *((f"[{name}]", keys) for name, (_, keys) in SECTIONS.items()),
            *((f"[[{name}]]", keys) for name, (_, keys) in LISTS.items()),
            (_TRUNKS, SIP_KEYS),
        )
    }


def default_of(key: Key) -> str:
    """The default as TOML writes it; empty where there is none."""
    if key.default is REQUIRED or (key.default is None and not key.form.takes_none):
        return ""
    return key.form.write(key.default)


def _lines(keys: Iterable[Key], examples: Mapping[str, str] = _EXAMPLES) -> Iterable[str]:
    for key in keys:
        about = _about(key)
        written = default_of(key)
        if not written:
            note = "needed" if key.default is REQUIRED else "not set"
            written, about = examples.get(key.name, '""'), f"({note}) {about}"
        line = f"# {key.name} = {written}"
        if max(len(line), 34) + len(about) + 4 <= 100:
            yield f"{line.ljust(34)}  # {about}\n"
        else:
            yield textwrap.indent(textwrap.fill(about, 90), "#   ") + f"\n{line}\n"


def _about(key: Key) -> str:
    """What a key is for, and, where few things may stand there, which."""
    expected = key.form.expected
    if _CHOICES.fullmatch(expected):
        return f"{key.about} ({expected})" if key.about else expected
    if expected.startswith(_EACH):
        return f"{key.about}; each {expected.removeprefix(_EACH[:-1])}"
    return key.about or expected


def _first_line(section: type) -> str:
    return (section.__doc__ or "").splitlines()[0]
