"""Small schedules that always do the same, each named after what must hold."""
from world import Violation, World

SCENARIOS = {}
TOPIC = "t"


def scenario(**options):
    """options: of the World."""
    def register(schedule):
        SCENARIOS[schedule.__name__.replace("_", "-")] = (schedule, options)
        return schedule
    return register


def begin(world, **options):
    world.start()
    world.create(TOPIC, **options)


def opened(world, number, wait_ms=1000, try_ms=5000, more=""):
    publisher = world.publisher(number)
    publisher.do(f"open {TOPIC} {wait_ms} {try_ms} {more}")
    return publisher


def come_and_go(world, number, count=3, size=100):
    """Another publisher has the topic for a while."""
    publisher = opened(world, number)
    publisher.do(f"publish {count} {size}", "wait committed 5000", "close", "disconnect")
    return publisher


def restart(world):
    world.kill()
    world.start()


def lose_session(world, publisher):
    """The connection ends behind the client's back: the broker takes the session for over. Ring and window still work."""
    publisher.do("lose")
    world.wait_until(lambda: world.info(TOPIC)["publishers"] == 0, "publisher stays", "the session is over, its publisher not")


def ask_in_vain(world, publisher):
    """The broker does not answer in time, and goes on then: the session is as it was."""
    world.halt()
    publisher.do("ping")
    world.go_on()
    if world.info(TOPIC)["publishers"] != 1:
        raise Violation("session", "a request was answered late, and the session is over")


# ---- a shared topic's publisher leaves ----

def leave_a_full_log(world, leave):
    """A subscriber that is waited for does not read: window and ring fill up. Then the publisher leaves."""
    begin(world, shared=True, push_back=True)
    reader = world.subscriber(TOPIC)
    reader.do(f"open {TOPIC} first 5000 push_back")
    publisher = opened(world, 1, wait_ms=50)
    publisher.do("batch 300 600", "batch 300 600", "batch 100 600", "publish 5 600")
    leave(publisher)
    world.wait_until(lambda: world.info(TOPIC)["publishers"] == 0, "publisher stays", "a publisher that left is still counted")
    reader.ask("read 1000000 2000 0")


@scenario()
def what_a_publisher_leaves_in_a_full_log_goes_in_when_there_is_room(world):
    leave_a_full_log(world, lambda publisher: publisher.do("close"))


@scenario()
def what_a_publisher_leaves_after_a_timed_out_wait_goes_in(world):
    leave_a_full_log(world, lambda publisher: publisher.do("wait committed 100", "close"))


@scenario()
def what_a_killed_publisher_leaves_in_a_full_log_goes_in(world):
    leave_a_full_log(world, lambda publisher: publisher.kill())


@scenario(config="[topic]\nring = 2M\n")
def closing_a_large_ring_loses_nothing(world):
    begin(world, shared=True)
    publisher = world.publisher(1)
    for _ in range(8):  # it closes before the persister is through: most times
        publisher.do(f"open {TOPIC} 1000 5000", "batch 2000 600", "close")


@scenario()
def closing_on_a_full_disk_loses_nothing(world):
    begin(world, shared=True)
    publisher = opened(world, 1, wait_ms=50)
    publisher.do("publish 10 100", "wait durable 5000")
    world.disk.fill()
    publisher.do(*["batch 300 2000"] * 20, "close")
    world.disk.make_room()


@scenario()
def who_closes_while_the_broker_stands_is_told_what_is_not_in(world):
    """It stands, and dies then: what only the ring had is lost."""
    begin(world, shared=True)
    publisher = opened(world, 1, wait_ms=50)
    publisher.do("publish 10 100", "wait committed 5000")
    world.halt()
    publisher.do("batch 20 100", "set_wait 0", "close")
    restart(world)


