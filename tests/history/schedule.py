"""Random schedules. All that is random is drawn beforehand, from the seed: the same seed is the same schedule."""
import random
import time
from dataclasses import dataclass, field

from world import World

TOPIC = "t"
FAILURES = ("socket", "few-descriptors", "busy-lock", "topic-conf")
CALLS = 1000000  # more than a trial has time for: a mix goes on until it is wanted


@dataclass
class Plan:
    seed: int
    topic: dict
    config: dict
    reply_ms: int | None
    publishers: int
    subscribers: list  # (from, is it waited for, of a hundred steps so many seeks, armed)
    wait_ms: list
    no_wait: list
    steps: list = field(default_factory=list)

    def world(self, binaries, keep):
        config = f"[broker]\ngrace_ms = {self.config['grace_ms']}\n[topic]\nring = {self.config['ring']}\n"
        return World(binaries, config, self.reply_ms, disk=self.config["disk"], keep=keep)

    def describe(self):
        topic = self.topic
        kind = ["shared" if topic["shared"] else "exclusive", topic["durability"], topic["window"]]
        kind += ["push-back"] if topic["push_back"] else []
        return " ".join(kind) + ": " + " ".join(step[0] for step in self.steps)

    def run(self, world):
        Play(self, world).run()


def any_reader(rng):
    return (rng.choice(["first", "first", "end"]), rng.random() < 0.7, rng.choice([0, 0, 20]), rng.random() < 0.3)


def plan(seed):
    rng = random.Random(seed)
    topic = {
        "durability": rng.choice(["async", "async", "sync", "memory"]),
        "shared": rng.random() < 0.5,
        "push_back": rng.random() < 0.4,
        "window": rng.choice(["256K", "256K", "1M", "4M"]),
        "full_waits": rng.random() < 0.3,
    }
    if topic["durability"] == "memory":  # overwritten before anybody reads it, most of it is not judged
        topic["window"] = "4M"
    publishers = rng.randint(2, 4)
    made = Plan(
        seed, topic,
        config={"grace_ms": rng.choice([20, 100, 500]), "ring": rng.choice(["256K", "256K", "1M"]), "disk": rng.choice(["24M", "64M"])},
        reply_ms=rng.choice([300, 300, None]),
        publishers=publishers,
        subscribers=[any_reader(rng) for _ in range(rng.randint(1, 3))],
        wait_ms=[rng.choice([20, 200, 2000]) for _ in range(publishers)],
        no_wait=[rng.random() < 0.3 for _ in range(publishers)])
    calm = rng.random() < 0.3  # the broker lives: what was handed over must be there
    kinds = calm_steps(topic) if calm else calm_steps(topic) + stormy_steps(topic)
    for _ in range(rng.randint(3, 9)):
        made.steps.append(rng.choice(kinds)(rng, made))
    if not calm and rng.random() < 0.25:
        made.steps.append(("all_die", rng.randint(0, 50)))
    return made


# ---- steps: each draws what it needs ----

def any_publisher(name):
    return lambda rng, made: (name, rng.randrange(made.publishers), rng.randint(0, 150), rng.randrange(1 << 30))


def any_subscriber(name):
    return lambda rng, made: (name, rng.randrange(len(made.subscribers)), rng.randint(0, 300), rng.randrange(1 << 30))


def a_while(name, most):
    return lambda rng, made: (name, rng.randint(0, most))


def calm_steps(topic):
    steps = [any_publisher("leave"), any_publisher("kill_publisher"), any_publisher("halt_publisher"), any_subscriber("halt_subscriber"),
             any_subscriber("kill_subscriber"), a_while("halt", 100), a_while("halt_long", 300), any_publisher("lose_session"),
             any_publisher("lose_often"), any_subscriber("lose_subscriber"), any_publisher("flood"), any_publisher("leave_full")]
    if topic["durability"] != "memory":
        steps.append(a_while("fill_disk", 300))
    return steps


