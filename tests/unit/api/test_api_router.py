"""From paths to operations."""

import pytest

from gateway.api.resources import Access, Answer, Call, Operation, Result
from gateway.api.router import Router


async def nothing(call: Call) -> Result:
    return Answer(204)


def operation(path: str, method: str = "GET") -> Operation:
    return Operation(
        id=f"{method} {path}",
        method=method,
        path=path,
        handler=nothing,
        access=Access.READ,
    )


ROUTER = Router(
    [
        operation("/2010-04-01/Accounts"),
        operation("/2010-04-01/Accounts/{AccountSid}/Messages"),
        operation("/2010-04-01/Accounts/{AccountSid}/Messages", "POST"),
        operation("/2010-04-01/Accounts/{AccountSid}/Messages/{Sid}"),
        operation("/sim/handsets/{Number}/messages"),
        operation("/openapi.json"),
    ]
)


@pytest.mark.parametrize(
    ("path", "methods", "variables"),
    [
        ("/2010-04-01/Accounts", {"GET"}, {}),
        ("/2010-04-01/Accounts.json", {"GET"}, {}),
        ("/2010-04-01/Accounts/AC1/Messages.json", {"GET", "POST"}, {"AccountSid": "AC1"}),
        ("/2010-04-01/Accounts/A/Messages/S.json", {"GET"}, {"AccountSid": "A", "Sid": "S"}),
        ("/2010-04-01/Accounts/A/Messages/a%2Fb", {"GET"}, {"AccountSid": "A", "Sid": "a/b"}),
        ("/sim/handsets/%2B1555/messages", {"GET"}, {"Number": "+1555"}),
        ("/sim/handsets/+1555/messages", {"GET"}, {"Number": "+1555"}),
        ("/openapi.json", {"GET"}, {}),
    ],
)
def test_a_path_leads_to_its_operations(
    path: str, methods: set[str], variables: dict[str, str]
) -> None:
    match = ROUTER.match(path)
    assert match is not None
    assert set(match.operations) == methods
    assert match.variables == variables


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "//",
        "/2010-04-01",
        "/2010-04-01/Accounts/",
        "/2010-04-01/Accounts/A",
        "/2010-04-01/Accounts//Messages",
        "/2010-04-01/Accounts/A/Messages/",
        "/2010-04-01/Accounts/A/Messages/S/more",
        "/2010-04-01/accounts",
        "/2010-04-01/Accounts/A/Messages/a%00b",
    ],
)
def test_other_paths_lead_nowhere(path: str) -> None:
    assert ROUTER.match(path) is None


def test_declarations_that_collide_are_refused() -> None:
    with pytest.raises(ValueError, match="declared twice"):
        Router([operation("/a/{Sid}"), operation("/a/{Sid}")])
    with pytest.raises(ValueError, match="is called Sid elsewhere"):
        Router([operation("/a/{Sid}"), operation("/a/{Name}/b")])
