"""What the command line may say of simulated SIP carriers and phones."""

import argparse
from pathlib import Path
from typing import Final

from protocols.sdp.media import DtmfMode
from protocols.sip.transport import Transport

_MANNER_HELP: Final = (
    "how numbers answer, by their last four digits or *:"
    """ '0555={"answer_after": 1, "script": [{"tone": 440, "for": 2}], "drop_after": 5}'"""
)


def carrier_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of a SIP carrier, which is also a part of `smsc`."""
    add = parser.add_argument
    add("--control-port", type=int, default=0, help="HTTP port of /sim on 127.0.0.1")
    add("--sip-host", default="127.0.0.1", help="the IP address that SIP and sound are taken at")
    add("--sip-port", type=int, default=0, help="SIP port, UDP and TCP; 0 takes a free one")
    add("--gateway-sip", default="", help="HOST:PORT where calls go in; also PUT /sim/gateway")
    add("--gateway-user", default="", help="what proves there that the calls are ours")
    add("--gateway-password", default="")
    add("--manner", action="append", default=[], help=_MANNER_HELP)
    add("--manners", type=Path, help="JSON file of the same")
    add("--account", default="", help="USER:PASSWORD that the gateway registers with")
    add("--realm", default="carrier.example")
    add("--expires", type=int, default=3600, help="the longest registration, seconds")
    add("--challenge-calls", action="store_true", help="407 to calls without that password")
    _media_arguments(parser)


def _media_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--codecs",
        default="PCMU,PCMA",
        help="of PCMU, PCMA, G722, opus, CN; the first is preferred",
    )
    add("--dtmf", type=DtmfMode, default=DtmfMode.RFC4733, help=", ".join(DtmfMode))


def carrier_program_arguments(parser: argparse.ArgumentParser) -> None:
    """The command `carrier`."""
    _process_arguments(parser)
    carrier_arguments(parser)


def _process_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--ready-file", type=Path, help="written when it is ready")
    parser.add_argument("--parent-pid", type=int, help="end when this process ends")


def phone_arguments(parser: argparse.ArgumentParser) -> None:
    """The command `phone`."""
    _process_arguments(parser)
    add = parser.add_argument
    add("--domain", required=True, help="the SIP domain that it belongs to")
    add("--user", required=True)
    add("--password", required=True)
    add("--server", required=True, help="HOST:PORT, the host an IP address")
    add("--transport", type=_transport, default=Transport.UDP, help="udp, tcp, tls")
    add("--trust", default="", help="PEM file of who signs the server's certificate")
    add("--expires", type=int, default=600, help="the registration that is asked for, seconds")
    add("--host", default="127.0.0.1", help="the IP address that SIP and sound are taken at")
    add("--port", type=int, default=0, help="SIP port; 0 takes a free one")
    add("--control-port", type=int, default=0, help="HTTP port of /sim on 127.0.0.1")
    add("--manner", default="{}", help='how it answers: {"answer_after": 1, "script": […]}')
    _media_arguments(parser)


def _transport(text: str) -> Transport:
    return Transport(text.upper())
