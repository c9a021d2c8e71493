"""A workshop's process: it speaks, decodes and composes, a task at a time, and knows nothing else.

Its only argument is the number of one end of a pair of unix sockets. It ends when the other end is
closed, and by itself where a task takes longer than anybody waits: a library that hangs is not
left behind when the gateway was killed meanwhile. What a hostile file may take is bounded: memory
by `_MEMORY`, the disk by `_FILE`.
"""

import resource
import signal
import socket
import sys
from pathlib import Path
from typing import Final

from gateway.speech import wire
from gateway.speech.wav import TooLong

_MEMORY: Final = 2 << 30
_FILE: Final = 256 << 20


class _Hands:
    """What the tasks need, loaded when the first of them does."""

    def __init__(self) -> None:
        self._voice: object = None

    def do(self, task: wire.Task) -> wire.Made | wire.Unmade:
        """Do `task`."""
        target = Path(task.target)
        try:
            match task:
                case wire.Speak():
                    return self._speak(task, target)
                case wire.Decode():
                    return self._decode(task, target)
                case wire.Compose(name=name):
                    from gateway.speech import builtin

                    return wire.Made(seconds=builtin.compose(name, target))
        except TooLong:
            reason = "it is longer than a prompt may be"
        except MemoryError:
            reason = "it takes more memory than there is for it"
        except FileExistsError:
            return wire.Unmade(reason="there is a file already")
        except OSError as error:
            reason = f"a file of it can't be read or written: {error.strerror or error}"
        target.unlink(missing_ok=True)
        return wire.Unmade(reason=reason)

    def _speak(self, task: wire.Speak, target: Path) -> wire.Made | wire.Unmade:
        from gateway.speech import espeak  # what only decodes does without

        try:
            if not isinstance(self._voice, espeak.Espeak):
                self._voice = espeak.Espeak()
            made = self._voice.speak(task.text, task.voice, target, is_ssml=task.is_ssml)
        except espeak.Speechless as error:
            return wire.Unmade(reason=str(error))
        return wire.Made(seconds=made)

    def _decode(self, task: wire.Decode, target: Path) -> wire.Made | wire.Unmade:
        from gateway.speech import decoding

        try:
            return wire.Made(seconds=decoding.decode(task.pieces, target))
        except decoding.Undecodable as error:
            target.unlink(missing_ok=True)
            return wire.Unmade(reason=str(error))


def serve(ours: socket.socket, deadline: int) -> None:
    """Do what is asked until nobody is there to ask; each task within `deadline` seconds."""
    hands = _Hands()
    with ours, ours.makefile("rb") as lines:
        ours.sendall(wire.line(wire.Started()))
        for octets in lines:
            signal.alarm(deadline)  # whose default is the end
            answer = hands.do(wire.task_of(octets))
            signal.alarm(0)
            ours.sendall(wire.line(answer))


def main() -> None:
    """Be a workshop's process until the gateway is gone."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_FILE, _FILE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    number, deadline = map(int, sys.argv[1:3])
    serve(socket.socket(fileno=number), deadline)


if __name__ == "__main__":
    main()
