"""The media of one conference: its graph, made true one version after the other.

It is a call of the plane of its own, beside the calls that are in it. Whom its seats hear is what
the room says; hops are legs in it, as in any call's media.
"""

import asyncio
from collections.abc import Callable, Sequence

from gateway.calls.media import CallMedia, NoMedia
from gateway.calls.room_graph import MIXER, Seat, graph_of
from gateway.media.graph import Graph, Guest, Leg, Mixer, Player, Recorder
from gateway.media.plane import Full, Plane
from gateway.media.wire import RecordingEnded

__all__ = ["RoomMedia"]


class RoomMedia(CallMedia):
    """See the module; `mixer` is the room itself."""

    def __init__(self, plane: Plane, room: str, mixer: Mixer) -> None:
        super().__init__(plane, room)
        self._mixer = mixer
        self._guests: dict[str, Guest] = {}
        self._seats: tuple[Seat, ...] = ()
        self._sounds: dict[str, Player] = {}

    def settle(self, near: str) -> None:
        """Take a place in the plane, by the call `near` if there is room; raises `NoMedia`."""
        opened = self._plane.open(self.call, near)
        if isinstance(opened, Full):
            raise NoMedia(opened.reason, is_full=True)

    def is_beside(self, call: str) -> bool:
        """Whether a call that is open is in the same worker, and can lend its legs."""
        return self._plane.open(self.call) == self._plane.open(call)

    def borrow(self, guest: Guest) -> None:
        """Have somebody's leg at hand."""
        self._guests[guest.id] = guest

    def give_back(self, id: str) -> None:
        """Have it no more; one that is gone is passed over."""
        if self._guests.pop(id, None) is not None:
            self._change()

    def sit(self, seats: Sequence[Seat]) -> None:
        """Say who takes part, and who hears them."""
        if self._seats != tuple(seats):
            self._seats = tuple(seats)
            self._change()

    async def hear(self, id: str, player: Player) -> str:
        """Let all hear what a player has; why they could not, "" if they did."""
        done: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._playing[player.id] = done
        self._sounds[player.id] = player
        try:
            self._change()
            return await done
        finally:
            self._playing.pop(player.id, None)
            self._sounds.pop(player.id, None)
            if not self._closed:
                self._change()

    def record(self, recorder: Recorder, ended: Callable[[RecordingEnded], None]) -> None:
        """Record the room; `ended` is told once how that ended."""
        self._recorders[recorder.id] = recorder
        self._recorded[recorder.id] = ended
        self._change()

    def retire(self) -> None:
        """See `CallMedia`: who sings waits for it no more."""
        super().retire()
        self._guests.clear()
        for done in self._playing.values():
            if not done.done():
                done.set_result("the conference is over")

    def _wanted(self) -> Graph:
        places: list[Leg | Guest] = [*self._nodes.values(), *self._guests.values()]
        return graph_of(
            self.call,
            self._version,
            mixer=self._mixer,
            places=places,
            seats=self._seats,
            players=self._sounds.values(),
            recorders=self._recorders.values(),
        )


def mixer_of(*, tells_speech: bool) -> Mixer:
    """A room's mixer."""
    return Mixer(id=MIXER, tells_speech=tells_speech)
