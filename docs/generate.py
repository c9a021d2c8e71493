"""Writes the pages that follow from declarations: config, REST, TwiML, Kafka's topics.

`make docs` runs it; `tests/test_docs.py` fails while a page is not what it would write.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import get_args, get_type_hints

import msgspec

from gateway.api.app import OWN, V2010
from gateway.api.auth import BY_NO_KEY
from gateway.api.resources import Access, Operation
from gateway.bus.described import FACT_FIELDS, HEADERS, asyncapi
from gateway.bus.topics import KINDS, SUBMIT, clean, topic_of
from gateway.events import FactType
from gateway.messages.idempotency import KEPT_FOR
from gateway.messages.submit_record import SUBMIT_FIELDS, SubmitRecord
from gateway.sample import rows
from twiml.elements import Attribute, Element, OnBadValue
from twiml.errors import SCHEMA_WARNING
from twiml.messaging_dialect import MESSAGING
from twiml.registry import Place, elements
from twiml.voice_dialect import ALL_VOICE, VOICE

HERE = Path(__file__).parent
_MADE = "<!-- Made by docs/generate.py from the declarations in the code: `make docs`. -->\n"


def configuration() -> str:
    """The page about the config file."""
    parts = [
        "# Configuration\n",
        _MADE,
        "`trunkline init` writes a commented file with all of this, `trunkline check` says what\n"
        "is wrong with one. `serve` reads `./trunkline.toml` if it is there, or `--config`.\n"
        "A variable wins over the file: `TRUNKLINE_HTTP__LISTEN` is `[http] listen`, and a whole\n"
        "list is given as JSON, such as `TRUNKLINE_CARRIERS='[{…}]'`.\n",
    ]
    for title, keys in rows().items():
        parts.append(f"## `{title}`\n")
        parts.append(_table(("key", "default", "should be", "what it is for"), map(_key, keys)))
    return "\n".join(parts)


def _key(row: tuple[str, str, str, str]) -> Sequence[str]:
    name, default, expected, about = row
    shown = expected.replace("<", r"\<")  # or readers take it for HTML
    return (f"`{name}`", f"`{default}`" if default else "", shown, about)


def rest() -> str:
    """The page about REST."""
    parts = [
        "# REST\n",
        _MADE,
        "A running gateway serves the same as OpenAPI at `/openapi.json`. Twilio's own resources\n"
        "take the suffix `.json`. Requests carry Basic auth, an account's SID and its token,\n"
        "or the SID of one of its keys and that one's secret; those marked *token* take the token\n"
        "alone, and those marked *public* need nothing. Those marked *sources* take a source's\n"
        "write key with no password, too: `[[sources]]` in the config file.\n",
        "## Twilio's resources\n",
        _operations(V2010),
        "## Our own\n",
        _operations(OWN),
    ]
    return "\n".join(parts)


def _operations(operations: Iterable[Operation]) -> str:
    cells = (
        (
            operation.method,
            f"`{operation.path}`",
            " ".join(operation.doc.split()) + _MARKS.get(operation.access, ""),
            ", ".join(
                f"**`{param.name}`**" if param.required else f"`{param.name}`"
                for param in (*operation.params, *operation.headers)
            ),
        )
        for operation in operations
    )
    return _table(("method", "path", "what it does", "parameters (needed ones bold)"), cells)


_MARKS = {
    Access.PUBLIC: " *public*",
    Access.SOURCE: " *sources*",
    **dict.fromkeys(BY_NO_KEY, " *token*"),
}


def _table(titles: Sequence[str], cells: Iterable[Sequence[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *cells]
    return "\n".join("| " + " | ".join(_escaped(c) for c in line) + " |" for line in lines) + "\n"


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|")


_TWIML = """\
What may stand in a document, and what becomes of it here. *Works* means: as at Twilio. *Warned*
means: the document runs, what is marked so has no effect, and a warning with that code stands in
the call's timeline and among the facts. A value that is not what it should be comes to what stands
in the last column. A document that is *refused* is refused whole: no verb of it runs, not even
those before the mistake, and the fallback is asked, if there is one. An attribute that is left
empty counts as absent, unless empty has a meaning.

