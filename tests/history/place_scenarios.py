"""Small schedules of durable subscriptions: where a place stands, whose it is, and what of it counts."""
from group_scenarios import GROUP, PATIENCE_MS, PLACE, TOPIC, flow, holder, joined, make, must, one_by_one, publish, publish_away, scenario
from scenarios import restart
from world import World

@scenario(config="[broker]\ngrace_ms = 200\n")
def who_comes_after_holder_and_broker_died_together_is_let_in(world):
    make(world, durable=True)
    publish(world, 10)
    first = holder(world)
    first.do("take 3 500", "ack 2")
    world.halt()
    first.kill()
    restart(world)
    second = holder(world)
    must(second.is_open(), "not let in", "nobody has the durable subscription, and it is busy: " + second.last_line())
    second.do("work 10 500")


@scenario(config="[broker]\ngrace_ms = 1000\n")
def who_acks_keeps_its_place_over_a_brokers_death(world):
    """It asks for no message for longer than the broker waits for it."""
    make(world, durable=True)
    publish(world, 20)
    first = holder(world)
    first.do(f"take 16 {PATIENCE_MS}")
    restart(world)
    for sequence in range(1, 17):
        flow(80)
        first.do(f"ack {sequence}")
    second = holder(world, try_ms=100)
    must(not second.is_open(), "two holders", "another was let in while the holder acks one message after the other")
    acks = [call for call in first.calls() if call.what == "ack"]
    must(all(call.rc == 0 for call in acks), "expired early", f"{sum(call.rc != 0 for call in acks)} acks did not count")


@scenario(config="[broker]\ngrace_ms = 200\n")
def what_is_acked_while_a_broker_stops_is_done(world):
    """The acks of the first messages come while it is away."""
    make(world, durable=True)
    publish(world, 10)
    member = holder(world)
    member.do("take 5 500")
    world.stop()
    member.do(*[f"ack {sequence}" for sequence in range(1, 6)])
    world.start()
    member.do("work 10 500")


@scenario()
def what_was_given_before_a_reset_cannot_be_acked(world):
    administrator = make(world, durable=True)
    publish(world, 10)
    member = holder(world)
    member.do("take 4 500")
    administrator.do(f"reset {TOPIC} {PLACE} first")
    member.do("take 1 500", "ack 4 old", "close")
    member = holder(world)
    member.do("work 10 500")


@scenario()
def a_reset_between_two_acks_counts(world):
    """And who acks without having looked."""
    administrator = make(world, durable=True)
    publish(world, 10)
    member = holder(world)
    member.do("take 4 500", "ack 1")
    administrator.do(f"reset {TOPIC} {PLACE} first")
    member.do("ack 4", "work 10 500")


@scenario()
def an_ack_of_what_is_done_changes_nothing(world):
    make(world, durable=True)
    publish(world, 10)
    member = holder(world)
    member.do("take 5 500", "ack 5", "ack 1", "close")
    member = holder(world)
    member.do("work 10 500")


@scenario()
def acks_of_a_durable_subscription_in_any_order_leave_the_last(world):
    """Over deaths and stops of the broker."""
    make(world, durable=True)
    publish(world, 40)
    member = holder(world)
    for end in (World.kill, World.stop, World.kill):
        member.do("take 8 500", "ack any", "ack any", "ack any")
        end(world)
        world.start()
    member.do("work 100 500")


@scenario()
def who_acks_first_behind_a_reset_of_its_place_and_a_death_skips_nothing(world):
    administrator = make(world, durable=True)
    publish(world, 40)
    member = holder(world)
    member.do("take 8 500")
    administrator.do(f"reset {TOPIC} {PLACE} first")
    restart(world)
    member.do("ack 2", "take 4 500")


@scenario(disk="24M")
def who_acks_late_over_a_stop_on_a_full_disk_is_given_nothing_of_it_again(world):
    """It stands where its place does then, and acks what it was given before."""
    make(world, durable=True)
    publish(world, 20)
    member = holder(world)
    member.do("take 20 500", "ack 2")
    flow(300)  # its record has it
    world.disk.fill()
    member.do("ack 3")
    world.stop()
    world.disk.make_room()
    world.start()
    member.do("take 1 500", "ack 8 old", "take 2 500")


def lose_the_broker_amid_coming_back(world, member):
    """It has a place in the new page already, and nothing to read from yet."""
    member.do("stop_at_window")
    member.ask("take 3 500")
    member.wait_until_stopped()
    world.kill()
    member.go_on()
    member.finish()
    world.start()


@scenario(config="[broker]\ngrace_ms = 50\n")
def who_loses_the_broker_amid_coming_back_to_its_place_is_given_nothing_again(world):
    make(world, durable=True)
    publish(world, 40)
    first = holder(world)
    first.do("take 10 500", "ack 5")
    world.stop()
    world.start()
    second = holder(world)
    second.do("take 20 500", "ack 20", "close")
    lose_the_broker_amid_coming_back(world, first)
    flow(300)  # its place is kept for who it would have been
    first.do("work 40 500")


@scenario()
def who_loses_the_broker_amid_coming_back_to_its_group_skips_nothing(world):
    administrator = make(world, lease_ms=500)
    publish(world, 40)
    member = joined(world)
    member.do("take 20 500", "ack all")
    administrator.do(f"reset {TOPIC} {GROUP} first")
    lose_the_broker_amid_coming_back(world, member)
    member.do("ack all", "work 40 500")


@scenario()
def a_durable_subscription_tells_what_is_lost(world):
    """Removed before it was read, and again over a broker's stop."""
    make(world, durable=True, keep="1M")
    publish(world, 100, 1000)
    member = holder(world)
    member.do("work 10 500")
    publish_away(world)
    one_by_one(member, "counters", "work 100 500", "counters")
    publish_away(world, number=3)
    world.stop()
    world.start()
    one_by_one(member, "counters", "take 2 500", "counters", "work 100 500", "counters", "close", "disconnect")
    publish_away(world, number=4)
    member = holder(world)
    one_by_one(member, "counters", "take 1 500", "counters", "work 100000 500", "counters")