@scenario()
def who_closes_without_a_broker_is_told_what_is_not_in(world):
    """What waits for a broker is lost with who published it."""
    begin(world)
    publisher = opened(world, 1, wait_ms=50)
    publisher.do("publish 10 100", "wait durable 5000")
    world.stop()
    publisher.do("batch 20 100", "publish 1 100", "close")
    world.start()


@scenario()
def who_closes_while_another_broker_comes_is_not_told_that_it_has_the_ring(world):
    """The ring is looked at before the next broker is there, and that answers before its publisher is gone."""
    begin(world, shared=True)
    publisher = opened(world, 1, wait_ms=50)
    publisher.do("publish 10 100", "wait committed 5000")
    world.halt()
    publisher.do("batch 20 100")
    world.kill()
    publisher.do("lose", "set_wait 0", "stop_at_connect")
    publisher.ask("close")
    publisher.wait_until_stopped()
    world.start()
    publisher.go_on()
    publisher.finish()


# ---- epochs ----

def idle_over_a_death(world, successors):
    begin(world)
    first = opened(world, 1)
    first.do("publish 5 100", "wait durable 5000")
    restart(world)
    for number in range(successors):
        come_and_go(world, 2 + number)
    first.do("publish 1 100", "wait durable 1000", "publish 3 100", "confirmed", "close")


@scenario(config="[broker]\ngrace_ms = 50\n")
def a_publisher_idle_over_a_brokers_death_is_fenced_by_one_successor(world):
    idle_over_a_death(world, 1)


@scenario(config="[broker]\ngrace_ms = 50\n")
def a_publisher_idle_over_a_brokers_death_is_fenced_by_two_successors(world):
    idle_over_a_death(world, 2)


def away_for_a_hundred_epochs(world, *commands, **options):
    """More than the status page remembers: the broker is asked what became of the publisher's own."""
    begin(world, **options)
    first = opened(world, 1, wait_ms=50)
    first.do("publish 5 100", "batch 20 100")
    lose_session(world, first)
    other = world.publisher(2)
    for _ in range(100):
        other.do(f"open {TOPIC} 1000 5000", *commands, "close")
    first.do("confirmed", "publish 1 100", "wait committed 1000", "publish 3 100", "confirmed", "close")


@scenario()
def a_publisher_that_was_away_for_a_hundred_epochs_is_fenced(world):
    away_for_a_hundred_epochs(world, "publish 2 100")


@scenario()
def a_publisher_that_was_away_for_a_hundred_empty_epochs_goes_on(world):
    away_for_a_hundred_epochs(world)


@scenario()
def a_producer_that_was_away_for_a_hundred_others_loses_nothing(world):
    away_for_a_hundred_epochs(world, "publish 2 100", shared=True)


@scenario(config="[broker]\ngrace_ms = 50\n")
def what_waits_over_a_hundred_epochs_is_told_of(world):
    """Committed to a window that was sealed meanwhile."""
    begin(world)
    first = opened(world, 1, wait_ms=50)
    first.do("publish 5 100", "wait durable 5000", "claim 100")
    restart(world)
    other = world.publisher(2)
    for _ in range(100):
        other.do(f"open {TOPIC} 1000 5000", "publish 2 100", "close")
    first.do("commit", "wait committed 1000", "publish 3 100", "confirmed", "close")


@scenario(config="[broker]\ngrace_ms = 50\n", disk="128M")
def a_batch_that_is_fenced_says_how_many_are_in(world):
    """Stopped in the middle of a batch, over a broker's death and a successor's coming."""
    begin(world, window="1M")
    first = opened(world, 1)
    first.do("publish 5 100", "wait durable 5000")
    for number in range(3):
        for _ in range(20):
            first.ask("batch 4000 200")
        first.wait_for_log("batch number")
        first.stop()
        restart(world)
        come_and_go(world, 2 + number)
        first.go_on()
        first.do("close", "open t 1000 5000")


