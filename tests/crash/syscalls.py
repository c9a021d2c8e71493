"""What strace wrote: system calls in order, and whether each promise came after its fsync.

A promise is a 201 over HTTP, or our 200 to an INVITE over UDP.

Pure. strace stops a thread at the entry and at the exit of each call and writes a line for each,
so a call that began in a later line than another ended in cannot have been before it.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

# Made with -f -y -xx: a thread's id, the call, its first argument as descriptor<path>.
OPTIONS: Final = (
    *("-f", "-y", "-xx", "-s", "8192", "-q", "--seccomp-bpf"),
    *("-e", "trace=pwrite64,write,writev,sendto,sendmsg,fsync,fdatasync"),
)
_LINE: Final = re.compile(r"(\d+) +(.*)")
_CALL: Final = re.compile(r"(\w+)\((\d+)<([^>]*)>(.*)", re.DOTALL)
_RESUMED: Final = re.compile(r"<\.\.\. (\w+) resumed>.*= (-?\d+)")
_STRING: Final = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_RESULT: Final = re.compile(r"= (-?\d+)")
_CREATED: Final = re.compile(rb'"sid": ?"((?:SM|MM)[0-9a-f]{32})"')
_CALL_ID: Final = re.compile(rb"\r\nCall-ID: ([0-9a-f]+)\r\n")
_SYNCS: Final = frozenset({"fsync", "fdatasync"})
_FRAME_HEADER: Final = 24  # octets in front of each page of a WAL (SQLite file format, 4.1)
_UNFINISHED: Final = "<unfinished ...>"


@dataclass(slots=True, kw_only=True)
class Call:
    """One call: `began` and `ended` are numbers of lines, `ended` is -1 while it lasts."""

    thread: int
    name: str
    path: str
    data: bytes
    began: int
    ended: int
    failed: bool = False


def calls(lines: Iterable[str]) -> list[Call]:
    """The calls of a trace, in the order in which they began."""
    found: list[Call] = []
    under_way: dict[int, Call] = {}
    for number, line in enumerate(lines):
        match = _LINE.match(line)
        if match is None:
            continue
        thread, rest = int(match[1]), match[2]
        if resumed := _RESUMED.match(rest):
            call = under_way.pop(thread, None)
            if call is not None:
                call.ended, call.failed = number, int(resumed[2]) < 0
        elif begun := _CALL.match(rest):
            call = _call(thread, begun, number)
            found.append(call)
            if call.ended < 0:
                under_way[thread] = call
    return found


def _call(thread: int, begun: re.Match[str], number: int) -> Call:
    name, path, rest = begun[1], begun[3], begun[4]
    is_whole = _UNFINISHED not in rest
    results = _RESULT.findall(rest)
    return Call(
        thread=thread,
        name=name,
        path=_octets(path).decode(errors="replace"),
        data=b"".join(_octets(each) for each in _STRING.findall(rest)),
        began=number,
        ended=number if is_whole else -1,
        failed=is_whole and bool(results) and int(results[-1]) < 0,
    )


def _octets(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", "")) if text.startswith("\\x") else text.encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A promise: of which resource, and why it is not covered by an fsync; "" if it is."""

    sid: str
    fault: str


def answers(trace: Sequence[Call]) -> list[Answer]:
    """Every 201 of a trace, judged by the commit that its message is in."""
    commits = list(_commits(trace))
    found: list[Answer] = []
    for call in trace:
        if not call.data.startswith(b"HTTP/1.1 201 "):
            continue
        created = _CREATED.search(call.data)
        if created is None:
            continue
        commit = next((each for each in commits if created[1] in each.pages), None)
        found.append(Answer(sid=created[1].decode(), fault=_fault(call, commit)))
    return found


def answers_to_calls(trace: Sequence[Call]) -> list[Answer]:
    """Every 200 to an INVITE, judged by the commit that says that the call is in progress.

    The row of a leg has the Call-ID behind the call's SID, that of a call its state.
    """
    commits = list(_commits(trace))
    found: list[Answer] = []
    for call in trace:
        call_id = _CALL_ID.search(call.data)
        if not call.data.startswith(b"SIP/2.0 200 ") or call_id is None:
            continue
        if b" INVITE\r\n" not in call.data:
            continue
        sid = _sid_of(call_id[1], commits)
        answered = re.compile(re.escape(sid) + rb"inboundin-progress")
        commit = next((each for each in commits if sid and answered.search(each.pages)), None)
        found.append(Answer(sid=sid.decode(), fault=_fault(call, commit)))
    return found


def _sid_of(call_id: bytes, commits: Sequence["_Commit"]) -> bytes:
    leg = re.compile(rb"(CA[0-9a-f]{32})[^\r\n]{0,200}?" + call_id)
    return next((found[1] for each in commits if (found := leg.search(each.pages))), b"")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Commit:
    """A transaction in the WAL: its pages, and where the fsync behind it ended, -1 if none."""

    pages: bytes
    synced: int


def _commits(trace: Sequence[Call]) -> Iterator[_Commit]:
    """Transactions: frames up to one whose header says that it ends one, then the fsync.

    The header of a frame and its page are two writes; the header has the size of the database
    after a commit in its second word, and 0 there inside of one.
    """
    wal = [call for call in trace if call.path.endswith("-wal")]
    pages: list[bytes] = []
    ends = False
    for position, call in enumerate(wal):
        if call.name in _SYNCS:
            continue
        if len(call.data) == _FRAME_HEADER:
            ends = any(call.data[4:8])
            continue
        pages.append(call.data)
        if ends:
            yield _Commit(pages=b"".join(pages), synced=_sync_behind(wal, position))
            pages, ends = [], False


def _sync_behind(wal: Sequence[Call], position: int) -> int:
    written = wal[position].ended
    for call in wal[position + 1 :]:
        if call.name in _SYNCS:
            good = not call.failed and call.ended >= 0 and call.began > written >= 0
            return call.ended if good else -1
    return -1


def _fault(answer: Call, commit: _Commit | None) -> str:
    if commit is None:
        return "what it promises is in no commit of the trace"
    if commit.synced < 0:
        return "no fsync followed its commit"
    if commit.synced >= answer.began:
        return f"it left in line {answer.began + 1}, the fsync ended in {commit.synced + 1}"
    return ""
