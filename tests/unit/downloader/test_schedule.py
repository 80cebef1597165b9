from __future__ import annotations

import random
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from imagelane.core.failures import Code
from imagelane.downloader.core.pace import PacePolicy
from imagelane.downloader.core.schedule import MAX_IDLE_HOSTS, HostSchedule, Start

POLICY = PacePolicy(start=16, most=64, patience_seconds=300)
Schedule = HostSchedule[int]


def schedule(slots: int = 64, policy: PacePolicy = POLICY) -> Schedule:
    return HostSchedule(slots, policy)


def put(plan: Schedule, server: str, *works: int, customer: str = "acme", now: float = 0) -> None:
    for work in works:
        plan.put(server, customer, work, now)


def started(plan: Schedule, now: float = 0.0) -> list[Start[int]]:
    found = []
    while (start := plan.next(now)) is not None:
        found.append(start)
    return found


def make_known(plan: Schedule, *servers: str) -> None:
    for server in servers:
        put(plan, server, -1)
        for start in started(plan):
            plan.answered(start, 0.0, 0.01)


def test_an_image_starts_at_once_where_there_is_room() -> None:
    plan = schedule()
    put(plan, "a", 1)
    (start,) = started(plan)
    assert (start.work, start.server) == (1, "a")
    assert (plan.in_flight, plan.waiting) == (1, 0)


def test_an_image_that_waits_for_its_server_holds_no_slot() -> None:
    plan = schedule()
    make_known(plan, "slow", "other")
    put(plan, "slow", *range(100))
    assert len(started(plan)) == 16
    put(plan, "other", 1_000)
    assert [start.work for start in started(plan)] == [1_000]
    assert plan.waiting == 84


def test_all_slots_are_used_and_never_more() -> None:
    plan = schedule(slots=20)
    make_known(plan, "a", "b", "c")
    for server in "abc":
        put(plan, server, *range(50))
    assert len(started(plan)) == 20
    assert not plan.has_free_slot


def test_servers_take_turns() -> None:
    plan = schedule(slots=6)
    make_known(plan, "a", "b", "c")
    put(plan, "a", *range(50))
    put(plan, "b", *range(50))
    put(plan, "c", *range(50))
    assert Counter(start.server for start in started(plan)) == {"a": 2, "b": 2, "c": 2}


def test_customers_of_one_server_take_turns() -> None:
    plan = schedule(slots=4)
    make_known(plan, "a")
    put(plan, "a", *range(1_000))
    put(plan, "a", 1_000, customer="late")
    assert 1_000 in [start.work for start in started(plan)]


def test_strangers_share_a_fifth_of_the_slots() -> None:
    plan = schedule(slots=60)
    make_known(plan, "good")
    for number in range(1_000):
        put(plan, f"stranger-{number}", number)
    put(plan, "good", *range(100))
    starts = started(plan)
    assert sum(start.as_stranger for start in starts) == 15  # of 75
    assert sum(start.server == "good" for start in starts) == 16


def test_known_servers_lose_no_slot_to_strangers() -> None:
    plan = schedule(slots=20)
    make_known(plan, "a", "b")
    for number in range(1_000):
        put(plan, f"stranger-{number}", number)
    put(plan, "a", *range(50))
    put(plan, "b", *range(50))
    assert Counter(start.as_stranger for start in started(plan)) == {False: 20, True: 5}


def test_customers_take_turns_among_the_strangers() -> None:
    plan = schedule(slots=20)
    for number in range(1_000):
        put(plan, f"stranger-{number}", number, customer="careless")
    put(plan, "new", 1_000, customer="late")
    assert "new" in [start.server for start in started(plan)]


def test_a_customer_s_many_images_of_one_new_server_go_before_its_odd_ones() -> None:
    plan = schedule(slots=20)
    for number in range(1_000):
        put(plan, f"stranger-{number}", number)
    put(plan, "shop", *range(10))
    starts = started(plan)
    assert starts[0].server == "shop"
    for start in starts:
        plan.troubled(start, 1.0, Code.TIMEOUT, None)
    assert "shop" not in [start.server for start in started(plan, 1.0)]  # it has had its chance


def test_many_images_of_one_new_server_go_before_no_other_customer() -> None:
    plan = schedule(slots=4)
    put(plan, "small", 1, customer="other")
    for number in range(10):
        put(plan, f"shop-{number}", *range(10))
    assert started(plan)[0].server == "small"


def test_a_stranger_that_has_answered_does_not_wait_among_the_strangers() -> None:
    plan = schedule(slots=20)
    put(plan, "good", *range(10))
    for number in range(1_000):
        put(plan, f"stranger-{number}", number)
    first = next(start for start in started(plan) if start.server == "good")
    plan.answered(first, 1.0, 0.01)
    assert [start.server for start in started(plan, 1.0)].count("good") >= 8


