"""Small schedules in which a publisher must not believe too much: what was in doubt, what was in, whose a line is."""
import glob
import os
import struct
import time

from scenarios import TOPIC, begin, come_and_go, lose_session, opened, restart, scenario
from world import Violation

EPOCHS = 4096  # of which there is a record
LINES = 256  # of a shared topic's status page
WINDOW_HEADER = 4096


@scenario(config="[broker]\ngrace_ms = 50\n")
def who_closes_in_doubt_without_a_broker_is_told(world):
    """Committed to a window that was sealed long ago, so that only a broker knows what became of it; and there is none."""
    begin(world)
    first = opened(world, 1, wait_ms=50)
    first.do("publish 5 100", "wait durable 5000", "claim 100")
    restart(world)
    other = world.publisher(2)
    for _ in range(100):
        other.do(f"open {TOPIC} 1000 5000", "publish 2 100", "close")
    world.kill()
    first.do("commit", "confirmed", "close")
    world.start()


def is_amid_a_batch(world):
    """Has the broker, which stands, put something into the log and not said so in the ring's line? (log/status.h)"""
    status, = glob.glob("/dev/shm/**/*.status", recursive=True)
    page = open(status, "rb").read()
    ring, position, _, line = struct.unpack_from("<QQQI", page, 320)
    told, = struct.unpack_from("<Q", page, 8192 + 64 * line + 24)
    epoch, = struct.unpack_from("<I", page, 72)
    with open(status.replace(".status", f".{epoch}.window"), "rb") as window:
        bytes_of_it = os.fstat(window.fileno()).st_size - WINDOW_HEADER
        window.seek(WINDOW_HEADER + position % bytes_of_it)
        return ring != 0 and told <= position and any(window.read(8))


def halt_amid_a_batch(world, publisher):
    """Mostly; on a machine that is busy with other things it may stand elsewhere each time."""
    end = time.monotonic() + 10
    world.halt()
    while not is_amid_a_batch(world) and time.monotonic() < end:
        world.go_on()
        if publisher.finished(0.001):
            publisher.ask("batch 4000 500")
        world.halt()


@scenario(disk="256M")
def a_broker_that_dies_amid_a_batch_costs_and_repeats_nothing(world):
    """What stands in the log already and what stands in the ring alone are of one batch."""
    begin(world, shared=True, window="4M")
    publisher = opened(world, 1, wait_ms=5000)
    for _ in range(2):
        halt_amid_a_batch(world, publisher)
        restart(world)
        publisher.finish()


@scenario(config="[broker]\ngrace_ms = 50\n")
def a_line_that_is_another_rings_now_is_not_believed(world):
    """A publisher's session was lost, all that its ring held went in, and then so many others came that its line was given
    away before it asked."""
    begin(world, shared=True)
    first = opened(world, 1)
    first.do("publish 10 100", "wait committed 5000", "batch 90 100")
    lose_session(world, first)
    other = world.publisher(2)
    for _ in range(LINES):  # each leaves a line behind, too: nobody says goodbye
        other.do(f"open {TOPIC} 1000 5000", "publish 40 100", "wait committed 5000", "lose", "close")
    first.do("publish 1 100", "wait committed 1000", "confirmed", "close")
    if world.info(TOPIC)["last_sequence"] < LINES * 40:
        raise Violation("schedule", "the others have not published")


@scenario()
def who_greeted_the_next_broker_before_it_published_goes_on(world):
    """The connection says nothing of the ring, which the broker before had."""
    begin(world, shared=True)
    publisher = opened(world, 1)
    publisher.do("publish 10 100", "wait committed 5000")
    restart(world)
    publisher.do("ping", "publish 10 100", "batch 20 100")


@scenario()
def a_commit_behind_the_end_of_its_epoch_is_not_stored(world):
    """It stands in the window, where the next publisher's first message will, and the persister has time to look."""
    begin(world)
    first = opened(world, 1)
    first.do("publish 5 100", "wait durable 5000", "claim 100")
    lose_session(world, first)
    first.do("stop_at_connect")
    first.ask("commit")
    first.wait_until_stopped()
    for _ in range(10):
        world.info(TOPIC)
    come_and_go(world, 2)
    first.go_on()
    first.do("close")


def a_batch_of_an_epoch_that_nobody_knows_any_more_is_in_doubt(world):
    """Stopped in the middle of a batch, for longer than there are records."""
    begin(world, window="1M")
    first = opened(world, 1)
    first.do("publish 5 100", "wait durable 5000")
    for _ in range(20):
        first.ask("batch 4000 200")
    first.wait_for_log("batch number")
    first.stop()
    restart(world)
    other = world.publisher(2)
    for _ in range(EPOCHS + 50):
        other.do(f"open {TOPIC} 1000 5000", "publish 1 40", "close")
    first.go_on()
    first.do("close")


if "HERMES_TEST_LONG" in os.environ:  # it takes a while
    scenario(config="[broker]\ngrace_ms = 50\n", disk="128M")(a_batch_of_an_epoch_that_nobody_knows_any_more_is_in_doubt)
