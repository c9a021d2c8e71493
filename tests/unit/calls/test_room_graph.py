"""Who hears whom in a conference, as the graph of its media says."""

from gateway.calls.conference import Change, Conference, Refused
from gateway.calls.room_graph import MIXER, Seat, graph_of, seats_of
from gateway.media.graph import Guest, Join, Mixer, Player, Silence, fault
from twiml.nouns import Conference as Noun
from twiml.nouns import JitterBuffer

NODES = {f"CA{number}": f"seat{number}" for number in (1, 2, 3)}
GUESTS = [Guest(id=node, call=sid, leg=f"{sid}.1") for sid, node in NODES.items()]


def conference(*nouns: Noun) -> Conference:
    made = Conference("CF1", nouns[0])
    for number, noun in enumerate(nouns, 1):
        assert not isinstance(made.join(f"CA{number}", noun, 1.0), Refused)
    return made


def joins(made: Conference) -> set[tuple[str, str, str]]:
    graph = graph_of("CF1", 1, mixer=Mixer(id=MIXER), places=GUESTS, seats=seats_of(made, NODES))
    assert fault(graph) is None
    return {(each.source, each.hearer, each.only) for each in graph.joins}


PLAIN = Noun(name="room")


def both(*nodes: str) -> set[tuple[str, str, str]]:
    return {(node, MIXER, "") for node in nodes} | {(MIXER, node, "") for node in nodes}


def test_all_hear_the_room_and_are_heard_in_it() -> None:
    assert joins(conference(PLAIN, PLAIN, PLAIN)) == both("seat1", "seat2", "seat3")


def test_packets_are_waited_for_as_long_as_each_wants() -> None:
    nouns = (
        PLAIN,
        *(Noun(name="room", jitter_buffer=size) for size in (JitterBuffer.SMALL, JitterBuffer.OFF)),
    )
    made = conference(*nouns)
    graph = graph_of("CF1", 1, mixer=Mixer(id=MIXER), places=GUESTS, seats=seats_of(made, NODES))
    waits = {each.source: each.buffer for each in graph.joins if each.hearer == MIXER}
    assert waits == {"seat1": 0.3, "seat2": 0.06, "seat3": 0.02}


def test_nobody_is_in_a_room_that_has_not_started() -> None:
    assert joins(conference(PLAIN)) == set()


def test_who_is_muted_hears_and_is_not_heard() -> None:
    made = conference(PLAIN, PLAIN, PLAIN)
    made.change("CA2", Change(muted=True), 2.0)

    assert joins(made) == both("seat1", "seat2", "seat3") - {("seat2", MIXER, "")}


def test_who_is_held_has_no_part() -> None:
    made = conference(PLAIN, PLAIN, PLAIN)
    made.change("CA2", Change(hold=True), 2.0)

    assert joins(made) == both("seat1", "seat3")


def test_a_coach_is_heard_by_the_one_coached() -> None:
    made = conference(PLAIN, PLAIN, Noun(name="room", coach="CA1"))

    expected = both("seat1", "seat2") | {(MIXER, "seat3", ""), ("seat3", MIXER, "seat1")}
    assert joins(made) == expected


def test_a_coach_of_nobody_who_is_there_is_not_heard() -> None:
    made = conference(PLAIN, PLAIN, Noun(name="room", coach="CA9"))

    assert joins(made) == both("seat1", "seat2") | {(MIXER, "seat3", "")}


def test_a_coach_is_heard_by_nobody_while_the_one_coached_is_on_hold() -> None:
    made = conference(PLAIN, PLAIN, Noun(name="room", coach="CA1"))
    made.change("CA1", Change(hold=True), 2.0)

    assert joins(made) == both("seat2") | {(MIXER, "seat3", "")}


def test_who_has_no_place_yet_is_left_out() -> None:
    made = conference(PLAIN, PLAIN)

    graph = graph_of(
        "CF1",
        1,
        mixer=Mixer(id=MIXER),
        places=GUESTS[:1],
        seats=(*seats_of(made, NODES), Seat(id="seat1x", only="seat9")),
    )

    assert fault(graph) is None
    assert {each.hearer for each in graph.joins} == {MIXER, "seat1"}


def test_what_is_announced_goes_to_all() -> None:
    player = Player(id="p", clips=(Silence(seconds=1.0),))

    graph = graph_of("CF1", 1, mixer=Mixer(id=MIXER), places=(), seats=(), players=(player,))

    assert graph.joins == (Join(source="p", hearer=MIXER),)
    assert fault(graph) is None
