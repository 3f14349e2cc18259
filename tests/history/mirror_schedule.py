"""Random schedules of mirrors: of the source, of the copy, and of the network between them. As schedule.py has it: all that is
random comes from the seed."""
import random
import time
from dataclasses import dataclass, field

from claims import Options
from mirrored import TOPIC, Mirrored
from network import Weather
from world import Violation

CALLS = 1000000  # more than a trial has time for: a mix goes on until it is wanted
PAUSE_US = 8000  # of publishers: members log each message
REFUSED = (("pub", TOPIC), ("topic", "delete", TOPIC), ("topic", "purge", TOPIC))


@dataclass
class Plan:
    seed: int
    topic: dict
    copy: dict
    grace_ms: int
    disks: tuple
    reply_ms: int | None
    publishers: int
    subscribers: list  # of the copy: (from, so many seeks of a hundred steps, armed)
    groups: list  # of the copy: how each member acks
    weather: Weather
    steps: list = field(default_factory=list)

    def world(self, binaries, keep):
        config = f"[broker]\ngrace_ms = {self.grace_ms}\n"
        return Mirrored(binaries, config, self.reply_ms, *self.disks, keep=keep, seed=self.seed)

    def describe(self):
        topic, copy = self.topic, self.copy
        kind = ["shared" if topic["shared"] else "exclusive", topic["durability"]] + ["retention"] * (topic["keep"] is not None)
        kind += ["to", copy["durability"]] + ["push-back"] * copy["push_back"] + [f"group({'+'.join(acks)})" for acks in self.groups]
        return " ".join(kind) + ": " + " ".join(step[0] for step in self.steps)

    def run(self, world):
        Play(self, world).run()


def any_weather(rng):
    return Weather(lost=rng.choice([0, 0.01, 0.1, 0.3]), repeated=rng.choice([0, 0, 0.05]), damaged=rng.choice([0, 0, 0.03]),
                   late_s=rng.choice([0, 0.001, 0.005, 0.05]))


def any_reader(rng):
    return (rng.choice(["first", "first", "end"]), rng.choice([0, 0, 20]), rng.random() < 0.3)


def plan(seed):
    rng = random.Random(seed)
    topic = {"durability": rng.choice(["async", "async", "sync", "memory"]), "shared": rng.random() < 0.3, "keep": None}
    if topic["durability"] != "memory" and rng.random() < 0.2:
        topic["keep"] = "1M"
    copy = {"durability": rng.choice(["async", "async", "sync", "memory"]), "push_back": rng.random() < 0.3}
    is_whole = "memory" not in (topic["durability"], copy["durability"]) and topic["keep"] is None
    groups = [[rng.choice(["manual", "auto", "none"])] * rng.randint(1, 3)] if is_whole and rng.random() < 0.6 else []
    made = Plan(seed, topic, copy, grace_ms=rng.choice([20, 100, 500]), disks=(rng.choice(["24M", "64M"]), rng.choice(["24M", "64M"])),
                reply_ms=rng.choice([300, None]), publishers=rng.randint(1, 2),
                subscribers=[any_reader(rng) for _ in range(rng.randint(1, 2))], groups=groups, weather=any_weather(rng))
    kinds = steps_of(topic, copy)
    for _ in range(rng.randint(3, 9)):
        made.steps.append(rng.choice(kinds)(rng, made))
    return made


# ---- steps: each draws what it needs ----

def a_while(name, most, *which):
    """which: of the brokers it is about, if it may be about either."""
    return lambda rng, made: (name, *([rng.choice(which)] if which else []), rng.randint(0, most))


def change_of_weather(rng, made):
    return ("change_weather", any_weather(rng))


BOTH = "source", "copy"


