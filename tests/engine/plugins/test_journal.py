"""What an aborted pass had been told is found by the next one, and by no other."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from engine.plugins.journal import EMPTY_SIZE, ENTRY, Journal
from engine.plugins.room import Answer, Room, weight
from rpc import FatalError, Method
from rpc.replies import EMPTY
from tests.engine.plugins.doubles import PRE, saying, wrong

POST = Method.NODE_POST_EXECUTE
ONE, OTHER = b"1" * 16, b"2" * 16


def test_an_answer_is_known_by_plugin_method_and_question() -> None:
    journal = Journal(Room(100_000))
    journal.keep("p", PRE, ONE, saying("a"))
    assert journal.find("p", PRE, ONE) == saying("a")
    assert journal.find("q", PRE, ONE) is None
    assert journal.find("p", POST, ONE) is None
    assert journal.find("p", PRE, OTHER) is None


def test_a_chain_of_empty_replies_stands_for_all_plugins_and_for_its_method_alone() -> None:
    journal = Journal(Room(100_000))
    journal.keep_empty_chains(PRE, [ONE])
    assert journal.find("p", PRE, ONE) is journal.find("q", PRE, ONE) is EMPTY
    assert journal.find("p", POST, ONE) is None


def test_the_first_answer_stays() -> None:
    """A question is asked once a pass; whatever else would come of it does not take its room."""
    room = Room(100_000)
    journal = Journal(room)
    for message in ("a", "b" * 1000):
        journal.keep("p", PRE, ONE, saying(message))
    assert journal.find("p", PRE, ONE) == saying("a")
    assert room.taken == ENTRY + weight(saying("a"))
    assert journal.kept == 1


def test_other_plugins_begin_with_nothing() -> None:
    journal = Journal(Room(100_000))
    journal.begin(("p", "q"))
    journal.keep("p", PRE, ONE, saying("a"))
    journal.keep_empty_chains(PRE, [OTHER])
    journal.resumed_at = 5.0
    for plugins, known in ((("p", "q"), True), (("q", "p"), False)):
        journal.begin(plugins)
        assert journal.resuming == known
        assert (journal.find("p", PRE, ONE) is not None) == (journal.find("p", PRE, OTHER) is not None) == known


def test_chains_are_kept_together_or_not_at_all() -> None:
    journal = Journal(Room(2 * EMPTY_SIZE))
    journal.keep_empty_chains(PRE, [ONE, OTHER, b"3" * 16])
    assert journal.kept == 0
    journal.keep_empty_chains(PRE, [ONE, OTHER])
    assert journal.find("p", PRE, ONE) is journal.find("p", PRE, OTHER) is EMPTY


digests = st.binary(min_size=1, max_size=1)
methods = st.sampled_from([PRE, POST])
answers: st.SearchStrategy[Answer] = st.just(EMPTY) | st.text(max_size=300).map(saying) | st.just("p").map(wrong)


class Rooms(RuleBasedStateMachine):
    """Several journals in a room that is too small for them: what is found was said, and the room's books are right."""

    @initialize(most=st.integers(0, 3000))
    def open(self, most: int) -> None:
        self.room = Room(most)
        self.journals = [Journal(self.room) for _ in range(2)]
        self.said: list[dict[tuple[str, Method, bytes], Answer]] = [{}, {}]
        self.chains: list[set[tuple[Method, bytes]]] = [set(), set()]

    @rule(which=st.integers(0, 1), name=st.sampled_from("pq"), method=methods, digest=digests, answer=answers)
    def keep(self, which: int, name: str, method: Method, digest: bytes, answer: Answer) -> None:
        before = self.journals[which].kept
        self.journals[which].keep(name, method, digest, answer)
        if self.journals[which].kept > before:
            assert self.said[which].setdefault((name, method, digest), answer) is answer

    @rule(which=st.integers(0, 1), method=methods, some=st.lists(digests, max_size=5))
    def keep_empty_chains(self, which: int, method: Method, some: list[bytes]) -> None:
        before = self.journals[which].kept
        self.journals[which].keep_empty_chains(method, some)
        if self.journals[which].kept > before:
            self.chains[which] |= {(method, digest) for digest in some}

    @rule(which=st.integers(0, 1))
    def clear(self, which: int) -> None:
        self.journals[which].clear()
        self.said[which], self.chains[which] = {}, set()

    @rule(which=st.integers(0, 1), method=methods, digest=digests)
    def find(self, which: int, method: Method, digest: bytes) -> None:
        for name in "pq":
            found = self.journals[which].find(name, method, digest)
            if (method, digest) in self.chains[which]:
                assert found is EMPTY
                continue
            expected = self.said[which].get((name, method, digest))
            if isinstance(expected, FatalError):
                assert isinstance(found, FatalError)
                assert str(found) == str(expected)
            else:
                assert found == expected

    @invariant()
    def the_room_is_what_is_kept(self) -> None:
        answers = [answer for said in self.said for answer in said.values()]
        taken = sum(ENTRY + weight(answer) for answer in answers) + EMPTY_SIZE * sum(map(len, self.chains))
        assert self.room.taken == taken <= self.room.most


TestRooms = Rooms.TestCase