def stormy_steps(topic):
    def absent(rng, made):
        number = rng.randrange(made.publishers)
        others = [(number + rng.randint(1, made.publishers - 1)) % made.publishers for _ in range(rng.randint(1, 3))]
        return ("absent", number, rng.random() < 0.5, others)

    def failed_start(rng, made):
        return ("failed_start", rng.choice(FAILURES))

    def handover(rng, made):
        return ("handover", rng.randrange(made.publishers), rng.randrange(made.publishers), rng.randint(1, 30))

    steps = [a_while("restart", 200), a_while("restart", 200), any_publisher("die_together"), absent, absent, handover, failed_start,
             a_while("fill_shm", 300), a_while("halt_and_kill", 100), a_while("stop", 200), a_while("stop_short", 15),
             a_while("start_short", 30)]
    if topic["durability"] != "memory":  # it ends with an orderly stop, as documented: the less often
        steps += [a_while("stop", 200), a_while("stop_full", 200)]
    return steps


class Play:
    """A plan on its world."""

    def __init__(self, made, world):
        self.plan = made
        self.world = world
        self.rng = random.Random(made.seed + 1)  # for what the steps have not drawn
        self.publishers = []
        self.subscribers = []

    def run(self):
        plan, world = self.plan, self.world
        world.start()
        world.create(TOPIC, **plan.topic)
        for number in range(len(plan.subscribers)):
            self.subscribers.append(self.subscribe(number))
        for number in range(plan.publishers):
            self.publishers.append(world.publisher(number))
            self.mix(number)
        for name, *arguments in plan.steps:
            self.flow(self.rng.randint(20, 250))
            world.note(f"step {name} {arguments}")
            getattr(self, name)(*arguments)
            world.check_alive()
        self.flow(self.rng.randint(20, 250))

    def flow(self, ms):
        """The load goes on for so long: how much of it is the machine's."""
        time.sleep(ms / 1000)

    # ---- who works ----

    def mix(self, number):
        more = " no_wait" if self.plan.no_wait[number] else ""
        publisher = self.publishers[number]
        publisher.ask(f"open {TOPIC} {self.plan.wait_ms[number]} 50{more}")
        publisher.ask(f"mix {self.rng.randrange(1 << 30)} {CALLS} 4000")

    def subscribe(self, number):
        start, push_back, seeks, armed = self.plan.subscribers[number]
        subscriber = self.world.subscriber(f"{TOPIC}-{number}-{len(self.world.workers)}")
        waited_for = push_back and self.plan.topic["push_back"] and seeks == 0  # lost in a payload it would hold all up
        flags = " push_back" if waited_for else ""
        subscriber.do(f"open {TOPIC} {start} 5000{flags}", *["armed"] * armed)
        self.read_on(number, subscriber)
        return subscriber

    def read_on(self, number, subscriber=None):
        seeks = self.plan.subscribers[number][2]
        (subscriber or self.subscribers[number]).ask(f"mix {self.rng.randrange(1 << 30)} {CALLS} {seeks}")

    # ---- publishers and subscribers ----

    def leave(self, number, ms, _):
        publisher = self.publishers[number]
        publisher.ask("close")
        self.flow(ms)
        self.mix(number)

    def kill_publisher(self, number, ms, _):
        self.publishers[number].kill()
        self.flow(ms)
        self.publishers[number] = self.world.publisher(number)
        self.mix(number)

    def halt_publisher(self, number, ms, _):
        self.publishers[number].stop()
        self.flow(ms)
        self.publishers[number].go_on()

    def flood(self, number, ms, draw):
        """Faster than anybody takes it, then gone."""
        publisher = self.publishers[number]
        publisher.ask("set_wait 20")
        for _ in range(1 + draw % 5):
            publisher.ask(f"batch {50 + draw % 1000} {32 + draw % 700}")
        publisher.ask("close" if draw % 2 else "confirmed")
        self.flow(ms)
        self.mix(number)

    def leave_full(self, number, ms, draw):
        """Who publishes leaves while the log has no room: neither for the disk, nor for who is waited for."""
        publisher = self.publishers[number]
        self.world.disk.fill()
        for subscriber in self.subscribers:
            subscriber.stop()
        publisher.ask("set_wait 20")
        for _ in range(4):
            publisher.ask(f"batch {400 + draw % 400} 1000")
        if draw % 3:
            publisher.ask("close")
            publisher.finish()
        else:
            publisher.finish()
            publisher.kill()
            self.publishers[number] = self.world.publisher(number)
        self.flow(ms)
        self.world.disk.make_room()
        for subscriber in self.subscribers:
            subscriber.go_on()
        self.mix(number)

    def halt_subscriber(self, number, ms, _):
        self.subscribers[number].stop()
        self.flow(ms)
        self.subscribers[number].go_on()

    def kill_subscriber(self, number, ms, _):
        self.subscribers[number].kill()
        self.flow(ms)
        self.subscribers[number] = self.subscribe(number)

    # ---- the broker ----

    def halt(self, ms):
        self.world.halt()
        self.flow(ms)
        self.world.go_on()

    def halt_long(self, ms):
        """Beyond what clients wait for an answer."""
        if self.plan.reply_ms is not None:
            self.halt(ms + self.plan.reply_ms)

    def lose_session(self, number, ms, draw):
        """The connection ends; rings and windows stay. Then somebody may come."""
        publisher = self.publishers[number]
        publisher.ask("lose")
        self.flow(ms)
        publisher.ask(f"publish {1 + draw % 20} 100")
        publisher.ask("close" if draw % 2 else "confirmed")
        self.mix(number)

    def lose_often(self, number, ms, draw):
        """In the middle of whatever it does, again and again."""
        publisher = self.publishers[number]
        for _ in range(1 + draw % 5):
            publisher.ask("lose")
            self.mix(number)
            self.flow(ms)

    def lose_subscriber(self, number, ms, _):
        self.subscribers[number].ask("lose")
        self.read_on(number)
        self.flow(ms)

    def restart(self, ms):
        self.world.kill()
        self.flow(ms)
        self.world.start()

    def stop(self, ms):
        self.world.stop()
        self.flow(ms)
        self.world.start()

    def stop_short(self, ms):
        self.world.stop_and_kill(ms / 1000)
        self.world.start()

    def start_short(self, ms):
        self.world.kill()
        for part in (3, 1, 2):
            self.world.start_and_kill(ms * part / 3000)
        self.world.start()

    def stop_full(self, ms):
        """A stop on a full disk; what it could not store the next one finds."""
        self.world.disk.fill()
        self.flow(ms)
        self.world.stop()
        self.world.disk.make_room()
        self.world.start()

    def halt_and_kill(self, ms):
        self.world.halt()
        self.flow(ms)
        self.restart(0)

    def die_together(self, number, ms, _):
        self.world.halt()
        self.flow(ms)
        self.publishers[number].kill()
        self.restart(ms)
        self.publishers[number] = self.world.publisher(number)
        self.mix(number)

    def all_die(self, ms):
        """Publishers and broker; nobody comes back but a broker."""
        self.world.halt()
        self.flow(ms)
        for publisher in self.publishers:
            publisher.kill()
        self.restart(0)

    def failed_start(self, how):
        self.world.kill()
        self.world.fail_to_start(how)
        self.world.start()

    def handover(self, number, other, count):
        """One publisher leaves, another comes, and the broker dies with its first messages in its ring."""
        self.rest()
        first, second = self.publishers[number], self.publishers[other]
        first.do(f"open {TOPIC} 1000 500", f"publish {20 + count} 100", "wait committed 1000", "close")
        second.do("close", f"open {TOPIC} 1000 500")
        self.world.halt()
        second.ask(f"batch {count} 100")
        self.flow(20)
        self.restart(0)
        second.ask("wait committed 1000")
        self.mix_all()

    def absent(self, number, halted, others):
        """A publisher sleeps over a broker's death; so many others have the topic meanwhile."""
        self.rest("close")
        publisher = self.publishers[number]
        publisher.do(f"open {TOPIC} 1000 500", "publish 3 100")
        if halted:
            publisher.stop()
        self.restart(0)
        for other in others:
            self.publishers[other].do(f"open {TOPIC} 1000 2000", "publish 3 100", "wait committed 1000", "close")
        if halted:
            publisher.go_on()
        publisher.ask("publish 3 100")
        self.mix_all()

    def rest(self, *commands):
        """Nobody publishes for a while."""
        for publisher in self.publishers:
            publisher.ask("confirmed")
        for publisher in self.publishers:
            publisher.do(*commands)

    def mix_all(self):
        for number in range(len(self.publishers)):
            self.mix(number)

    # ---- what is full ----

    def fill_disk(self, ms):
        self.world.disk.fill()
        self.flow(ms)
        self.world.disk.make_room()

    def fill_shm(self, ms):
        """And a broker that has to make windows in it. It may refuse to start; it may not throw anything away."""
        self.world.shm.fill()
        self.flow(ms)
        self.world.kill()
        starts = self.world.try_to_start()
        self.flow(ms)
        self.world.shm.make_room()
        if not starts:
            self.world.start()
