"""One trial of groups and durable subscriptions: as any other, and in the end each of them has dealt with everything."""
import os
import time

from bounds import judge_bounds
from claims import history_of
from durables import judge_durable
from groups import Judge
from letters import read_letters
from store import Unreadable, read_topic
from trial import PATIENCE_MS, Trial
from verdicts import Verdict
from world import Violation

WORK_ON = "work 1000000000 600000"  # until it is wanted
SILENCE_MS = 300
REST_SECONDS = 20  # beyond every lease


class GroupTrial(Trial):
    def __init__(self, world):
        super().__init__(world)
        self.infos = {}  # group: the call that described it at the end

    # ---- everything right again ----

    def settle(self):
        world = self.world
        self.put_right()
        alive = [worker for worker in world.workers if worker.is_alive()]
        publishers = [worker for worker in alive if worker.name.startswith("publisher")]
        members = [worker for worker in alive if worker.name.startswith("member")]
        for worker in publishers + members:
            worker.go_on()
        for worker in publishers:
            worker.ask(f"set_wait {PATIENCE_MS}")
        self.finish_publishers(publishers)
        self.settle_members(members)
        self.stop_at_last()

    def settle_members(self, members):
        """All is dealt with, and each group says so."""
        world = self.world
        self.at_work(members)
        administrator = world.administrator()
        for name, options in world.groups.items():
            self.guard(self.nothing_comes, name, options)
            administrator.do(f"describe {options.topic} {name}")
            self.infos[name] = administrator.calls()[-1]
        administrator.do("disconnect")

    def at_work(self, members):
        """Who is a member, or holds a place, works until nothing is left, and leaves then."""
        for member in members:
            member.do("ack all")
            member.ask(WORK_ON)
        busy = {member.name.split("-")[1] for member in members if member.is_open()}
        for name in busy:
            self.guard(self.wait_for_rest, name)
        for member in members:
            member.do("counters", "close", "disconnect")

    def wait_for_rest(self, name):
        world, options = self.world, self.world.groups[name]
        end = time.monotonic() + REST_SECONDS
        while (why := self.restless(name, options)) is not None:
            world.check_alive()
            if time.monotonic() > end:
                raise Violation("stuck", f"{name}: {why} after {REST_SECONDS} s, though nothing is in the way")
            time.sleep(0.02)

    def restless(self, name, options):
        """Why it is not at rest; None: it is."""
        group, topic = self.world.group_info(options.topic, name), self.world.info(options.topic)
        if group["position"] < topic["committed_position"]:
            return f"it stands at {group['position']} of {topic['committed_position']}"
        return f"{group['in_flight']} messages are in flight" if group["in_flight"] > 0 else None

    def nothing_comes(self, name, options):
        """To who is new, but what members left that are gone."""
        member = self.world.member(name)
        verb = "durable" if options.durable else "join"
        member.do(f"{verb} {options.topic} {name} first manual 5000")
        if not member.is_open():
            raise Violation("not let in", f"{name}: {member.last_line()}")
        member.ask(WORK_ON)
        self.guard(self.wait_for_rest, name)
        member.do(f"work 1000000 {SILENCE_MS}")
        member.do("counters", "close", "disconnect")

    # ---- the judgement ----

    def judge(self):
        super().judge()
        world, histories = self.world, self.calls()
        self.verdicts += judge_bounds(histories, world.events)
        for name, options in world.groups.items():
            content = self.stored(options.topic)
            published = max([sequence for sequence, _, _ in content] + [0])
            self.verdicts += self.judge_group(name, options, histories, content, published)

    def judge_group(self, name, options, histories, content, published):
        events = self.world.events
        if options.durable:
            return judge_durable(name, options, histories, events, content, published, self.settled)
        history = history_of(name, options, histories, events)
        letters = self.letters(name, options, content)
        return Judge(name, history, content, published, events).judge(letters, self.infos.get(name), self.settled)

    def stored(self, topic):
        try:
            return read_topic(self.world.disk.path, topic)
        except Unreadable as error:
            self.verdicts.append(Verdict("damage", str(error)))
            return []

    def letters(self, name, options, content):
        """Of that group: several may have the same topic for them. Which message one is that has no envelope, its payload
        says."""
        path = os.path.join(self.world.disk.path, "topics", options.letters)
        if options.letters == "-" or not os.path.exists(path):
            return []
        by_key = {key: sequence for sequence, _, key in content}
        letters = [letter for letter in read_letters(self.world.disk.path, options.letters) if letter.group in ("", name)]
        for letter in letters:
            letter.sequence = letter.sequence or by_key.get(letter.key, 0)
        return letters
