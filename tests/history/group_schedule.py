"""Random schedules of groups and durable subscriptions. As schedule.py has it: all that is random comes from the seed."""
import random
import time
from dataclasses import dataclass, field

from claims import Options
from world import World

TOPIC = "t"
CALLS = 1000000  # more than a trial has time for: a mix goes on until it is wanted
PAUSE_US = 12000  # of publishers: members log each message


@dataclass
class Group:
    name: str
    options: Options
    members: list = field(default_factory=list)  # how each acks


@dataclass
class Plan:
    seed: int
    topic: dict
    grace_ms: int
    disk: str
    reply_ms: int | None
    publishers: int
    groups: list
    steps: list = field(default_factory=list)

    def world(self, binaries, keep):
        return World(binaries, f"[broker]\ngrace_ms = {self.grace_ms}\n", self.reply_ms, disk=self.disk, keep=keep)

    def describe(self):
        topic = self.topic
        kind = ["shared" if topic["shared"] else "exclusive", topic["durability"]] + ["retention"] * (topic["keep"] is not None)
        kind += [f"{'durable' if g.options.durable else 'group'}({'+'.join(g.members)})" for g in self.groups]
        return " ".join(kind) + ": " + " ".join(step[0] for step in self.steps)

    def run(self, world):
        Play(self, world).run()


def any_group(rng, number):
    options = Options(TOPIC, "first", lease_ms=rng.choice([150, 300, 800]), most=rng.choice([0, 0, 2, 5]))
    options.letters = f"letters.{number}" if options.most > 0 and rng.random() < 0.6 else "-"
    kinds = rng.choice([["manual"], ["manual", "manual", "auto"], ["none"], ["auto"]])
    members = [rng.choice(kinds) for _ in range(rng.randint(2, 4))]
    options.span = rng.choice([0, 0, 262144])
    return Group(f"g{number}", options, members)


def any_place(rng, number):
    return Group(f"d{number}", Options(TOPIC, "first", durable=True), members=[rng.choice(["manual", "auto"])] * rng.choice([1, 1, 2]))


def plan(seed):
    rng = random.Random(seed)
    topic = {"durability": rng.choice(["async", "async", "sync"]), "shared": rng.random() < 0.5, "full_waits": rng.random() < 0.3,
             "keep": "1M" if rng.random() < 0.25 else None}
    made = Plan(seed, topic, grace_ms=rng.choice([20, 100, 500]), disk=rng.choice(["24M", "64M"]), reply_ms=rng.choice([300, None]),
                publishers=rng.randint(1, 2), groups=[any_group(rng, number) for number in range(rng.randint(1, 2))])
    if rng.random() < 0.5:
        made.groups.append(any_place(rng, 0))
    calm = rng.random() < 0.35  # the broker lives
    kinds = calm_steps() if calm else calm_steps() + stormy_steps()
    for _ in range(rng.randint(3, 9)):
        made.steps.append(rng.choice(kinds)(rng, made))
    return made


# ---- steps: each draws what it needs ----

def with_member(name):
    def draw(rng, made):
        group = rng.randrange(len(made.groups))
        return (name, group, rng.randrange(len(made.groups[group].members)), rng.randint(0, 300))
    return draw


def with_group(name, *choices):
    return lambda rng, made: (name, rng.randrange(len(made.groups)), rng.choice(choices))


def a_while(name, most):
    return lambda rng, made: (name, rng.randint(0, most))


def calm_steps():
    return [with_member("kill_member"), with_member("kill_member"), with_member("halt_member"), with_member("halt_beyond_lease"),
            with_member("leave"), with_member("lose_member"), with_member("swap"), with_group("reset", "first", "end", "middle"),
            with_group("lease", 100, 400), with_group("deliveries", 0, 3), a_while("change_publisher", 100), a_while("kill_publisher", 100),
            a_while("fill_disk", 200), a_while("halt", 100)]


def stormy_steps():
    return [a_while("restart", 200), a_while("restart", 200), a_while("restart", 600), a_while("stop", 200), a_while("stop", 200),
            a_while("stop_short", 15), a_while("start_short", 30), a_while("stop_full", 100), a_while("halt_and_kill", 100),
            with_member("die_together"), with_member("asleep_over_a_death")]