def steps_of(topic, copy):
    """A topic in memory ends with an orderly stop, and its copy has nothing to go on from."""
    stops = ("copy",) if topic["durability"] == "memory" else BOTH
    stored = [side for side, of in zip(BOTH, (topic, copy)) if of["durability"] != "memory"]
    steps = [change_of_weather, a_while("fall_silent", 300), a_while("fall_silent", 1500), a_while("restart", 200, *BOTH),
             a_while("restart", 200, *BOTH), a_while("halt", 300, *BOTH), a_while("halt", 1500, *BOTH), a_while("stop", 200, *stops),
             a_while("stop", 200, *stops), a_while("stop_short", 15, *stops), a_while("start_short", 30, *BOTH),
             a_while("halt_and_kill", 100, *BOTH), a_while("both_die", 100), a_while("change_publisher", 100),
             a_while("kill_publisher", 100), a_while("kill_subscriber", 100), a_while("halt_subscriber", 300),
             a_while("lose_subscriber", 100), a_while("kill_member", 100), a_while("halt_member", 400), a_while("serve_anew", 300),
             a_while("follow_anew", 100), a_while("intrude", 10)]
    if stored:
        steps += [a_while("fill_disk", 400, *stored), a_while("fill_disk", 400, *stored), a_while("stop_full", 100, *stored)]
    return steps


