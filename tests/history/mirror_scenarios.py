"""Small schedules of mirrors, each named after what must hold."""
from mirrored import TOPIC
from network import Weather
from world import Violation

SCENARIOS = {}


def scenario(**options):
    """options: of the Mirrored."""
    def register(schedule):
        SCENARIOS[schedule.__name__.replace("_", "-")] = (schedule, options)
        return schedule
    return register


def begin(world, durability="async", **options):
    """Both are there, and the one follows the other."""
    world.start()
    world.copy.start()
    world.create(TOPIC, **options)
    world.serve()
    world.follow(durability)


def publish(world, number, count=500, size=600):
    publisher = world.publisher(number)
    publisher.do(f"open {TOPIC} 1000 5000", f"batch {count} {size}", "wait durable 5000", "close", "disconnect")


@scenario()
def the_copy_goes_on_where_it_was_over_deaths_of_both(world):
    begin(world)
    for number in range(4):
        publish(world, number + 1)
        side = (world, world.copy)[number % 2]
        side.kill()
        side.start()
    publish(world, 5)


@scenario()
def what_is_lost_for_good_is_counted(world):
    """A stored copy takes no hole: it ends there, and says how much that was."""
    begin(world, keep="1M")
    publish(world, 1)
    world.await_copy()
    world.network.weather = Weather(silent=True)
    for number in range(2, 6):
        publish(world, number, 4000)
    world.wait_until(lambda: world.info(TOPIC)["first_position"] > world.copy.info(TOPIC)["committed_position"], "kept",
                     "the source keeps more than it was told to")


@scenario()
def a_source_that_was_made_anew_is_not_taken_for_the_same(world):
    """Its copy stands still, and keeps what it has, until it is made anew as well."""
    begin(world)
    publish(world, 1)
    world.await_copy()
    had = world.copy.info(TOPIC)
    world.change_mirror(world, "remove", TOPIC)
    world.hermes("topic", "delete", TOPIC)
    for worker in world.workers:
        worker.close()
    world.workers.clear()  # what they published is nobody's any more
    world.create(TOPIC)
    publish(world, 2, 4000)
    world.serve()
    world.wait_until(lambda: world.copy.mirror()["state"] == "diverged", "let in", "it follows another topic of the same name")
    if world.copy.info(TOPIC)["committed_position"] != had["committed_position"]:
        raise Violation("not a copy", "it took some of another topic")
    world.change_mirror(world.copy, "remove", TOPIC)
    world.copy.hermes("topic", "delete", TOPIC)
    world.follow()


@scenario()
def a_disk_that_is_full_when_the_source_is_first_heard_of_costs_a_copy_nothing(world):
    world.network.weather = Weather(silent=True)
    begin(world)
    publish(world, 1)
    world.copy.disk.fill()
    world.network.weather = Weather()
    world.wait_until(lambda: world.copy.mirror()["rtt_ns"] > 0, "stuck", "the source is not heard of")
    world.copy.disk.make_room()


@scenario()
def a_disk_that_is_full_when_it_starts_costs_a_copy_nothing(world):
    begin(world)
    publish(world, 1)
    world.await_copy()
    world.copy.disk.fill()
    world.copy.kill()
    world.copy.start()
    for number in range(2, 5):
        publish(world, number, 2000)
    world.wait_until(lambda: world.copy.mirror()["rtt_ns"] > 0, "stuck", "the source is not heard of")
    world.copy.disk.make_room()


@scenario()
def a_subscriber_that_is_waited_for_at_the_copy_holds_up_nobody_at_the_source(world):
    world.start()
    world.copy.start()
    world.create(TOPIC)
    world.serve()
    world.follow(push_back=True)
    reader = world.copy.subscriber(f"{TOPIC}-slow")
    reader.do(f"open {TOPIC} first 5000 push_back")
    for number in range(1, 4):
        publish(world, number, 4000)
    reader.ask("read 1000000 60000 0")
    world.await_copy()