class Play:
    """A plan on its world."""

    def __init__(self, made, world):
        self.plan = made
        self.world = world
        self.rng = random.Random(made.seed + 1)  # for what the steps have not drawn
        self.publishers = []
        self.members = []  # of each group
        self.administrator = None

    def run(self):
        plan, world = self.plan, self.world
        world.start()
        world.create(TOPIC, **plan.topic)
        self.administrator = world.administrator()
        for group in plan.groups:
            self.make(group)
        self.publishers = [world.publisher(number) for number in range(plan.publishers)]
        for number in range(plan.publishers):
            self.publish(number)
        for name, *arguments in plan.steps:
            self.flow(self.rng.randint(20, 250))
            world.note(f"step {name} {arguments}")
            getattr(self, name)(*arguments)
            world.check_alive()
        self.flow(self.rng.randint(20, 250))
        self.administrator.finish()

    def flow(self, ms):
        time.sleep(ms / 1000)

    # ---- who works ----

    def make(self, group):
        options = group.options
        self.world.groups[group.name] = options
        what = "durable" if options.durable else f"{options.lease_ms} {options.most} {options.span} {options.letters}"
        self.administrator.do(f"create {TOPIC} {group.name} first {what}")
        self.members.append([self.join(group, mode) for mode in group.members])

    def join(self, group, mode):
        member = self.world.member(group.name)
        others_have_it = group.options.durable and len(group.members) > 1
        member.ask(f"{'durable' if group.options.durable else 'join'} {TOPIC} {group.name} first {mode} {50 if others_have_it else 5000}")
        self.mix(group, member)
        return member

    def mix(self, group, member):
        lease_ms = 100 if group.options.durable else group.options.lease_ms
        member.ask(f"mix {self.rng.randrange(1 << 30)} {CALLS} {lease_ms}")

    def publish(self, number):
        publisher = self.publishers[number]
        publisher.ask(f"open {TOPIC} 200 50")
        publisher.ask(f"mix {self.rng.randrange(1 << 30)} {CALLS} {PAUSE_US}")

    # ---- members ----

    def of(self, group, at):
        return self.plan.groups[group], self.members[group][at]

    def anew(self, group, at):
        plan = self.plan.groups[group]
        self.members[group][at] = self.join(plan, plan.members[at])

    def kill_member(self, group, at, ms):
        self.members[group][at].kill()
        self.flow(ms)
        self.anew(group, at)

    def halt_member(self, group, at, ms):
        self.members[group][at].stop()
        self.flow(ms)
        self.members[group][at].go_on()

    def halt_beyond_lease(self, group, at, ms):
        lease_ms = 0 if self.plan.groups[group].options.durable else self.plan.groups[group].options.lease_ms
        self.halt_member(group, at, ms + lease_ms * 5 // 4)

    def leave(self, group, at, ms):
        member = self.members[group][at]
        member.ask("close")
        member.ask("disconnect")
        self.flow(ms)
        self.mix(self.plan.groups[group], member)

    def lose_member(self, group, at, ms):
        member = self.members[group][at]
        member.ask("lose")
        self.mix(self.plan.groups[group], member)
        self.flow(ms)

    def swap(self, group, at, ms):
        """One comes before the other goes."""
        before = self.members[group][at]
        self.anew(group, at)
        self.flow(ms)
        before.ask("close")

    def asleep_over_a_death(self, group, at, ms):
        """A member is halted, the broker dies and comes, others work, and then it goes on."""
        member = self.members[group][at]
        member.stop()
        self.restart(0)
        self.flow(ms * 3)
        member.go_on()

    def die_together(self, group, at, ms):
        self.world.halt()
        self.members[group][at].kill()
        self.restart(ms)
        self.anew(group, at)

    # ---- the administrator ----

    def reset(self, group, where):
        if where == "middle":
            where = max(1, self.world.info(TOPIC)["last_sequence"] // 2)
        self.administrator.ask(f"reset {TOPIC} {self.plan.groups[group].name} {where}")

    def lease(self, group, ms):
        if not self.plan.groups[group].options.durable:
            self.administrator.ask(f"lease {TOPIC} {self.plan.groups[group].name} {ms}")

    def deliveries(self, group, most):
        """Only where there was a limit: else what died before is nobody's to say."""
        if self.plan.groups[group].options.most > 0:
            self.administrator.ask(f"deliveries {TOPIC} {self.plan.groups[group].name} {most}")

    # ---- publishers ----

    def change_publisher(self, ms):
        self.publishers[0].ask("close")
        self.flow(ms)
        self.publish(0)

    def kill_publisher(self, ms):
        self.publishers[0].kill()
        self.flow(ms)
        self.publishers[0] = self.world.publisher(0)
        self.publish(0)

    # ---- the broker, and the disk ----

    def halt(self, ms):
        self.world.halt()
        self.flow(ms)
        self.world.go_on()

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
        self.world.start_and_kill(ms / 1000)
        self.world.start()

    def stop_full(self, ms):
        self.world.disk.fill()
        self.flow(ms)
        self.world.stop()
        self.world.disk.make_room()
        self.world.start()

    def halt_and_kill(self, ms):
        self.world.halt()
        self.flow(ms)
        self.restart(0)

    def fill_disk(self, ms):
        self.world.disk.fill()
        self.flow(ms)
        self.world.disk.make_room()
