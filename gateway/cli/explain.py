"""`text explain`, `route explain`: why a text has its segments, and where it would go."""

from typing import Annotated

import typer

from gateway.cli import show
from gateway.cli.client import Gateway

texts = typer.Typer(no_args_is_help=True, help="How a text is written on the wire.")
routes = typer.Typer(no_args_is_help=True, help="Where a text goes.")


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.add_typer(texts, name="text")
    app.add_typer(routes, name="route")


@texts.command("explain")
def explain_text(
    text: Annotated[str, typer.Argument(help="The text, in quotes.")],
    json: show.AsJson = False,
) -> None:
    """The alphabet of a text, its segments and where it splits; needs no gateway."""
    import msgspec

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
    for each in found.segments:
        show.console().print(
            f"  {each.number}  {each.units:>3} {found.unit}"
            f"  characters {each.start + 1}-{each.end}  “{show.plain(each.text)}”",
            soft_wrap=True,
        )


@routes.command("explain")
def explain_route(
    number: Annotated[str, typer.Argument(help="The number that would be texted, in E.164.")],
    from_: Annotated[str | None, typer.Option("--from", help="The sender.")] = None,
    json: show.AsJson = False,
    data: show.Data = show.DATA,
) -> None:
    """Which carriers a text to a number would be offered to, and why."""
    plan = Gateway.find(data).get("/v1/route", to=number, **{"from": from_})
    if json:
        show.as_json(plan)
        return
    show.line(f"{show.plain(plan['to'])}: {show.plain(plan['rule'])}")
    if not plan["considered"]:
        show.line("  [red]no carrier serves it[/]; add one to [bold]routes[/] in the config")
    for each in plan["considered"]:
        chosen = each["carrier"] in plan["candidates"]
        place = f"{plan['candidates'].index(each['carrier']) + 1}." if chosen else " -"
        show.line(f"  {place} {show.plain(each['carrier'])}: {show.plain(each['reason'])}")