@scenario(disk="8M")
def a_batch_that_times_out_on_a_sync_topic_says_how_many_are_in(world):
    begin(world, durability="sync")
    publisher = opened(world, 1, wait_ms=300)
    publisher.do("publish 5 100")
    world.halt()
    publisher.do("batch 20 100")
    world.go_on()


@scenario()
def commit_tells_the_sequence_where_the_message_stands(world):
    """A claim is open over an orderly stop; when it is committed others have published."""
    begin(world)
    first = opened(world, 1, wait_ms=5000)
    first.do("publish 10 100", "claim 100")
    world.stop()
    world.start()
    come_and_go(world, 2, 10)
    first.do("commit", "wait committed 5000", "publish 2 100", "close")


# ---- rings and lines ----

@scenario()
def a_line_of_the_journal_is_not_its_successors(world):
    begin(world, shared=True)
    first = opened(world, 1)
    first.do("batch 1000 100", "wait committed 5000", "close", "disconnect")
    second = opened(world, 2)
    world.halt()
    second.do("publish 5 100")
    world.kill()
    world.start()
    second.do("wait committed 5000", "close")


def go_on_after(world, harm, between=lambda world: None, **options):
    """A publisher whose session was harmed while it was idle."""
    begin(world, **options)
    publisher = opened(world, 1)
    publisher.do("publish 100 100", "wait durable 5000")
    harm(world, publisher)
    between(world)
    publisher.do("publish 100 100", "confirmed", "close")


@scenario()
def a_publisher_whose_session_was_lost_loses_nothing(world):
    go_on_after(world, lose_session, shared=True)


@scenario()
def an_exclusive_publisher_whose_session_was_lost_loses_nothing(world):
    go_on_after(world, lose_session)


@scenario()
def a_publisher_whose_session_was_lost_is_fenced_by_a_successor(world):
    go_on_after(world, lose_session, lambda world: come_and_go(world, 2))


@scenario()
def a_claim_that_is_open_when_the_session_is_lost_goes_in(world):
    begin(world)
    publisher = opened(world, 1)
    publisher.do("publish 5 100", "claim 100")
    lose_session(world, publisher)
    publisher.do("commit", "publish 5 100", "confirmed", "close")


def leave_while_it_opens(world, **options):
    """Its session was lost, it asks to have the topic again, and is closed before it is answered."""
    begin(world, **options)
    publisher = opened(world, 1, wait_ms=20)
    publisher.do("publish 5 100", "lose")
    world.halt()
    publisher.do("poll", "close")
    world.go_on()
    world.wait_until(lambda: world.info(TOPIC)["publishers"] == 0, "publisher stays", "nobody has a publisher, and the topic has one")


@scenario()
def who_leaves_while_the_topic_is_opened_for_it_has_left(world):
    leave_while_it_opens(world)


@scenario()
def who_leaves_while_a_ring_is_made_for_it_has_left(world):
    leave_while_it_opens(world, shared=True)


@scenario()
def a_publisher_whose_line_another_took_repeats_nothing(world):
    """What was confirmed before the session was lost."""
    begin(world, shared=True)
    first = opened(world, 1)
    first.do("publish 100 100", "wait durable 5000")
    lose_session(world, first)
    other = opened(world, 2)
    other.do("publish 5 100", "wait committed 5000")
    first.do("wait committed 2000", "publish 5 100", "wait committed 2000", "close")


@scenario(reply_ms=300)
def a_request_that_nobody_answers_costs_no_session(world):
    go_on_after(world, ask_in_vain, shared=True)


@scenario()
def a_broker_stopped_beyond_every_time_out_loses_nothing(world):
    """The same without any help: the client waits its ten seconds."""
    go_on_after(world, ask_in_vain, shared=True)


@scenario()
def a_publisher_whose_session_was_lost_is_persisted(world):
    """Of an exclusive topic: it writes the window itself, and somebody must know."""
    begin(world, window="1M")
    publisher = opened(world, 1)
    publisher.do("publish 64 100", "wait durable 5000")
    lose_session(world, publisher)
    publisher.do("batch 4000 32", "batch 2400 32")
    world.wait_persisted(TOPIC)


