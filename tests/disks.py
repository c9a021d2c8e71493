"""Disks that are full, and folders that can't be written, for tests as root or as anybody."""

import ctypes
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

_CHUNK: Final = 64 * 1024
_PR_CAPBSET_DROP: Final = 24
_CAPABILITIES: Final = (1, 2)  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH

# Runs what follows as somebody to whom permissions mean something, even as root.
BOUND: Final = (sys.executable, "-m", "tests.disks")


class Tmpfs:
    """A small disk of its own, mounted on a folder that is there."""

    def __init__(self, folder: Path, octets: int) -> None:
        """Raises `OSError` where we may not mount."""
        options = ("-t", "tmpfs", "-o", f"size={octets}", "tmpfs", str(folder))
        done = subprocess.run(["mount", *options], capture_output=True, check=False)
        if done.returncode:
            raise OSError(done.stderr.decode().strip())
        self._folder = folder
        self._ballast = folder / "ballast"

    def fill(self) -> None:
        """Write until there is no room."""
        with self._ballast.open("wb", buffering=0) as file:
            for size in (_CHUNK, 1024, 1):
                with suppress(OSError):
                    while True:
                        file.write(b"\0" * size)

    def free(self) -> None:
        """Remove what fills it, if anything does."""
        self._ballast.unlink(missing_ok=True)

    def close(self) -> None:
        """Unmount it; nothing has a file there open any more."""
        subprocess.run(["umount", str(self._folder)], capture_output=True, check=True)


class FullDisk:
    """A folder that can have no room: a tmpfs of its own, or where nobody may mount one, a limit
    on the size of this process's files. `fill`, `free`, in a `with` block.
    """

    def __init__(self, folder: Path, octets: int) -> None:
        self._folder = folder
        self._octets = octets
        self._mounted: Tmpfs | None = None

    def __enter__(self) -> "FullDisk":
        self._folder.mkdir(parents=True, exist_ok=True)
        with suppress(OSError):
            self._mounted = Tmpfs(self._folder, self._octets)
        return self

    def __exit__(self, *_: object) -> None:
        self.free()
        if self._mounted is not None:
            self._mounted.close()

    def fill(self, largest: int) -> None:
        """Leave no room; where that is a limit, for files larger than `largest` octets."""
        if self._mounted is not None:
            self._mounted.fill()
        else:
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest, resource.RLIM_INFINITY))

    def free(self) -> None:
        """Make room again."""
        if self._mounted is not None:
            self._mounted.free()
        else:
            unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
            resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)


@contextmanager
def unwritable(folder: Path) -> Iterator[None]:
    """Nothing can be made, changed or removed in the folder, by whoever is `BOUND`."""
    modes = {path: path.stat().st_mode for path in (folder, *folder.rglob("*"))}
    for path, mode in modes.items():
        path.chmod(mode & 0o555)
    try:
        yield
    finally:
        for path, mode in modes.items():
            if path.exists():
                path.chmod(mode)


def _be_bound() -> None:
    """Give up root's right to pass permissions over, and become the program of the arguments."""
    if os.geteuid() == 0:
        library = ctypes.CDLL(None, use_errno=True)
        for capability in _CAPABILITIES:
            if library.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0):
                raise OSError(ctypes.get_errno(), "a capability can't be given up")
    os.execv(sys.executable, [sys.executable, *sys.argv[1:]])


if __name__ == "__main__":
    _be_bound()