def test_a_known_server_holds_half_of_the_slots_while_another_one_could_start() -> None:
    plan = schedule(slots=20, policy=PacePolicy(start=64, most=64))
    make_known(plan, "stalls", "good")
    put(plan, "stalls", *range(100))
    put(plan, "good", *range(1_000, 1_100))
    running = started(plan)
    for _ in range(50):  # "good" answers, "stalls" does not
        plan.answered(next(start for start in running if start.server == "good"), 1.0, 0.01)
        running = [start for start in running if start.host.pace.in_flight] + started(plan)
    assert plan._hosts["stalls"].pace.in_flight == 10
    assert plan._hosts["good"].pace.in_flight == 10


def test_a_known_server_that_is_alone_may_have_all_slots() -> None:
    plan = schedule(slots=20, policy=PacePolicy(start=64, most=64))
    make_known(plan, "only")
    put(plan, "only", *range(100))
    assert len(started(plan)) == 20


def test_what_waits_for_known_servers_is_ready() -> None:
    plan = schedule(slots=1)
    make_known(plan, "known")
    put(plan, "known", 1, 2, 3, customer="a")
    put(plan, "known", 4, customer="b")
    put(plan, "stranger", 5, 6, customer="a")
    assert plan.ready == {"a": 3, "b": 1}
    stranger, start = started(plan)
    assert stranger.as_stranger
    assert plan.ready == {"a": 2, "b": 1}
    plan.answered(stranger, 0.0, 0.01)
    assert plan.ready == {"a": 3, "b": 1}
    for _ in range(3):
        plan.troubled(start, 1.0, Code.TIMEOUT, None)
        start.host.pace.in_flight += 1
    assert plan.ready == {"a": 1}


def test_a_domain_with_a_rate_gets_no_more_than_that() -> None:
    plan: Schedule = HostSchedule(64, POLICY, {"slow.example": 10.0})
    put(plan, "slow.example", *range(1_000))
    now, starts = 0.0, 0
    while now < 20:
        for start in started(plan, now):
            starts += 1
            plan.answered(start, now, 0.01)
        wakes_at = plan.wakes_at()
        assert wakes_at is not None
        now = max(wakes_at, now)
    assert 195 <= starts <= 205


def test_a_known_server_that_stalls_falls_back_among_the_strangers() -> None:
    plan = schedule()
    make_known(plan, "bad")
    put(plan, "bad", *range(100))
    for start in started(plan):
        plan.troubled(start, 10.0, Code.TIMEOUT, None)
    starts = started(plan, 10.0)
    assert starts
    assert all(start.as_stranger for start in starts)
    assert len(starts) <= 2


def test_what_was_enrolled_as_known_starts_as_a_stranger_without_another_event() -> None:
    plan = schedule(slots=16)
    make_known(plan, "bad")
    put(plan, "bad", *range(17))
    starts = started(plan)
    assert len(starts) == 16
    for start in starts[:-1]:
        plan.troubled(start, 1.0, Code.TIMEOUT, None)
    plan.troubled(starts[-1], 1.0, Code.TIMEOUT, None)
    assert [start.work for start in started(plan, 1.0)] == [16]


def test_delayed_work_comes_back_when_it_is_due_and_before_all_others() -> None:
    plan = schedule(slots=1)
    make_known(plan, "a")
    put(plan, "a", 1, 2)
    plan.put_later("a", "acme", 7, 5.0)
    (first,) = started(plan)
    assert first.work == 1
    assert plan.wakes_at() == 5.0
    plan.answered(first, 5.0, 0.01)
    assert [start.work for start in started(plan, 5.0)] == [7]
    assert plan.wakes_at() is None


def test_a_server_that_asked_to_wait_is_woken_when_its_time_has_come() -> None:
    plan = schedule()
    make_known(plan, "a")
    put(plan, "a", 1)
    (start,) = started(plan)
    put(plan, "a", 2)
    (second,) = started(plan)
    plan.troubled(start, 1.0, Code.RATE_LIMITED, 30.0)
    plan.released(second, 1.0)
    put(plan, "a", 3, now=1.0)
    assert plan.next(30.9) is None
    assert plan.wakes_at() == 31.0
    assert [start.work for start in started(plan, 31.0)] == [3]


