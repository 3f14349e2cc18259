"""Small schedules of what is counted: how often a message was given out, what becomes of it then, and what is lost."""
import time

import codes
from group_scenarios import (GROUP, LETTERS, PATIENCE_MS, TOPIC, flow, holder, joined, last_call, make, must, one_by_one, publish,
                             publish_away, scenario)
from scenarios import restart

# ---- deliveries, and dead letters ----

@scenario()
def nobody_gets_a_message_more_often_than_the_limit(world):
    """What is in flight over an orderly stop was given out once more."""
    make(world, most=3, lease_ms=500)
    publish(world, 5)
    member = joined(world)
    for _ in range(5):
        member.do("take 5 400")
        world.stop()
        world.start()
        member.do("take 0 0")


@scenario()
def what_reaches_the_limit_is_a_letter(world):
    make(world, most=2, lease_ms=300, letters=LETTERS)
    publish(world, 12)
    member = joined(world)
    member.do("take 12 500", "nack all", "take 12 500", "nack first", "ack last", "nack all")
    restart(world)
    member.do("work 12 500")


@scenario()
def what_reaches_the_limit_over_a_stop_is_a_letter(world):
    make(world, most=1, lease_ms=300, letters=LETTERS)
    publish(world, 12)
    member = joined(world)
    member.do("take 12 500")
    world.stop()
    world.start()
    member.do("work 12 500")


@scenario()
def a_dead_message_cannot_be_acked(world):
    """By who had it last, and too long."""
    make(world, most=1, lease_ms=150, letters=LETTERS)
    publish(world, 4)
    member = joined(world)
    member.do("take 4 500")
    flow(400)
    member.do("ack all")


@scenario()
def the_first_message_of_all_is_lost_once(world):
    """Removed while a member has it, who gives it back and goes on where the other members are by then."""
    make(world, keep="1M")
    publish(world, 10)
    member, other = joined(world), joined(world)
    member.do(f"take 1 {PATIENCE_MS}")
    publish_away(world)
    other.do("work 100000 500")
    other.stop()
    member.do("nack first", "take 1 500")
    publish(world, 3, number=3)
    member.do(f"take 3 {PATIENCE_MS}", "ack all", "counters")
    lost = last_call(member, "counters").told["lost"]
    must(int(lost) == 1, "counters", f"{lost} messages are lost to a member that was given the first one, and then the last ones")


@scenario()
def a_message_that_was_dropped_cannot_be_acked(world):
    """There is no topic for letters: who had it is not told that it is done."""
    make(world, most=1, lease_ms=150)
    publish(world, 4)
    member = joined(world)
    member.do("take 4 500")
    flow(400)
    member.do("ack all")


@scenario(disk="24M")
def who_waits_does_not_wait_for_letters(world):
    """Their topic has no room, and that is nobody's business but theirs."""
    world.start()
    world.create(TOPIC)
    world.hermes("topic", "create", LETTERS, "--shared", "--window", "256K", "--segment", "1M", "--when-full", "wait")
    make(world, most=1, lease_ms=150, letters=LETTERS)
    publish(world, 4000, 1000)
    member, other = joined(world), joined(world)
    other.do("take 2500 500")
    world.disk.fill()
    for _ in range(40):
        member.do("take 1 28")
    world.disk.make_room()


@scenario()
def who_waits_does_not_wait_for_letters_while_no_broker_is_there(world):
    make(world, most=1, lease_ms=2000, letters=LETTERS)
    publish(world, 10)
    member = joined(world)
    member.do("take 8 500", "nack first", "take 1 300", "nack first", "take 1 300")
    world.kill()
    member.do("nack first", "take 1 28", "nack first", "take 1 28")
    world.start()


@scenario()
def who_waits_does_not_wait_for_a_letters_topic_that_is_gone(world):
    make(world, most=1, lease_ms=150, letters=LETTERS)
    world.hermes("topic", "delete", LETTERS)
    publish(world, 10)
    member = joined(world)
    member.do("take 10 500")
    flow(300)
    for _ in range(5):
        member.do("take 1 28")
    world.hermes("topic", "create", LETTERS, "--shared")