# ---- deaths and stops ----

@scenario()
def what_a_broker_takes_up_is_persisted_with_nobody_there(world):
    """Broker and publisher die together, with messages in the window alone."""
    begin(world, window="1M")
    publisher = opened(world, 1)
    publisher.do("publish 5 100", "wait durable 5000")
    world.halt()
    publisher.do("publish 100 100")
    publisher.kill()
    restart(world)
    world.wait_persisted(TOPIC)


@scenario()
def a_reader_whose_seek_failed_reads_on(world):
    """The broker is away, and the window has more than its epoch: what came behind the stop."""
    begin(world)
    publisher = opened(world, 1, wait_ms=20)
    publisher.do("batch 2000 600", "wait durable 5000")
    reader = world.subscriber(TOPIC)
    reader.do(f"open {TOPIC} first 5000", "read 2000 200 0")
    world.stop()
    publisher.do("batch 40 600")
    reader.do("seek first")
    world.start()
    come_and_go(world, 2, 30, 5000)
    reader.do("read 5000 200 0")


@scenario(disk="128M")
def a_stop_on_a_full_disk_repeats_nothing(world):
    """What only shared memory has the next broker takes over; who published it must not send it again. It has
    to commit between two steps of the stop: several times, one of them will do."""
    begin(world, window="4M")
    publisher = opened(world, 1, wait_ms=5000)
    for _ in range(6):
        publisher.do("publish 10 100", "wait durable 5000")
        world.disk.fill()
        while not world.info(TOPIC)["full"]:
            publisher.do("batch 500 1000")
        publisher.ask("publish 8000 32")  # there is room for them in the window
        publisher.wait_for_log("publish number")
        world.stop()
        world.disk.make_room()
        world.start()
        publisher.do("wait committed 5000", "close", "open t 5000 5000")


@scenario()
def who_is_told_in_before_a_memory_topic_ends_is_told_the_truth(world):
    """It ends with an orderly stop and begins anew: what was committed before does not go out a second time."""
    begin(world, durability="memory", window="4M")
    publisher = opened(world, 1, wait_ms=100)
    reader = world.subscriber(TOPIC)
    reader.do(f"open {TOPIC} first 5000")
    for _ in range(3):
        publisher.do("publish 50 100", "batch 20 100")
        world.stop()
        publisher.do("batch 20 100", "publish 1 100")
        world.start()
        publisher.do("wait committed 5000", "publish 5 100")
        reader.do("read 5000 200 0")


# ---- starts that fail ----

def failed_start(world, how):
    begin(world, durability="memory", window="1M")
    publisher = opened(world, 1)
    publisher.do("publish 100 100", "wait committed 5000")
    world.kill()
    world.fail_to_start(how)
    world.start()
    publisher.do("publish 3 100", "wait committed 5000", "close")


@scenario()
def a_socket_that_cannot_be_bound_costs_a_memory_topic_nothing(world):
    failed_start(world, "socket")


@scenario()
def too_few_descriptors_cost_a_memory_topic_nothing(world):
    failed_start(world, "few-descriptors")


@scenario()
def a_busy_lock_costs_a_memory_topic_nothing(world):
    failed_start(world, "busy-lock")


@scenario()
def a_definition_unreadable_once_costs_a_memory_topic_nothing(world):
    failed_start(world, "topic-conf")


