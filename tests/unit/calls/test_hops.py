"""Two ends of one way between calls, of which one is gone before it is open."""

import asyncio
from typing import Any

import pytest

from gateway.calls.hop import Hop
from gateway.calls.media import NoMedia

UNREAD: Any = None


class Media:
    """A call's media that a hop takes its leg from, and that never has a place."""

    def __init__(self) -> None:
        self.placing: list[Any] = []
        self.removed: list[str] = []

    async def place(self, leg: Any) -> Any:
        self.placing.append(leg.id)
        await asyncio.Event().wait()

    def remove(self, id: str) -> None:
        self.removed.append(id)


def hop(id: str, media: Media) -> Hop:
    return Hop(media, lambda *_: None, id=id, record=UNREAD)  # type: ignore[arg-type]


async def test_who_left_before_the_way_is_open_leaves_no_way() -> None:
    media = Media()
    one, other = hop("one", media), hop("other", media)
    one.tie(other)
    other.hang_up(200, "went")
    with pytest.raises(NoMedia, match="a party left"):
        await one.open(UNREAD, ())
    assert (media.placing, media.removed) == ([], ["other", "one"])


async def test_who_leaves_as_the_way_opens_asks_for_no_port() -> None:
    media = Media()
    one, other = hop("one", media), hop("other", media)
    one.tie(other)
    opening = asyncio.create_task(one.open(UNREAD, ()))
    asyncio.get_running_loop().call_soon(other.hang_up, 200, "went")
    with pytest.raises(NoMedia, match="a party left"):
        await asyncio.wait_for(opening, 60)
    assert media.placing == []