def test_what_waits_for_a_hopeless_server_is_given_up_with_its_last_trouble() -> None:
    plan = schedule()
    put(plan, "dead", *range(400))
    now = 0.0
    given_up: list[tuple[int, Code]] = []
    tried = []
    while plan.waiting:
        for start in started(plan, now):
            tried.append(start.work)
            plan.troubled(start, now + 5, Code.TIMEOUT, None)
        given_up += plan.abandoned("dead", now + 5)
        now = max(now + 5, plan.wakes_at() or 0)
    assert 300 <= now < 400
    assert sorted(tried + [work for work, _ in given_up]) == list(range(400))
    assert {code for _, code in given_up} == {Code.TIMEOUT}
    # Later ones are given up at once, but for a probe now and then.
    put(plan, "dead", 1, now=now - 10)
    assert plan.abandoned("dead", now - 10) == [(1, Code.TIMEOUT)]
    put(plan, "dead", 2, now=now)
    assert plan.abandoned("dead", now) == []
    assert [start.work for start in started(plan, now)] == [2]


def test_a_server_that_nothing_is_known_about_is_not_given_up() -> None:
    assert schedule().abandoned("unknown", 1_000.0) == []


def test_servers_without_work_are_forgotten() -> None:
    plan = schedule()
    for number in range(MAX_IDLE_HOSTS * 2):
        put(plan, f"server-{number}", number)
        for start in started(plan):
            plan.answered(start, 0.0, 0.01)
    assert len(plan._hosts) <= MAX_IDLE_HOSTS


def test_a_server_with_work_is_not_forgotten() -> None:
    plan = schedule(slots=1)
    put(plan, "busy", 1, 2)
    (start,) = started(plan)
    plan.put_later("delayed", "acme", 3, 100.0)
    for number in range(MAX_IDLE_HOSTS * 2):
        plan._host(f"server-{number}")
    plan.answered(start, 0.0, 0.01)
    assert [one.work for one in started(plan)] == [2]
    assert "delayed" in plan._hosts


class Run:
    """A schedule under way, with its promises checked at every step."""

    def __init__(self, slots: int, most: int, chance: random.Random) -> None:
        self.plan = schedule(slots, PacePolicy(start=4, most=most, patience_seconds=60))
        self.slots, self.most, self.chance = slots, most, chance
        self.running: list[Start[int]] = []
        self.ended: set[int] = set()
        self.now = 0.0
        self.put_count = 0

    def put(self, server: int) -> None:
        customer = f"customer-{self.put_count % 3}"
        put(self.plan, f"server-{server}", self.put_count, customer=customer, now=self.now)
        self.put_count += 1

    def start_all(self) -> None:
        self.running.extend(started(self.plan, self.now))
        strangers = sum(one.as_stranger for one in self.running)
        assert self.plan.in_flight == len(self.running) <= self.slots + strangers
        assert max(Counter(one.server for one in self.running).values(), default=0) <= self.most
        assert strangers <= max(1, self.slots // 4)

    def finish_one(self, how: str) -> None:
        start = self.running.pop(self.chance.randrange(len(self.running)))
        if how == "answered":
            self.plan.answered(start, self.now, 0.01)
            self.ended.add(start.work)
        elif how == "released":
            self.plan.released(start, self.now)
            self.ended.add(start.work)
        else:
            asked = 5.0 if how == "rate-limited" else None
            self.plan.troubled(start, self.now, Code.TIMEOUT, asked)
            self.plan.put_later(start.server, "acme", start.work, self.now + 1)
        self.ended.update(work for work, _ in self.plan.abandoned(start.server, self.now))

    def step(self, what: str, server: int, how: str, seconds: float) -> None:
        if what == "put":
            self.put(server)
        elif what == "finish" and self.running:
            self.finish_one(how)
        else:
            self.now += seconds
        self.start_all()

    def finish_all(self) -> None:
        """With servers that answer everything ends, and no alarm is missing on the way."""
        while len(self.ended) < self.put_count:
            while self.running:
                self.finish_one("answered")
                self.start_all()
            if len(self.ended) < self.put_count:
                wakes_at = self.plan.wakes_at()
                assert wakes_at is not None
                assert wakes_at > self.now
                self.now = wakes_at
                self.start_all()


steps = st.lists(
    st.tuples(
        st.sampled_from(("put", "put", "put", "finish", "finish", "wait")),
        st.integers(0, 4),
        st.sampled_from(("answered", "troubled", "released", "rate-limited")),
        st.floats(0, 20),
    ),
    max_size=150,
)


@settings(max_examples=200)
@given(st.integers(1, 12), st.integers(1, 8), steps, st.randoms(use_true_random=False))
def test_every_work_starts_and_ends_within_the_slots(
    slots: int, most: int, told: list[tuple[str, int, str, float]], chance: random.Random
) -> None:
    run = Run(slots, most, chance)
    for step in told:
        run.step(*step)
    run.finish_all()
    assert (run.plan.in_flight, run.plan.waiting) == (0, 0)