def not_served_for_a_while(world, end, **options):
    """A broker that could not load the topic; the next one does. Who had it goes on."""
    begin(world, **options)
    publisher = opened(world, 1, wait_ms=50)
    reader = world.subscriber(TOPIC)
    reader.do(f"open {TOPIC} first 5000")
    publisher.do("batch 1000 600", "wait durable 5000")
    reader.do("read 1000 1000 0")
    end(world)
    undo = world.spoil_topic_conf()
    world.start()
    reader.do("read 5 100 0", "seek first", "read 5 100 0", "seek sequence 1", "read 5 100 0")
    publisher.do("publish 1 100", "batch 3 100")
    end(world)
    undo()
    world.start()
    publisher.do("wait committed 5000", "publish 5 100", "close")
    reader.do("seek first", "read 1009 1000 0")


@scenario()
def who_has_a_topic_that_is_not_served_behind_a_stop_goes_on(world):
    not_served_for_a_while(world, World.stop)


@scenario()
def who_shares_a_topic_that_is_not_served_behind_a_stop_goes_on(world):
    not_served_for_a_while(world, World.stop, shared=True)


@scenario()
def who_has_a_topic_that_is_not_served_behind_a_death_goes_on(world):
    not_served_for_a_while(world, World.kill)


@scenario()
def who_shares_a_topic_that_is_not_served_behind_a_death_goes_on(world):
    not_served_for_a_while(world, World.kill, shared=True)


# ---- waiting ----

def not_busy(worker, what):
    share = worker.busy_share(1.0)
    if share > 0.3:  # who waits takes a few hundredths; who spins all that a busy machine has left
        raise Violation("spin", f"{worker.name} takes {share:.0%} of a core while {what}")


@scenario()
def a_publisher_whose_broker_is_away_does_not_spin(world):
    begin(world, shared=True)
    publisher = opened(world, 1, wait_ms=20000)
    publisher.do("publish 10 100")
    world.kill()
    publisher.ask("batch 4000 600")
    publisher.wait_for_log("> ")
    not_busy(publisher, "its broker is away")
    world.start()
    publisher.finish()


@scenario()
def who_waits_for_a_broker_that_is_away_does_not_spin(world):
    begin(world, shared=True)
    publisher = opened(world, 1, wait_ms=20000)
    world.kill()
    publisher.do("publish 10 100")
    publisher.ask("wait committed 20000")
    publisher.wait_for_log("> ")
    not_busy(publisher, "it waits, and its broker is away")
    world.start()
    publisher.finish()


@scenario()
def a_subscriber_whose_broker_is_away_does_not_spin(world):
    """And needs it: for the store, and after an orderly stop."""
    begin(world)
    publisher = opened(world, 1, wait_ms=20)
    publisher.do("batch 2000 600", "wait durable 5000")
    readers = [world.subscriber(f"{TOPIC}-{number}") for number in range(2)]
    readers[0].do(f"open {TOPIC} first 5000")
    readers[1].do(f"open {TOPIC} end 5000")
    world.stop()
    for reader in readers:
        reader.ask("read 5000 5000 0")
        not_busy(reader, "its broker is away")
    world.start()
    come_and_go(world, 2)


# ---- who waits by the descriptor ----

def woken(world, end, **options):
    """It sleeps until it is woken, over the end of a broker; only what is published behind that wakes it."""
    begin(world, **options)
    publisher = opened(world, 1)
    reader = world.subscriber(TOPIC)
    reader.do(f"open {TOPIC} first 5000", "armed")
    publisher.do("publish 5 100", "wait committed 5000")
    reader.do("until 5 5000")
    reader.ask("until 12 20000")
    end(world)
    world.start()
    publisher.do("publish 5 100", "wait committed 5000", "close")
    come_and_go(world, 2, 2)
    reader.finish()


@scenario()
def who_waits_by_the_descriptor_is_woken_over_a_brokers_death(world):
    woken(world, lambda world: world.kill())


@scenario()
def who_waits_by_the_descriptor_is_woken_over_a_brokers_stop(world):
    woken(world, lambda world: world.stop())


@scenario()
def who_waits_by_the_descriptor_for_a_shared_topic_is_woken(world):
    woken(world, lambda world: world.kill(), shared=True)