class Play:
    """A plan on its world."""

    def __init__(self, made, world):
        self.plan = made
        self.world = world
        self.sides = {"source": world, "copy": world.copy}
        self.rng = random.Random(made.seed + 1)  # for what the steps have not drawn
        self.publishers, self.subscribers, self.members = [], [], []
        self.lives = 0  # of the copy

    def run(self):
        plan, world = self.plan, self.world
        world.start()
        world.copy.start()
        world.create(TOPIC, window="4M" if plan.topic["durability"] == "memory" else "256K", **plan.topic)
        world.serve()
        world.network.weather = plan.weather
        self.publishers = [world.publisher(number) for number in range(plan.publishers)]
        for number in range(plan.publishers):
            self.publish(number)
        self.follow()
        for name, *arguments in plan.steps:
            self.flow(self.rng.randint(20, 250))
            world.note(f"step {name} {arguments}")
            getattr(self, name)(*arguments)
            for side in self.sides.values():
                side.check_alive()
        self.flow(self.rng.randint(20, 250))

    def flow(self, ms):
        """The load goes on for so long: how much of it is the machine's."""
        time.sleep(ms / 1000)

    # ---- who works ----

    def publish(self, number):
        publisher = self.publishers[number]
        publisher.ask(f"open {TOPIC} 200 50")
        publisher.ask(f"mix {self.rng.randrange(1 << 30)} {CALLS} {PAUSE_US}")

    def follow(self):
        plan, copy = self.plan, self.world.copy
        self.lives += 1
        self.world.follow(window="4M" if plan.topic["durability"] == "memory" else "256K", **plan.copy)
        self.subscribers = [self.subscribe(number) for number in range(len(plan.subscribers))]
        administrator = copy.administrator() if plan.groups else None
        for number, acks in enumerate(plan.groups):
            name = f"g{number}x{self.lives}"
            copy.groups[name] = Options(TOPIC, "first", lease_ms=300)
            administrator.do(f"create {TOPIC} {name} first 300 0 0 -", "disconnect")
            self.members += [(name, ack, self.join(name, ack)) for ack in acks]

    def subscribe(self, number):
        start, seeks, armed = self.plan.subscribers[number]
        subscriber = self.world.copy.subscriber(f"{TOPIC}-copy{number}-{len(self.world.copy.workers)}")
        flags = " push_back" if self.plan.copy["push_back"] and seeks == 0 else ""  # lost in a payload it would hold all up
        subscriber.do(f"open {TOPIC} {start} 5000{flags}", *["armed"] * armed)
        subscriber.ask(f"mix {self.rng.randrange(1 << 30)} {CALLS} {seeks}")
        return subscriber

    def join(self, name, ack):
        member = self.world.copy.member(name)
        member.ask(f"join {TOPIC} {name} first {ack} 5000")
        member.ask(f"mix {self.rng.randrange(1 << 30)} {CALLS} 300")
        return member

    def change_publisher(self, ms):
        self.publishers[0].ask("close")
        self.flow(ms)
        self.publish(0)

    def kill_publisher(self, ms):
        self.publishers[0].kill()
        self.flow(ms)
        self.publishers[0] = self.world.publisher(0)
        self.publish(0)

    def kill_subscriber(self, ms):
        self.subscribers[0].kill()
        self.flow(ms)
        self.subscribers[0] = self.subscribe(0)

    def halt_subscriber(self, ms):
        self.subscribers[0].stop()
        self.flow(ms)
        self.subscribers[0].go_on()

    def lose_subscriber(self, ms):
        self.subscribers[0].ask("lose")
        self.subscribers[0].ask(f"mix {self.rng.randrange(1 << 30)} {CALLS} {self.plan.subscribers[0][1]}")
        self.flow(ms)

    def kill_member(self, ms):
        if self.members:
            name, ack, member = self.members.pop(0)
            member.kill()
            self.flow(ms)
            self.members.append((name, ack, self.join(name, ack)))

    def halt_member(self, ms):
        if self.members:
            self.members[0][2].stop()
            self.flow(ms)
            self.members[0][2].go_on()

    # ---- the network ----

    def change_weather(self, weather):
        self.world.network.weather = weather

    def fall_silent(self, ms):
        before, self.world.network.weather = self.world.network.weather, Weather(silent=True)
        self.flow(ms)
        self.world.network.weather = before

    # ---- the mirror ----

    def serve_anew(self, ms):
        self.world.change_mirror(self.world, "remove", TOPIC)
        self.flow(ms)
        self.world.serve()

    def follow_anew(self, ms):
        """Who reads the copy leaves; it goes; another comes."""
        world, copy = self.world, self.world.copy
        workers = self.subscribers + [member for _, _, member in self.members]
        for worker in workers:
            worker.do("close", "disconnect") if worker.name.startswith("member") else worker.do("close")
            worker.kill()
        self.members = []
        copy.groups.clear()
        world.change_mirror(copy, "remove", TOPIC)
        copy.hermes("topic", "delete", TOPIC)
        del copy.topics[TOPIC]
        self.flow(ms)
        self.follow()

    def intrude(self, _):
        """A copy has one writer."""
        for command in REFUSED:
            if self.world.copy.hermes(*command, check=False).returncode == 0:
                raise Violation("let in", f"hermes {' '.join(command)}, of a topic that is a copy")

    # ---- the brokers ----

    def halt(self, which, ms):
        side = self.sides[which]
        side.halt()
        self.flow(ms)
        side.go_on()

    def restart(self, which, ms):
        side = self.sides[which]
        side.kill()
        self.flow(ms)
        side.start()

    def halt_and_kill(self, which, ms):
        self.sides[which].halt()
        self.flow(ms)
        self.restart(which, 0)

    def both_die(self, ms):
        for side in self.sides.values():
            side.kill()
        self.flow(ms)
        for side in self.sides.values():
            side.start()

    def stop(self, which, ms):
        side = self.sides[which]
        side.stop()
        self.flow(ms)
        side.start()

    def stop_short(self, which, ms):
        side = self.sides[which]
        side.stop_and_kill(ms / 1000)
        side.start()

    def start_short(self, which, ms):
        side = self.sides[which]
        side.kill()
        side.start_and_kill(ms / 1000)
        side.start()

    def fill_disk(self, which, ms):
        side = self.sides[which]
        side.disk.fill()
        self.flow(ms)
        side.disk.make_room()

    def stop_full(self, which, ms):
        side = self.sides[which]
        side.disk.fill()
        self.flow(ms)
        side.stop()
        side.disk.make_room()
        side.start()
