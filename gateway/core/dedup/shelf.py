"""Where the indexes of a partition stand, and which of them is used.

A folder for each partition, and in it one for each index, named by the epoch of the owner that
made it. Any of them will do, however old, as what it does not know is read from the clean topic;
so the newest that nobody has open is taken, and a new one made where there is none. That happens
when the owner before is stopped but not dead: it has its index open until it wakes up. One that
is damaged is moved aside for whoever wants to look at it.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import structlog

from gateway.core.dedup.index import Index, IndexDamaged, IndexHeld, IndexTrouble

_log = structlog.get_logger(__name__)
_ASIDE: Final = "damaged"


def open_index(folder: Path, epoch: int, opening: Callable[[Path], Index]) -> Index:
    """The index that the owner with `epoch` works with, among those in `folder`.

    Raises `IndexTrouble` if the disk does not allow it.
    """
    with _on_disk(folder):
        return _opened(folder, epoch, opening)


def _opened(folder: Path, epoch: int, opening: Callable[[Path], Index]) -> Index:
    for each in _newest_first(folder):
        try:
            index = opening(each)
        except IndexHeld:
            continue
        except IndexDamaged as error:
            aside = set_aside(each)
            _log.error(
                "an index of dedup is rebuilt from the clean topic",
                reason=str(error),
                moved_to=str(aside),
                what_to_do="nothing; look at the disk if it happens again",
            )
            continue
        _remove_others(folder, each, opening)
        return index
    return opening(_fresh(folder, epoch))


def set_aside(index: Path) -> Path:
    """Move an index out of the way, in the place of the one that was moved there before.

    Raises `IndexTrouble` if the disk does not allow it.
    """
    aside = index.parent / _ASIDE
    shutil.rmtree(aside, ignore_errors=True)
    with _on_disk(index.parent):
        index.rename(aside)
    return aside


@contextmanager
def _on_disk(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise IndexTrouble(
            f"the indexes in {folder} can't be put in order ({error}): look at that file or"
            " folder, and remove it if it is not the program's"
        ) from error


def _newest_first(folder: Path) -> list[Path]:
    found = [each for each in folder.iterdir() if each.name.isdecimal()] if folder.is_dir() else []
    return sorted(found, key=lambda each: -int(each.name))


def _fresh(folder: Path, epoch: int) -> Path:
    number = epoch
    while (folder / str(number)).exists():
        number += 1
    return folder / str(number)


def _remove_others(folder: Path, used: Path, opening: Callable[[Path], Index]) -> None:
    for each in _newest_first(folder):
        if each == used:
            continue
        try:
            opening(each).close()
        except IndexHeld:
            continue
        except IndexDamaged:
            pass
        shutil.rmtree(each, ignore_errors=True)
