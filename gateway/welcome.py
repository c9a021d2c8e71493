"""What `serve` prints when it is ready: where it listens, with which account, what to try."""

import os
from collections.abc import Container
from pathlib import Path
from typing import TYPE_CHECKING

from carriers.model import CarrierKind
from gateway.config import Config
from gateway.daemon.ground import FIRST_NUMBER
from gateway.forms import Address

if TYPE_CHECKING:
    from gateway.daemon import Gateway


def welcome(gateway: "Gateway", config: Config, data: Path) -> str:
    """The text. The token stands in a file that only its owner can read, not in a terminal."""
    lines = ["", "Trunkline is ready.", ""]
    for name, scheme, listen in (
        ("http", "http://", config.http.listen),
        ("https", "https://", config.http.tls_listen),
        ("smpp", "", config.smpp.listen),
    ):
        if listen is not None and name in gateway.ports:
            lines.append(f"  {name:<10}{scheme}{Address(listen.host, gateway.ports[name])}")
    for name, listens in (
        ("sip_udp", config.sip.udp),
        ("sip_tcp", config.sip.tcp),
        ("sip_tls", config.sip.tls),
    ):
        if name in gateway.ports:
            address = Address(listens[0].host, gateway.ports[name])
            lines.append(f"  {name.replace('_', ' '):<10}{address}")
    lines += [
        f"  account   {gateway.account_sid}",
        f"  token     in {data / 'credentials.json'} (auth_token)",
        f"  process   {os.getpid()}: kill -HUP has it read its config again",
        "",
    ]
    if any(carrier.kind is CarrierKind.SIMULATED for carrier in config.carriers):
        lines += _to_try(config.numbers[0].number if config.numbers else "", gateway.ports)
    return "\n".join(lines)


def _to_try(owned: str, ports: Container[str]) -> list[str]:
    """Commands for a start; `owned` is a number of the config file, which says who answers it."""
    number, example = owned or FIRST_NUMBER, not owned
    lines = [
        "Carriers are simulated. In another terminal, try:",
        f"  .venv/bin/trunkline send --to +15551230009 --from {number} --body 'Hello'",
        "  .venv/bin/trunkline sim inbox +15551230009",
        "  .venv/bin/trunkline messages list",
    ]
    if example:
        lines.append("  .venv/bin/python examples/send_sms.py")
    if "sip_udp" not in ports:
        return lines
    if example:
        lines.append("  .venv/bin/python examples/voice_app.py")
    return [
        *lines,
        f"  .venv/bin/trunkline sim call --from +15551230009 --to {number}",
        "  .venv/bin/python examples/token_server.py    # a softphone in your browser",
    ]
