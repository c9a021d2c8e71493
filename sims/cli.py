"""The command line of the simulators: `python -m sims smsc|esme|webapp|carrier|phone`.

Every command prints one JSON line when it is ready (its ports and its process id), or writes the
same to `--ready-file`; SIGTERM, SIGINT or the end of `--parent-pid` ends it. `SIMS_PROGRAM` in the
environment is what a person started it as, for what it says of its usage.
"""

import argparse
import errno
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from sims import sip_options
from sims.faults import Timing
from sims.ledger import Ledger
from sims.message_ids import IdForm, IdPlace, MessageIds
from sims.phone_script import ScriptError as PhoneScriptError
from sims.process import Stop, announce, run
from sims.script import ScriptError, named_answers, read_script, texts
from sims.smsc import Settings, Smsc


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the simulator that `arguments` name; returns the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        return int(options.run(options))
    except (ScriptError, PhoneScriptError) as error:
        parser.error(str(error))
    except OSError as error:
        print(f"sims {options.simulator}: {error}{_remedy(error)}", file=sys.stderr)
        return 1


def _remedy(error: OSError) -> str:
    if error.errno != errno.EADDRINUSE:
        return ""
    return "; another program listens there: choose another port, or 0 for a free one"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=os.environ.get("SIMS_PROGRAM", "python -m sims"), description=__doc__
    )
    commands = parser.add_subparsers(dest="simulator", required=True)
    _smsc_options(commands.add_parser("smsc", help="a carrier: SMPP handsets, SIP phones"))
    _esme_options(commands.add_parser("esme", help="a customer's SMPP client (smpplib)"))
    _webapp_options(commands.add_parser("webapp", help="a customer's TwiML app"))
    carrier = commands.add_parser("carrier", help="a SIP carrier with phones")
    sip_options.carrier_program_arguments(carrier)
    carrier.set_defaults(run=_run_carrier)
    phone = commands.add_parser("phone", help="a phone that registers")
    sip_options.phone_arguments(phone)
    phone.set_defaults(run=_run_phone)
    return parser


def _server_options(parser: argparse.ArgumentParser, port: str) -> None:
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help=f"{port}; 0 takes a free one")
    parser.add_argument("--ready-file", type=Path, help="written when it listens")
    parser.add_argument("--ledger", type=Path, help="a JSON line for each thing that came")
    parser.add_argument("--parent-pid", type=int, help="end when this process ends")


def _smsc_options(parser: argparse.ArgumentParser) -> None:
    _server_options(parser, "SMPP port")
    add = parser.add_argument
    add("--system-id", help="binds with another system_id are refused; default: any is taken")
    add("--password", help="binds with another password are refused; default: any is taken")
    add("--window", type=int, default=100, help="deliver_sm in flight per bind")
    add("--deliver-timeout", type=float, default=30.0, help="seconds until one goes again")
    add("--message-id", type=IdForm, default=IdForm.DECIMAL, help=_any_of(IdForm))
    add("--receipt-id", type=IdForm, help=f"{_any_of(IdForm)}; default: as --message-id")
    add("--receipt-id-in", type=IdPlace, default=IdPlace.BOTH, help=_any_of(IdPlace))
    add("--receipt-delay", type=float, default=1.0, help="seconds from response to receipt")
    add("--response-timeout", type=float, default=10.0, help="how long the other side waits")
    add("--answer", action="append", default=[], help="last four digits and behaviour: 0555=slow")
    add("--script", type=Path, help="JSON file of answers by last four digits")
    add("--inbox-limit", type=int, default=100_000, help="texts kept over all handsets")
    sip_options.carrier_arguments(parser)
    parser.set_defaults(run=_run_smsc)


def _any_of(forms: type[IdForm] | type[IdPlace]) -> str:
    return ", ".join(forms)


