"""The values of the config file: defaults, secrets, and what is wrong with them."""

from decimal import Decimal

import msgspec
import pytest

from carriers.model import (
    BindKind,
    Carrier,
    CarrierKind,
    MediaPolicy,
    OnUncertain,
    Order,
    Route,
    Strategy,
    problems_of_carrier,
    problems_of_routes,
)
from protocols.smpp.text import Concatenation


def carrier(**fields: object) -> Carrier:
    return msgspec.convert(
        {"name": "acme", "kind": "smpp", "system_id": "us", "password": "s3cret", **fields}, Carrier
    )


def test_the_files_words_become_values() -> None:
    made = carrier(
        tps=30,
        bind="tx_rx",
        on_uncertain="hold",
        long_message="udh16",
        media="refuse",
        order="strict",
        price="0.0075",
        prices={"+44": "0.03"},
    )
    assert (made.kind, made.bind, made.tps) == (CarrierKind.SMPP, BindKind.TX_RX, 30.0)
    assert (made.on_uncertain, made.media) == (OnUncertain.HOLD, MediaPolicy.REFUSE)
    assert (made.long_message, made.order) == (Concatenation.UDH16, Order.STRICT)
    assert (made.price, made.prices) == (Decimal("0.0075"), {"+44": Decimal("0.03")})


def test_defaults() -> None:
    made = carrier()
    assert (made.window, made.response_timeout, made.receipt_grace) == (10, 10.0, 86400.0)
    assert (made.on_uncertain, made.media) == (OnUncertain.RESEND, MediaPolicy.LINK)
    assert (made.long_message, made.bind) == (Concatenation.UDH8, BindKind.TRX)
    assert Route(carriers=("a",)).strategy is Strategy.FAILOVER


def test_the_password_is_in_no_representation() -> None:
    made = carrier()
    assert "s3cret" not in repr(made)
    assert "s3cret" not in f"{made} {[made]}"
    assert "system_id='us'" in repr(made)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"name": ""}, "name is empty"),
        ({"backup": "b.example:smpp"}, "backup is 'b.example:smpp'"),
        ({"window": 0}, "window is 0; it must be from 1"),
        ({"binds": 0}, "binds is 0"),
        ({"port": 0}, "port is 0"),
        ({"port": 70000}, "port is 70000"),
        ({"tps": -1}, "tps is -1"),
        ({"response_timeout": 0}, "response_timeout is 0"),
        ({"system_id": ""}, "system_id is missing"),
        ({"system_id": "x" * 16}, "system_id is longer than 15"),
        ({"password": "x" * 9}, "password is longer than 8"),
    ],
)
def test_problems_of_a_carrier(fields: dict[str, object], problem: str) -> None:
    (found,) = problems_of_carrier(carrier(**fields))
    assert problem in found
    assert "s3cret" not in found


def test_nothing_is_wrong_with_a_good_one() -> None:
    assert problems_of_carrier(carrier()) == ()
    assert problems_of_carrier(carrier(backup="b.example:2776")) == ()
    assert problems_of_carrier(carrier(backup="b.example")) == ()
    assert problems_of_carrier(carrier(kind="simulated", system_id="", port=0)) == ()


@pytest.mark.parametrize(
    ("routes", "problem"),
    [
        (
            [Route(carriers=("acme",), prefix="44")],
            "it matches nothing, numbers are in E.164, with",
        ),
        ([Route(carriers=("acme",), prefix="44")], "did you mean +44?"),
        ([Route(carriers=("acme",), prefix="020")], "the country code in place of the 0"),
        ([Route(carriers=("beta",))], "no carrier 'beta'; there are acme"),
        ([Route(carriers=())], "carriers is empty"),
        ([Route(carriers=("acme", "acme"))], "named twice"),
        ([Route(carriers=("acme",), weights=(1, 2))], "weights must be"),
        ([Route(carriers=("acme",), weights=(-1,))], "weights must be"),
        (
            [Route(carriers=("acme",), prefix="+44"), Route(carriers=("acme",), prefix="+44")],
            "twice",
        ),
    ],
)
def test_problems_of_routes(routes: list[Route], problem: str) -> None:
    (found,) = problems_of_routes(routes, [carrier()])
    assert problem in found


def test_the_same_prefix_for_two_accounts_is_fine() -> None:
    routes = [Route(carriers=("acme",)), Route(carriers=("acme",), account="AC1")]
    assert problems_of_routes(routes, [carrier()]) == ()