`trunkline twiml check` says the same of a document of yours, in a file or at a URL.
"""

_OF_DOCUMENTS = """\
A document has at most 64 KiB (11750) and is sent as `text/xml`, `application/xml` or `text/html`;
`text/plain` is a `<Say>` in a call and a `<Message>` in answer to a text. It is well-formed XML, at
most 256 deep, whose declaration is the first thing in it (12100) and whose root is `<Response>`
(12102); entities of its own and document types are refused (12100), which is a choice for safety.
Elements and attributes that are not in these tables are passed over with warning 12200, or with the
code that their parent's table names.
"""


def twiml() -> str:
    """The page about TwiML."""
    parts = [
        "# TwiML\n",
        _MADE,
        _TWIML,
        "## Documents\n",
        _OF_DOCUMENTS,
        "## Calls\n",
    ]
    known = {name: VOICE.elements.get(name, verb) for name, verb in ALL_VOICE.elements.items()}
    for place, element in elements(msgspec.structs.replace(ALL_VOICE, elements=known)):
        foreign = VOICE.foreign.get(place[0])
        parts += _element(place, element, f"warned ({foreign.code})" if foreign else "")
    cells = (
        (f"`{name}`", f"warned ({foreign.code}): {_quoted(foreign.message)}")
        for name, foreign in ALL_VOICE.foreign.items()
    )
    parts += ["### Other verbs\n", _table(("verb", "here"), cells), "## Answers to texts\n"]
    for place, element in elements(MESSAGING):
        parts += _element(place, element, "")
    codes = {foreign.code for foreign in MESSAGING.foreign.values()}
    parts.append(f"Verbs for calls are warned ({', '.join(map(str, sorted(codes)))}).\n")
    return "\n".join(parts)


def _element(place: Place, element: Element[object], instead: str) -> Iterator[str]:
    """What stands on the page of one element; `instead` is what is said of all of it, if set."""
    yield f"### {' in '.join(f'`{each}`' for each in reversed(place))}\n"
    if element.difference:
        yield f"{_quoted(element.difference)}\n"
    cells = [*_attributes(element, instead), *_undone_children(element, instead)]
    if cells:
        yield _table(("", "should be", "default", "here", "else"), cells)
    else:
        yield f"No attributes; {instead or 'works'}.\n"
    if element.children:
        inside = ", ".join(f"`<{name}>`" for name in element.children)
        yield f"In it: {inside}; anything else is {element.child_code}.\n"


def _attributes(element: Element[object], instead: str) -> Iterator[Sequence[str]]:
    for name, row in element.attributes.items():
        otherwise = f"{row.code}, {_ON_BAD_VALUE[row.on_bad_value]}"
        here = instead or _here(element.undone.get(name), row.difference)
        yield (f"`{name}`", row.expected, _default(element, row), here, otherwise)
    for name, why in element.undone.items():
        if name not in element.attributes:
            yield (f"`{name}`", "", "", instead or _here(why, ""), "")


def _default(element: Element[object], row: Attribute) -> str:
    """As it would be written, if the field of the element's value has one that can be."""
    (kind,) = get_args(get_type_hints(element.make)["return"])
    if not issubclass(kind, msgspec.Struct):
        return ""
    defaults = {field.name: field.default for field in msgspec.structs.fields(kind)}
    value = defaults.get(row.field, "")
    words = value if isinstance(value, tuple) else (value,)
    text = " ".join(str(word).lower() if isinstance(word, bool) else str(word) for word in words)
    return f"`{text}`" if text and row.read(text) == value else ""


def _here(undone: str | None, difference: str) -> str:
    if undone is not None:
        return f"warned ({SCHEMA_WARNING}): {_quoted(undone)}"
    return f"works, with a difference: {_quoted(difference)}" if difference else "works"


