"""`text explain`, `route explain`, `twiml check`: why something is as it is, before it matters."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from gateway.cli import show
from gateway.cli.client import Gateway, GatewayError

if TYPE_CHECKING:
    from twiml.errors import Finding, ParseFailure

texts = typer.Typer(no_args_is_help=True, help="How a text is written on the wire.")
routes = typer.Typer(no_args_is_help=True, help="Where a text or a call goes.")
documents = typer.Typer(no_args_is_help=True, help="What TwiML says.")

_FETCH_TIMEOUT: Final = 15.0  # seconds, as long as a webhook has


class Answering(StrEnum):
    """What a TwiML document answers."""

    TEXTS = "texts"
    CALLS = "calls"


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.add_typer(texts, name="text")
    app.add_typer(routes, name="route")
    app.add_typer(documents, name="twiml")


@texts.command("explain")
def explain_text(
    text: Annotated[str, typer.Argument(help="The text, in quotes.")],
    json: show.AsJson = False,
) -> None:
    """The alphabet of a text, its segments and where it splits; needs no gateway."""
    import msgspec

    from protocols.smpp import gsm
    from protocols.smpp.text import TextError, explain

    try:
        found = explain(text)
    except TextError as error:
        raise typer.BadParameter(str(error)) from None
    if json:
        show.as_json(msgspec.to_builtins(found))
        return
    count = len(found.segments)
    show.line(
        f"[bold]{found.alphabet}[/], {count} segment{'' if count == 1 else 's'}:"
        f" {found.units} {found.unit} at {found.units_per_segment} per segment"
    )
    show.line(show.plain(found.why))
    for foreign in found.foreign[1:]:  # the first one stands in the reason
        show.line(
            f"  {show.plain(foreign.character)}  {foreign.code_point}"
            f" at character {foreign.index + 1} is not in GSM-7"
        )
    more = len(gsm.foreign(text, len(text))) - len(found.foreign) if found.foreign else 0
    if more:
        show.line(f"  and {more} more")
    for each in found.segments:
        if each.end == each.start:
            show.line("  it has no characters")
            continue
        show.console().print(
            f"  {each.number}  {each.units:>3} {found.unit}"
            f"  characters {each.start + 1}-{each.end}  “{show.plain(each.text)}”",
            soft_wrap=True,
        )


@routes.command("explain")
def explain_route(
    number: Annotated[str, typer.Argument(help="The number that would be texted, in E.164.")],
    from_: Annotated[str | None, typer.Option("--from", help="The sender.")] = None,
    call: Annotated[bool, typer.Option("--call", help="Where a call to it goes.")] = False,
    json: show.AsJson = False,
    data: show.Data = show.DATA,
) -> None:
    """Which carriers a text to a number would be offered to, or a call, and why."""
    medium = "call" if call else None
    plan = Gateway.find(data).get("/v1/route", to=number, medium=medium, **{"from": from_})
    if json:
        show.as_json(plan)
        return
    show.line(f"{show.plain(plan['to'])}: {show.plain(plan['rule'])}")
    refused = "  [red]it would be refused[/]" + ("" if call else " (error 21612)")
    if plan.get("help"):
        show.line("  it is a call for help: no limit holds for it")
    if not plan["considered"] and not plan.get("help"):
        show.line(
            f"{refused}; add a route for it to the config:"
            " \\[\\[routes]] with its prefix and carriers"
        )
    elif not plan["candidates"]:
        show.line(f"{refused}: no carrier takes it now")
    for each in plan["considered"]:
        chosen = each["carrier"] in plan["candidates"]
        place = f"{plan['candidates'].index(each['carrier']) + 1}." if chosen else " -"
        show.line(f"  {place} {show.plain(each['carrier'])}: {show.plain(each['reason'])}")


@documents.command("check")
def check_document(
    source: Annotated[str, typer.Argument(help="A file, a URL, or - for what is piped in.")],
    answering: Annotated[
        Answering | None,
        typer.Option("--for", help="Whether it answers texts or calls; else its verbs say."),
    ] = None,
    method: Annotated[str, typer.Option(help="How a URL is asked.")] = "POST",
) -> None:
    """Parse a TwiML document as an inbound text or call would, and say what is wrong with it."""
    from twiml.errors import Level

    content, kind = _fetched(source, method) if "://" in source else _read(source)
    found, verbs = _checked(content, kind, answering or _guessed(content, kind))
    for each in found:
        place = f"line {each.line}" if each.line else "document"
        show.line(f"{place}: {each.level} {each.code}: {show.plain(each.message)}")
    if any(each.level is Level.ERROR for each in found):
        raise GatewayError(f"{source} can't be run: the document is refused whole")
    show.line(f"It says: {', '.join(verbs) or 'nothing'}.")


def _guessed(content: bytes, kind: str) -> Answering:
    """A document with a verb that only calls have answers one."""
    from twiml.errors import INVALID_VERB_FOR_MESSAGE
    from twiml.messaging_dialect import MESSAGING
    from twiml.parser import findings, parse

    found = findings(parse(content, kind, MESSAGING))
    foreign = any(each.code == INVALID_VERB_FOR_MESSAGE for each in found)
    return Answering.CALLS if foreign else Answering.TEXTS


def _checked(
    content: bytes, kind: str, answering: Answering
) -> tuple[list["Finding"], tuple[str, ...]]:
    """All that is wrong, in order, and the verbs that this version runs.

    What is in a verb for calls that this version passes over is looked at as well.
    """
    from twiml.messaging_dialect import MESSAGING
    from twiml.parser import Document, findings, parse
    from twiml.voice_dialect import ALL_VOICE, VOICE

    if answering is Answering.TEXTS:
        document: Document[object] | ParseFailure = parse(content, kind, MESSAGING)
        found = findings(document)
    else:
        document = parse(content, kind, VOICE)
        found = (*findings(document), *findings(parse(content, kind, ALL_VOICE)))
    verbs = document.verbs if isinstance(document, Document) else ()
    once = sorted(dict.fromkeys(found), key=lambda each: each.line)
    return once, tuple(type(verb).__name__ for verb in verbs)


def _read(path: str) -> tuple[bytes, str]:
    try:
        content = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    except OSError as error:
        raise GatewayError(f"{path} can't be read: {error.strerror}") from None
    return content, "text/xml"


def _fetched(url: str, method: str) -> tuple[bytes, str]:
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    from twiml.parser import MAX_BODY

    if not url.lower().startswith(("http://", "https://")):
        raise GatewayError(f"{url} can't be fetched: it is no URL of http or https")
    try:
        with urlopen(Request(url, method=method), timeout=_FETCH_TIMEOUT) as response:
            return response.read(MAX_BODY + 1), response.headers.get("Content-Type", "")
    except (OSError, ValueError) as error:
        hint = "; it is asked without a signature and without parameters; check a file instead"
        said = f"{error}{hint}" if isinstance(error, HTTPError) else f"{error}"
        raise GatewayError(f"{url} can't be fetched: {said}") from None
