"""What the config file declares, as the values that rooms work with: numbers, customers, domains,
sources.

`account` may be left out of an entry: it is the main account's then.
"""

from collections.abc import Iterator
from typing import Final

from gateway.accounts import Accounts
from gateway.config import Config
from gateway.messages.customers.model import Customer
from gateway.messages.customers.numbers import sender_of
from gateway.model import PhoneNumber
from gateway.phone_numbers import declared_number
from gateway.sip.declared import declared_domain
from gateway.sip.model import Entry
from gateway.sources import Source

# What a number and a domain keep as REST's settings, under the names that the file has for them.
_VOICE: Final = (
    "voice_url",
    "voice_method",
    "voice_twiml",
    "voice_fallback_url",
    "voice_fallback_method",
)
_OF_NUMBER: Final = (
    "sms_url",
    "sms_method",
    "sms_fallback_url",
    "sms_fallback_method",
    *_VOICE,
    "status_callback",
    "status_callback_method",
)
_OF_DOMAIN: Final = (*_VOICE, "voice_status_callback_url", "voice_status_callback_method")


class UnknownAccount(Exception):
    """An entry of the config file names an account that does not exist."""


def numbers(config: Config, main_sid: str, now: float) -> list[PhoneNumber]:
    """The numbers of `[[numbers]]`."""
    return [
        declared_number(
            each.account or main_sid,
            each.number,
            {name: getattr(each, name) for name in _OF_NUMBER},
            now,
        )
        for each in config.numbers
    ]


def customers(config: Config, main_sid: str) -> list[Customer]:
    """The customers of `[[customers]]`."""
    return [
        Customer(
            system_id=each.system_id,
            password=each.password,
            account_sid=each.account or main_sid,
            binds=each.binds,
            tps=each.tps,
            senders=tuple(map(sender_of, each.senders)),
        )
        for each in config.customers
    ]


def domains(config: Config, main_sid: str, now: float) -> list[Entry]:
    """The domains of `[[domains]]`, with their users."""
    return [
        entry
        for each in config.domains
        for entry in declared_domain(
            each.account or main_sid,
            each.name,
            {name: getattr(each, name) for name in _OF_DOMAIN},
            [(user.username, user.password) for user in each.users],
            now,
        )
    ]


def sources(config: Config, main_sid: str) -> list[Source]:
    """The sources of `[[sources]]`."""
    return [
        Source(
            name=each.name,
            write_key=each.write_key,
            account_sid=each.account or main_sid,
        )
        for each in config.sources
    ]


def check_accounts(config: Config, accounts: Accounts) -> None:
    """Raise `UnknownAccount` if an entry is for an account that is not there."""
    for where, sid in _named(config):
        if sid and accounts.get(sid) is None:
            raise UnknownAccount(
                f"{where}: there is no account {sid}; leave `account` out for the main account,"
                " or make a subaccount with POST /2010-04-01/Accounts.json first"
            )


def _named(config: Config) -> Iterator[tuple[str, str]]:
    for number in config.numbers:
        yield f"[[numbers]] {number.number}", number.account
    for customer in config.customers:
        yield f"[[customers]] {customer.system_id}", customer.account
    for domain in config.domains:
        yield f"[[domains]] {domain.name}", domain.account
    for source in config.sources:
        yield f"[[sources]] {source.name}", source.account
    for route in config.routes:
        yield f"[[routes]] {route.prefix or '*'}", route.account