_ON_BAD_VALUE = {
    OnBadValue.USE_DEFAULT: "the default",
    OnBadValue.LEAVE_OUT: "it is left out",
    OnBadValue.END_DOCUMENT: "the document is refused",
}


def _undone_children(element: Element[object], instead: str) -> Iterator[Sequence[str]]:
    for name, why in element.undone_children.items():
        here = instead or f"warned ({element.child_code}): {_quoted(why)}"
        yield (f"`<{name}>`", "", "", here, "")


def _quoted(text: str) -> str:
    """What looks like an element is shown, not taken for one."""
    return re.sub(r"<[\w-]+>", r"`\g<0>`", text)


_EVENTS = """\
With `[bus] url` set, every fact, that is all that happened to a text, a number, an account or a
call, is copied to Kafka, and read from there by this gateway's own processes and by programs of
yours. Without it the same facts are read over `GET /v1/events`. [asyncapi.json](asyncapi.json)
says the same as this page to programs.
"""

_TOPICS = """\
What is sent goes to the raw topic, where a record may stand twice: a process ended before it knew
that Kafka had it. Dedup copies each once to the clean topic, its name with `.clean`, within
`[bus] dedup_window`. Read the clean ones. They are made at the first start where they are missing,
with `[bus] partitions` partitions each, and the number can't be changed later. There is a topic
`trunkline.probe` too; it is written to now and then to know whether a cluster is well.

The partition of a record is that which Kafka's Java client takes for its key: murmur2 of the SID,
without its sign, modulo the number of partitions. So the facts of one SID stand in one partition,
in their order.
"""

_VALUE = """\
The value is JSON in UTF-8. Fields may be added without a new `v`: pass over those that you do not
know. A record whose `v` is higher than the one you know comes from a newer gateway: pass over
that too, or stop and upgrade. A record without a value is a mark that dedup leaves for itself when
another process takes a partition over: pass over it. Batches are compressed with lz4. The record's
timestamp is the time at which it was sent to Kafka; `at` is when it happened.
"""

_RULE = """\
In a clean topic a record may still stand twice: dedup wrote it, did not hear so, and wrote it
again, maybe into the other cluster while the first was away. A reader that counts each fact once
keeps, durably and together with what it makes of them, the *ranges of ids that it had*: for each
topic and partition number, over both clusters together.

1. Pass over a record whose `id` is in one of the ranges of its topic and partition.
2. Else take it, and add the range above `after` and up to `id`. Join ranges that touch.

It is one range, nearly always, for `after` is the `id` before. This holds whichever process
wrote the record, how often, and into which cluster, for what a range says is true of the facts
themselves; the headers are not needed for it. As Python:

```python
def take(had, topic, partition, value):
    # Whether the fact is new; `had` is kept durably, {(topic, partition): ranges of ids}.
    ranges = had.setdefault((topic, partition), [])
    if any(after < value["id"] <= up_to for after, up_to in ranges):
        return False
    low, high = value["after"], value["id"]
    for each in [each for each in ranges if each[0] <= high and low <= each[1]]:
        ranges.remove(each)
        low, high = min(low, each[0]), max(high, each[1])
    ranges.append((low, high))
    return True
```

With one cluster the facts of a SID come in their order. With two, the order holds if a record
whose `after` is in no range waits while the other cluster has unread records of its partition. A
cluster that is away keeps what was not read from it; that comes when it is back.
"""

_SUBMIT = """\
With `[bus] submit = true` the gateway sends what a producer of yours writes to `trunkline.submit`,
once for each `id` of an account, and judges it as a request to REST would be judged. The right to
write there is the right to send: give the topic an ACL. Use the `id` as the record's key. What is
refused becomes a fact of type `submit.refused` with the error's code. Fields that may be left
out are those after `from`.

A record is known by its `account_sid` and `id` for {known}, and the topics of submits keep it for
{kept}. Within that time it may be written again by whoever does not know whether it was written. A
cluster that is away deletes nothing: a copy of a record that stood in one which was **away for more
than {known} may be taken again** when it is back, and the text sent a second time. Where that would
do harm, delete what stands in its topics of submits before you let it back.

Records of `trunkline.submit.clean` have no fact's id. Of them a reader passes over one whose header
`epoch` is lower than the highest that it saw in that partition of that cluster, or whose `offset`
is not above the last one that it saw there with the same `cluster` and `partition`.
"""


