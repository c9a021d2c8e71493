"""What clients are told of their tokens, and how often the store is asked for keys that are new."""

import msgspec
import pytest

from gateway.access.keys import Key
from gateway.access.tokens import Grant, Invalid, Tokens, mint
from gateway.browsers.verdicts import LOOK_AFTER, Judge
from protocols.voicesdk.errors import Fault

NOW = 1_790_000_000.0
KEY = Key(
    account_sid="AC" + "1" * 32,
    sid="SK" + "2" * 32,
    friendly_name="",
    secret="s" * 32,
    date_created=NOW,
    date_updated=NOW,
)


class World:
    """Keys that this process knows, and those that another one has made."""

    def __init__(self) -> None:
        self.now = NOW
        self.known = {KEY.sid: KEY}
        self.elsewhere: dict[str, Key] = {}
        self.looks = 0
        self.is_active = True
        tokens = Tokens(self.known.get, lambda account: self.is_active)
        self.judge = Judge(tokens.verify, tokens.doubt, self._look, lambda: self.now)

    async def _look(self) -> None:
        self.looks += 1
        self.known |= self.elsewhere

    async def code(self, token: str) -> int:
        found = await self.judge.judge(token)
        return found.code if isinstance(found, Fault) else 0


def token(key: Key = KEY, ttl: float = 60, now: float = NOW) -> str:
    return mint(key, Grant(identity="alice"), now, ttl)


async def test_a_good_token_is_what_it_grants() -> None:
    found = await World().judge.judge(token())
    assert not isinstance(found, Fault | Invalid)
    assert (found.identity, found.account_sid) == ("alice", KEY.account_sid)


@pytest.mark.parametrize(
    ("shown", "code"),
    [
        ("", 31204),
        ("a.b.c", 31204),
        (token()[:-4] + "AAAA", 31202),
        (token(ttl=-5), 31205),
        (token(ttl=2 * 86_400), 31207),
    ],
)
async def test_each_fault_has_the_code_that_the_sdk_knows(shown: str, code: int) -> None:
    assert await World().code(shown) == code


async def test_a_good_token_is_doubted_once_it_has_run_out() -> None:
    world = World()
    found = await world.judge.judge(token(ttl=60))
    assert not isinstance(found, Fault)
    world.now += 59
    assert world.judge.doubt(found) is None
    world.now += 1
    doubt = world.judge.doubt(found)
    assert doubt is not None
    assert doubt.code == 31205


async def test_a_good_token_is_doubted_without_its_key_and_while_its_account_is_not_active() -> (
    None
):
    world = World()
    found = await world.judge.judge(token())
    assert not isinstance(found, Fault)
    assert world.judge.doubt(found) is None
    world.is_active = False
    suspended = world.judge.doubt(found)
    world.is_active = True
    world.known[KEY.sid] = msgspec.structs.replace(KEY, account_sid="AC" + "9" * 32)
    foreign = world.judge.doubt(found)
    world.known.clear()
    gone = world.judge.doubt(found)
    assert [each and each.code for each in (suspended, foreign, gone)] == [31203, 31204, 31204]


async def test_an_account_that_is_not_active_lets_nobody_in() -> None:
    world = World()
    world.is_active = False
    assert await world.code(token()) == 31203


async def test_a_key_of_another_process_is_looked_for_and_one_that_is_gone_is_gone() -> None:
    world = World()
    world.elsewhere = {KEY.sid: world.known.pop(KEY.sid)}
    assert await world.code(token()) == 0
    world.elsewhere.clear()
    world.known.clear()
    assert await world.code(token()) == 31204


async def test_who_makes_keys_up_has_the_store_asked_once_a_second() -> None:
    world = World()
    world.known.clear()
    for _ in range(50):
        await world.code(token())
    assert world.looks == 1
    world.now += LOOK_AFTER
    await world.code(token())
    assert world.looks == 2
