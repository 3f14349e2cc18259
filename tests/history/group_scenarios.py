"""Small schedules of groups and durable subscriptions, each named after what must hold."""
import time

from claims import Options
from scenarios import opened, restart
from store import read_topic
from world import Violation, World

SCENARIOS = {}
TOPIC, GROUP, PLACE, LETTERS = "t", "risk", "report", "letters"
PATIENCE_MS = 30000  # for what has to come, on a machine that is busy with other things


def scenario(**options):
    """options: of the World."""
    def register(schedule):
        SCENARIOS[schedule.__name__.replace("_", "-")] = (schedule, options)
        return schedule
    return register


def make(world, lease_ms=30000, most=0, letters="-", start="first", durable=False, name=None, **topic):
    """A topic, if it is not there, and a group or durable subscription on it. Returns who administers it."""
    if not world.topics:
        world.start()
        world.create(TOPIC, **topic)
    name = name or (PLACE if durable else GROUP)
    world.groups[name] = Options(TOPIC, start, lease_ms, most, letters, durable)
    administrator = world.administrator()
    administrator.do(f"create {TOPIC} {name} {start} " + ("durable" if durable else f"{lease_ms} {most} 0 {letters}"))
    return administrator


def publish(world, count, size=100, number=1, stays=False):
    publisher = opened(world, number)
    for _ in range(count // 4000 + 1):
        publisher.do(f"batch {min(count, 4000)} {size}")
        count -= 4000
        if count <= 0:
            break
    publisher.do("wait durable 5000")
    if not stays:
        publisher.do("close", "disconnect")
    return publisher


def joined(world, ack="manual", name=GROUP):
    member = world.member(name)
    member.do(f"join {TOPIC} {name} first {ack} 5000")
    return member


def holder(world, ack="manual", try_ms=5000):
    member = world.member(PLACE)
    member.do(f"durable {TOPIC} {PLACE} first {ack} {try_ms}")
    return member


def greet_who_does_not_answer(world, member, *commands):
    """The broker is there, and halted."""
    world.halt()
    member.do(*commands)
    world.go_on()


def flow(ms):
    time.sleep(ms / 1000)


def publish_away(world, number=2):
    """So much that retention removes all that was there before. Returns the first message that is left."""
    first = world.info(TOPIC)["first_position"]
    publish(world, 6000, 1000, number)
    world.wait_until(lambda: world.info(TOPIC)["first_position"] > first + 3000000, "retention", "nothing was removed")
    return read_topic(world.disk.path, TOPIC)[0][0]


def must(holds, kind, text):
    if not holds:
        raise Violation(kind, text)


def shorten_the_lease(world, administrator, ms):
    """Now that nobody is to be given anything in time any more."""
    def is_short():
        administrator.do(f"lease {TOPIC} {GROUP} {ms}")
        return last_call(administrator, "alter").rc == 0
    world.wait_until(is_short, "not altered", "the lease cannot be altered")


def one_by_one(member, *commands):
    """Each is through before the next is asked for: who works gives way to that."""
    for command in commands:
        member.do(command)


def last_call(member, what):
    return [call for call in member.calls() if call.what == what][-1]


# ---- a member reads ----

def goes_on(world, **topic):
    """It follows in a window that wraps, and is another's by then; another member is further."""
    make(world, **topic)
    caught_up, other = joined(world), joined(world)
    for _ in range(30):  # it is never so far behind that it has to read from the store
        caught_up.ask("work 100 5000")
        publish(world, 100)
        caught_up.finish()
    publish(world, 200, number=2)
    other.do("work 50 500")
    caught_up.do("work 1000 500")


@scenario()
def a_member_that_is_caught_up_goes_on_with_the_next_publisher(world):
    goes_on(world)


@scenario()
def a_member_that_is_caught_up_goes_on_with_the_next_publisher_under_retention(world):
    goes_on(world, keep="1M")


# ---- leases ----

@scenario()
def who_renews_keeps_what_it_holds_over_a_brokers_death(world):
    """It talks to the page alone: ack and renew greet the broker that comes."""
    make(world, lease_ms=300)
    member, other = joined(world), joined(world)
    publish(world, 20)
    member.do("take 3 500")
    other.ask("work 1000 600000")
    member.do("keep 50 30")
    restart(world)
    member.do("keep 900 30", "ack all")


@scenario()
def who_acks_behind_a_brokers_death_was_in_time(world):
    """It was given the message by the new broker already, and reads from the store, where no seal is seen."""
    make(world, lease_ms=600)
    publish(world, 3000, 400)
    member, other = joined(world), joined(world)
    member.do("work 5 500")
    restart(world)
    for _ in range(12):  # all that a member does is poll, and ack within its lease
        member.do("take 2 200", "keep 60 20", "nack first", "ack all")
    other.do("work 20 100")


@scenario()
def who_greets_a_broker_that_stands_keeps_what_it_holds(world):
    """It is not answered in time, and has other things to do then, for less than a lease."""
    make(world, lease_ms=600)
    publish(world, 60)
    member, other = joined(world), joined(world)
    for _ in range(3):
        member.do("take 1 500")
        restart(world)
        world.halt()
        member.do("take 2 50")
        world.go_on()
        flow(300)
        other.do("take 3 50")
        member.do("ack all")
        other.do("ack all")


@scenario()
def who_lost_its_line_keeps_what_it_takes_before_it_knows(world):
    """Its greeting is not answered in time, then it is silent for more than a lease, and then its greeting is not answered again."""
    make(world, lease_ms=400)
    publish(world, 60)
    member, other = joined(world), joined(world)
    for _ in range(2):
        restart(world)
        greet_who_does_not_answer(world, member, "take 1 20")
        member.do("ack all")
        flow(1000)
        greet_who_does_not_answer(world, member, "take 3 20")
        flow(150)
        member.do("renew all", "ack all")
        other.do("take 3 20", "ack all")


@scenario(disk="24M")
def who_works_over_a_stop_on_a_full_disk_keeps_what_it_is_given(world):
    """The page is the same behind it, and its lines are somebody's."""
    make(world, lease_ms=300)
    publish(world, 12000, 100)
    members = [joined(world) for _ in range(3)]
    for _ in range(2):
        world.disk.fill()
        flow(100)
        for member in members:
            for _ in range(60):
                member.ask("take 8 20")
                member.ask("renew first")
                member.ask("ack all")
        world.stop()
        world.disk.make_room()
        world.start()
        for member in members:
            member.finish()


@scenario()
def four_renewals_between_two_looks_count(world):
    """The lease is a second: the broker looks each 125 ms. Four renewals, and then nothing for most of a lease."""
    make(world, lease_ms=1000)
    member, other = joined(world), joined(world)
    publish(world, 200)
    member.do("take 12 500")
    other.ask("work 1000 600000")
    for _ in range(3):
        flow(130)
        member.do(*["renew all"] * 4)
        flow(960)
        member.do("renew all")
    member.do("ack all")


@scenario()
def a_stale_nack_gives_up_nobody_elses_claim(world):
    """Who was halted over a broker's death has lost its line to another."""
    make(world, lease_ms=200)
    publish(world, 1)
    stale = joined(world)
    stale.do("take 1 500")
    stale.stop()
    restart(world)
    flow(1200)  # the line is free
    fresh = joined(world)
    fresh.do("take 1 1000")
    stale.go_on()
    stale.do("nack all")
    third = joined(world)
    third.do("take 1 100")
    fresh.do("ack all")


@scenario(reply_ms=300)
def what_is_pending_over_a_wait_for_the_broker_is_still_ones_own(world):
    """Claimed again while the store is needed and the broker does not answer; then its member is halted beyond the lease."""
    make(world, lease_ms=1000)
    publish(world, 6000, 400)
    first, second = joined(world), joined(world)
    first.do("take 1 500")
    second.do("work 5999 500")  # far ahead: to read the first message it needs the store
    world.halt()
    first.do("nack all")
    second.do("take 1 100")
    second.stop()
    world.go_on()
    first.do("close")
    flow(1500)
    third = joined(world)
    third.do("take 1 1000")
    second.go_on()
    second.do("take 1 200")
    third.do("ack all")


@scenario(reply_ms=300)
def what_nobody_was_given_is_no_delivery(world):
    """Claimed again while the store is needed and the broker does not answer; then its member leaves, or lets its lease run out."""
    administrator = make(world, most=2, letters=LETTERS)
    publish(world, 6000, 400)
    first, others = joined(world), [joined(world), joined(world)]
    first.do(f"take 1 {PATIENCE_MS}")
    others[0].do(f"work 5998 {PATIENCE_MS}")  # far ahead: to read the first message they need the store
    others[1].do(f"work 1 {PATIENCE_MS}")
    for other, end in zip(others, ("close", "counters")):
        world.halt()
        if other is others[0]:
            first.do("nack all")
        other.do("poll")
        world.go_on()
        other.do(end)
    shorten_the_lease(world, administrator, 300)
    first.do(f"take 1 {PATIENCE_MS}")
    must(" deliveries=2 " in first.last_line(), "deliveries", f"the second time: {first.last_line()}")
    first.do("ack all")


@scenario()
def an_old_claim_of_ones_own_is_not_the_new_one(world):
    """Two times the same member: what it says of the first time does not count for the second."""
    make(world, lease_ms=200)
    publish(world, 2)
    member, other = joined(world), joined(world)
    member.do("take 1 500")
    flow(400)
    member.do("take 1 500", "take 1 500", "renew 1 old", "nack 1 old", "ack 1 old")
    other.do("take 1 100")
    member.do("ack all")


# ---- stops ----

@scenario(disk="24M")
def what_was_acked_before_a_stop_on_a_full_disk_is_done(world):
    make(world, lease_ms=2000)
    publish(world, 100)
    member = joined(world)
    member.do("take 20 500")
    flow(300)  # its record has them
    world.disk.fill()
    member.do(*["ack first"] * 10)
    world.stop()
    world.disk.make_room()
    world.start()
    member.do("work 200 500")


@scenario(disk="24M")
def a_stop_on_a_full_disk_is_told(world):
    make(world, lease_ms=2000)
    publish(world, 100)
    member = joined(world)
    member.do("take 20 500")
    flow(300)
    world.disk.fill()
    member.do(*["ack first"] * 10)
    code = world.stop()
    world.disk.make_room()
    world.start()
    must(code != 0, "stop", "the group's record could not be written, and the broker says that all is well")


@scenario(disk="24M")
def who_waits_while_a_broker_stops_on_a_full_disk_is_told_what_is_named(world):
    """Several times, while messages come in and a member waits."""
    make(world, lease_ms=500)
    member, reader = joined(world), joined(world, "auto")
    publisher = opened(world, 1, wait_ms=20)
    for _ in range(4):
        publisher.ask("batch 3000 1000")
        member.ask("work 1000000 600000")
        reader.ask("work 1000000 600000")
        flow(30)
        world.disk.fill()
        publisher.finish()
        publisher.ask("batch 3000 1000")
        world.stop()
        flow(20)
        world.disk.make_room()
        world.start()
        publisher.finish()
        member.do("take 5 200", "ack all")


@scenario(disk="24M")
def who_reads_the_store_while_a_broker_stops_on_a_full_disk_is_told_what_is_named(world):
    """Far behind, again and again, with a publisher whose messages the disk does not take."""
    administrator = make(world, lease_ms=500)
    publish(world, 3000, 2000)
    members = [joined(world), joined(world, "auto")]
    publisher = opened(world, 2, wait_ms=20)
    for _ in range(5):
        administrator.do(f"reset {TOPIC} {GROUP} first")
        world.disk.fill()
        publisher.do("batch 500 1000")
        for member in members:
            member.ask("work 1000000 600000")
        flow(10)
        world.stop()
        flow(20)
        world.disk.make_room()
        world.start()
        members[0].do("take 1 100", "ack all")


@scenario()
def what_is_acked_while_a_broker_stops_never_comes_again(world):
    """Member after member acks as fast as it can, over stop after stop."""
    make(world, lease_ms=2000)
    publish(world, 8000, 40)
    members = [joined(world) for _ in range(2)]
    for _ in range(5):
        for member in members:
            member.ask("work 1000000 600000")
        flow(30)
        world.stop()
        world.start()


# ---- resets of a group ----

@scenario()
def what_a_member_held_over_a_reset_counts_no_more(world):
    """Whether the new page has come as far, or not."""
    administrator = make(world)
    publish(world, 40)
    member, other = joined(world), joined(world)
    member.do("take 8 500")
    administrator.do(f"reset {TOPIC} {GROUP} first")
    member.do("ack first", "take 2 500", "nack 4 old", "renew 5 old", "ack 6 old", "ack 1 old")
    other.do("work 5 500")
    administrator.do(f"reset {TOPIC} {GROUP} 20")
    member.do("ack 7 old", "ack 2", "take 1 500", "ack 8 old")


@scenario()
def who_acks_first_behind_a_reset_and_a_death_skips_nothing(world):
    """It learns from its acks that all begins anew, and reads from there."""
    administrator = make(world, lease_ms=2000)
    publish(world, 40)
    member = joined(world)
    member.do("take 8 500")
    administrator.do(f"reset {TOPIC} {GROUP} first")
    restart(world)
    for sequence in (1, 2, 3):
        flow(50)
        member.do(f"ack {sequence} old")
    member.do("take 4 500", "ack all")


@scenario()
def a_reset_to_the_end_ends_everything(world):
    administrator = make(world, lease_ms=300)
    publish(world, 40)
    member = joined(world)
    member.do("take 8 500")
    administrator.do(f"reset {TOPIC} {GROUP} end")
    member.do("ack all")
    publish(world, 10, number=2)
    member.do("work 10 500")


# ---- at most once ----

@scenario()
def at_most_once_is_at_most_once_over_everything(world):
    make(world, lease_ms=200)
    publisher = publish(world, 2000, 200, stays=True)
    members = [joined(world, "none") for _ in range(3)]
    for end in (World.kill, World.stop, World.kill):
        for member in members:
            member.ask("work 1000000 600000")
        publisher.ask("batch 500 200")
        flow(30)
        members[0].kill()
        end(world)
        world.start()
        members[0] = joined(world, "none")


# ---- who sleeps ----

def switches(member):
    """How often it has gone to sleep by itself."""
    with open(f"/proc/{member.process.pid}/status") as file:
        lines = dict(line.split(":", 1) for line in file)
    return int(lines["voluntary_ctxt_switches"])


@scenario()
def one_of_those_who_sleep_wakes_for_a_message(world):
    make(world)
    members = [joined(world) for _ in range(8)]
    publisher = opened(world, 1)
    for member in members:
        member.ask("work 1000 600000")
    flow(300)
    before, start = sum(switches(member) for member in members), time.monotonic()
    for _ in range(100):
        publisher.do("publish 1 100")
        flow(5)
    woken = sum(switches(member) for member in members) - before
    idle = len(members) * (time.monotonic() - start) / 0.02  # so long a worker waits at a time
    must(woken < 100 * 4 + idle, "woken", f"100 messages woke {len(members)} members {woken} times")