# ---- what is lost ----

def told_lost(world, administrator):
    administrator.do(f"describe {TOPIC} {GROUP}")
    return int(last_call(administrator, "describe").told["lost"])


def removed(world, let_go, before=0, acked=0):
    """Of so many that were given to somebody, so many are done; then all is removed that was there. The gap is counted
    when it is found, and not before somebody reads on."""
    administrator = make(world, keep="1M", lease_ms=500)
    member = joined(world)
    if before:
        publish(world, before, 200)
        member.do(f"take {before} {PATIENCE_MS}", *["ack last"] * acked)
    first = publish_away(world)
    member = let_go(world, member) or member
    due, end = first - 1 - acked, time.monotonic() + PATIENCE_MS / 1000
    while told_lost(world, administrator) < due and time.monotonic() < end:
        member.do("take 1 100")
    member.do("take 1 600")
    lost = told_lost(world, administrator)
    must(lost == due, "counters", f"{lost} messages are lost, it says, and {due} were removed before anybody was done with them")


@scenario()
def what_was_removed_before_a_first_read_is_counted(world):
    removed(world, lambda world, member: member.do("take 1 100"))


@scenario()
def what_was_removed_behind_a_read_is_counted(world):
    removed(world, lambda world, member: member.do("take 1 100"), before=10, acked=10)


@scenario()
def a_gap_is_counted_when_it_is_found(world):
    """By who is told HERMES_EGONE, not by who is given the next message."""
    administrator = make(world, keep="1M", lease_ms=500)
    member = joined(world)
    publish(world, 10, 200)
    one_by_one(member, f"work 10 {PATIENCE_MS}", "poll")
    first = publish_away(world)
    end = time.monotonic() + PATIENCE_MS / 1000  # the broker has to open what says how much is gone
    while last_call(member, "take").rc == 0 and time.monotonic() < end:
        member.do("poll")
    must(codes.name(last_call(member, "take").rc) == "EGONE", "code", "who is told of anything behind a gap is not told of it")
    lost = told_lost(world, administrator)
    must(lost == first - 11, "counters", f"a member was told EGONE, and {lost} messages are lost, it says; {first - 11} are")


@scenario()
def what_was_removed_while_it_was_held_is_counted_once(world):
    """And is not said to have been given out again."""
    def let_go(world, member):
        member.do("close")
        other = joined(world)
        other.do("take 3 700")
        flow(1000)
        other.do("work 100000 700")
        return other
    removed(world, let_go, before=200, acked=2)


@scenario()
def what_was_removed_is_counted_once_for_all_members(world):
    """Several find the same gap."""
    make(world, keep="1M", lease_ms=500)
    members = [joined(world) for _ in range(3)]
    publish(world, 60, 200)
    for member in members:
        member.do("work 20 200")
    for number in (2, 3):
        publish_away(world, number)
        for member in members:
            member.ask("work 6000 300")
        for member in members:
            member.finish()


def over_two_lives(world, durable):
    """A topic in memory alone: what was overwritten is found when its broker stops, and the next life begins with 1."""
    make(world, durable=durable, durability="memory")
    publish_some = ["open t 1000 5000", "batch 100 1000", "wait committed 1000"]
    publisher = world.publisher(1)
    publisher.do(*publish_some)
    member = holder(world) if durable else joined(world)
    member.do("take 90 500", "ack all")
    publisher.do(*["batch 100 1000"] * 5)
    member.do("poll")  # it is told of the gap
    world.stop()
    world.start()
    publisher.do("wait committed 2000", "batch 20 1000", "wait committed 1000", "close")
    member.do("take 10 500", "counters", "close", "disconnect")
    world.groups.clear()  # what its messages are is nobody's to say, behind that
    lost = int(last_call(member, "counters").told["lost"])
    must(lost <= 720, "counters", f"{lost} messages are lost to a member, it says, and 720 were published in all")


@scenario()
def what_a_member_lost_is_no_more_than_there_was(world):
    over_two_lives(world, False)


@scenario()
def what_a_holder_lost_is_no_more_than_there_was(world):
    over_two_lives(world, True)
