"""Schedules of an embedded log: small ones that always do the same, and random ones."""
import random
import time
from dataclasses import dataclass, field

from world import World

SCENARIOS = {}
CALLS = 1000000


def scenario(schedule):
    SCENARIOS[schedule.__name__.replace("_", "-")] = (schedule, {})
    return schedule


@scenario
def what_was_appended_survives_its_writer(world):
    for _ in range(4):
        writer = world.embedded(1)
        writer.do("write", "append 20 100", "batch 200 600", "claim 300 commit", "claim 300 abort")
        writer.ask("append 100000 600")
        writer.wait_for_log("append number=4")
        writer.kill()
    world.embedded(1).do("write", "append 1 100", "sync", "close")


@scenario
def a_reader_follows_one_writer_to_its_end(world):
    writer, reader = world.embedded(1), world.embedded(2)
    writer.do("write")
    reader.do("follow")
    reader.ask("read 100000 5000")
    writer.do("append 2000 600", "batch 200 600", "close")
    reader.finish()


@scenario
def who_was_told_of_the_end_stays_there(world):
    """And who comes then follows the next writer."""
    writer, reader, late = world.embedded(1), world.embedded(2), world.embedded(3)
    writer.do("write", "append 5 100")
    reader.do("follow", "seek first", "read 5 500")
    writer.do("close")
    reader.do("read 5 500")
    writer.do("write", "append 5 100")
    reader.do("read 5 200")
    late.do("follow", "seek first", "read 10 500")
    writer.do("append 5 100")
    late.do("read 5 500")
    reader.do("seek first", "read 15 200")


@dataclass
class Plan:
    seed: int
    readers: int
    disk: str
    steps: list = field(default_factory=list)

    def world(self, binaries, keep):
        return World(binaries, disk=self.disk, keep=keep)

    def describe(self):
        return f"log, {self.readers} readers: " + " ".join(step[0] for step in self.steps)

    def run(self, world):
        Play(self, world).run()


def plan(seed):
    rng = random.Random(seed)
    made = Plan(seed, rng.randint(1, 3), rng.choice(["8M", "64M"]))
    names = ["kill_writer", "kill_writer", "change_writer", "halt_writer", "two_writers", "fill_disk", "kill_reader", "halt_reader"]
    for _ in range(rng.randint(3, 9)):
        made.steps.append((rng.choice(names), rng.randrange(made.readers), rng.randint(0, 200)))
    return made


class Play:
    """A plan on its world."""

    def __init__(self, made, world):
        self.plan = made
        self.world = world
        self.rng = random.Random(made.seed + 1)
        self.writer = None
        self.readers = []

    def run(self):
        self.write()
        self.readers = [self.read() for _ in range(self.plan.readers)]
        for name, reader, ms in self.plan.steps:
            self.flow(self.rng.randint(20, 250))
            self.world.note(f"step {name} {reader} {ms}")
            getattr(self, name)(reader, ms)
        self.flow(self.rng.randint(20, 250))

    def flow(self, ms):
        time.sleep(ms / 1000)

    def mix(self, worker):
        worker.ask(f"mix {self.rng.randrange(1 << 30)} {CALLS}")
        return worker

    def write(self):
        self.writer = self.world.embedded(1)
        self.writer.ask("write")
        self.mix(self.writer)

    def read(self):
        reader = self.world.embedded(10)
        reader.ask("follow")
        return self.mix(reader)

    def kill_writer(self, _, ms):
        self.writer.kill()
        self.flow(ms)
        self.write()

    def change_writer(self, _, ms):
        self.writer.do("close")
        self.flow(ms)
        self.write()

    def halt_writer(self, _, ms):
        self.writer.stop()
        self.flow(ms)
        self.writer.go_on()

    def two_writers(self, _, ms):
        """The second waits for the first."""
        first = self.writer
        self.write()
        self.flow(ms)
        first.do("close")

    def kill_reader(self, number, ms):
        self.readers[number].kill()
        self.flow(ms)
        self.readers[number] = self.read()

    def halt_reader(self, number, ms):
        self.readers[number].stop()
        self.flow(ms)
        self.readers[number].go_on()

    def fill_disk(self, _, ms):
        self.world.disk.fill()
        self.flow(ms)
        self.world.disk.make_room()