_SINKS = """\
Whoever wants facts without Kafka gets them pushed: a `[[sinks]]` of the config file names an URL
and which types, of all accounts. One process supplies a sink, from the oldest fact that is kept at
its first start, and goes on where it stopped after any other. A sink gets each fact **at least
once**, those of one SID in their order: after a crash the last batch may come again, and a fact is
known by its `id`.

With `https://…` batches are posted, up to 500 facts or 500,000 octets, as `application/x-ndjson`: a
line for each with the fields above but `v` and `after`. Any 2xx says that they are safe. The
request is signed as Twilio signs JSON, with the main account's token: `bodySHA256` in the URL is
the hash of the body, `X-Twilio-Signature` that of the URL; `RequestValidator` of the SDKs checks
both, given the body as a text. `I-Twilio-Idempotency-Token` is the same when the same batch comes
again. Addresses are held to `[webhooks] allow`.

While the receiver does not answer, or answers 3xx, 5xx, 401, 403, 404, 407, 408, 421, 425 or 429,
it is asked again after 1 s to 60 s, and facts wait as long as they are kept. Any other 4xx is
about what was sent: after three tries the batch is halved until what is refused stands alone. That
is set aside: the log names it, `trunkline_sink_set_aside_total` counts it, and what is behind it
goes on. `trunkline_facts_behind{reader="sink:…"}` says how far a sink is behind.

With `file:///folder` lines go to `facts.ndjson` there, on the disk of whichever process supplies
it; a file of 64 MiB becomes `facts.<number>.ndjson`, of which the newest 64 stay.
"""


def events() -> str:
    """The page about Kafka's topics."""
    return "\n".join(
        [
            "# Events on Kafka\n",
            _MADE,
            _EVENTS,
            "## Topics\n",
            _table(("topic", "clean", "kept", "what stands in it"), map(_topic, KINDS)),
            _TOPICS,
            "## A fact\n",
            _VALUE,
            _fields(FACT_FIELDS),
            "Headers, in ASCII:\n",
            _fields(HEADERS),
            "## Types\n",
            _table(("type", "topic"), ((f"`{each}`", f"`{topic_of(each)}`") for each in FactType)),
            "## Each fact once\n",
            _RULE,
            "## Texts to send\n",
            _SUBMIT.format(known=_time(KEPT_FOR), kept=_time(_kept_for(SUBMIT))),
            _fields(SUBMIT_FIELDS),
            "## Sinks\n",
            _SINKS,
        ]
    )


def _topic(kind: tuple[str, float, str]) -> Sequence[str]:
    name, seconds, about = kind
    about += _WITH_SUBMIT if name == SUBMIT else ""
    return (f"`{name}`", f"`{clean(name)}`", _time(seconds), about)


def _kept_for(topic: str) -> float:
    return next(seconds for name, seconds, _ in KINDS if name == topic)


def _time(seconds: float) -> str:
    days = round(seconds / 86400)
    return "24 hours" if days == 1 else f"{days} days"


_WITH_SUBMIT = ", with `[bus] submit`"


def _fields(fields: Mapping[str, str]) -> str:
    return _table(("name", "what it is"), ((f"`{name}`", about) for name, about in fields.items()))


def async_document() -> str:
    """The AsyncAPI document about the same."""
    document = asyncapi(SubmitRecord, SUBMIT_FIELDS, _VERSION)
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


_VERSION = "1"  # of the records' values

PAGES = {
    "configuration.md": configuration,
    "rest.md": rest,
    "twiml.md": twiml,
    "events.md": events,
    "asyncapi.json": async_document,
}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (HERE / name).write_text(page())
