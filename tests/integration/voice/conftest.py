"""Fixtures of the tests with calls: phones that are closed with the test."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from tests.integration.voice.phones import Phone

DOMAIN = "office.example"
OpenPhone = Callable[..., Awaitable[Phone]]


@pytest.fixture
async def open_phone() -> AsyncIterator[OpenPhone]:
    """Makes phones by `Phone`'s arguments, and `open`'s by name."""
    opened: list[Phone] = []

    async def make(*given: Any, tone: float = 440.0, password: str = "", **more: Any) -> Phone:
        phone = Phone(*given, tone=tone, password=password)
        opened.append(phone)
        return await phone.open(**more)

    yield make
    for phone in opened:
        await phone.close()


@pytest.fixture
async def alice(open_phone: OpenPhone) -> Phone:
    return await open_phone("alice", DOMAIN, tone=440, password="pa")


@pytest.fixture
async def bob(open_phone: OpenPhone) -> Phone:
    return await open_phone("bob", DOMAIN, tone=880, password="pb")