def _run_smsc(options: argparse.Namespace) -> int:
    # SIP and sound take long to load, and the other simulators do without.
    from sims import control, sip_programs

    timing = Timing(receipt_delay=options.receipt_delay, response_timeout=options.response_timeout)
    extra = {} if options.script is None else read_script(options.script)
    script = texts(timing, extra | named_answers(options.answer, timing))
    settings = Settings(
        system_id=options.system_id,
        password=options.password,
        window=options.window,
        deliver_timeout=options.deliver_timeout,
        message_id=options.message_id,
        receipt_id=options.receipt_id or options.message_id,
        receipt_id_in=options.receipt_id_in,
        inbox_limit=options.inbox_limit,
    )
    terms = sip_programs.read_carrier(options)

    async def live(stop: Stop) -> None:
        ledger = Ledger(options.ledger)
        smsc = Smsc(settings, script, MessageIds.since(time.time()), ledger)
        carrier = terms.carrier()
        try:
            ports = {
                "smpp": await smsc.listen(options.host, options.port),
                "sip": await carrier.open(),
            }
            app = control.application(smsc, carrier)
            async with control.listening(app, options.control_port) as port:
                announce({**ports, "control": port}, options.ready_file)
                await stop.wait()
        finally:
            await carrier.close()
            await smsc.close()
            ledger.close()

    run(live, options.parent_pid)
    return 0


def _run_carrier(options: argparse.Namespace) -> int:
    from sims import sip_programs

    return sip_programs.run_carrier(options)


def _run_phone(options: argparse.Namespace) -> int:
    from sims import sip_programs

    return sip_programs.run_phone(options)


def _webapp_options(parser: argparse.ArgumentParser) -> None:
    _server_options(parser, "HTTP port")
    parser.add_argument("--reply", help='text that answers inbound texts: "You said {Body}"')
    parser.add_argument("--script", type=Path, help="JSON file of rules by path")
    parser.set_defaults(run=_run_webapp)


def _run_webapp(options: argparse.Namespace) -> int:
    from sims import webapp

    rules = webapp.read_rules(options.script) if options.script else webapp.replying(options.reply)

    async def live(stop: Stop) -> None:
        ledger = Ledger(options.ledger)
        app = webapp.WebApp(rules, ledger)
        runner, port = await webapp.listen(app, options.host, options.port)
        try:
            announce({"http": port}, options.ready_file)
            await stop.wait()
        finally:
            await runner.cleanup()
            ledger.close()

    run(live, options.parent_pid)
    return 0


def _esme_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--host", default="127.0.0.1")
    add("--port", type=int, required=True)
    add("--system-id", required=True)
    add("--password", default="")
    add("--bind", choices=("transceiver", "transmitter", "receiver"), default="transceiver")
    add("--to", default="", help="E.164 number that is texted")
    add("--from", dest="from_", default="", help="number or name that it comes from")
    add("--body", default="", help="{n} stands for the text's number")
    add("--count", type=int, help="how often; default: once if there is --to, else never")
    add("--window", type=int, default=10, help="submit_sm in flight")
    add("--wait", type=float, default=5.0, help="seconds to stay for receipts and texts")
    add("--until", choices=("receipts", "time"), default="receipts", help="what ends the wait")
    add("--parent-pid", type=int, default=0, help="end when this process ends")
    parser.set_defaults(run=_run_esme)


def _run_esme(options: argparse.Namespace) -> int:
    # smpplib comes with an extra, and only this simulator needs it.
    from sims.esme import Customer, Order

    def report(event: dict[str, object]) -> None:
        sys.stdout.write(msgspec.json.encode(event).decode() + "\n")
        sys.stdout.flush()

    order = Order(
        host=options.host,
        port=options.port,
        system_id=options.system_id,
        password=options.password,
        bind=options.bind,
        from_address=options.from_,
        to_address=options.to,
        body=options.body,
        count=int(bool(options.to)) if options.count is None else options.count,
        window=options.window,
        wait=options.wait,
        until=options.until,
        parent_pid=options.parent_pid,
    )
    customer = Customer(order, report)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: customer.stop())
    return customer.run()
