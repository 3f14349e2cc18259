"""Small schedules of mirrors, each named after what must hold."""
from mirrored import TOPIC

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
