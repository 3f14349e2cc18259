"""One trial of a mirror: as any other at its source; and the copy is the same, as far as it goes, and goes all the way."""
import copy

from bounds import judge_bounds
from copies import judge_copy, judge_same_frames
from group_trial import GroupTrial
from judge import judge_codes, judge_content
from mirrored import TOPIC
from network import Weather
from readers import judge_reader
from store import Unreadable, frames_of
from trial import READ_ON, Trial
from verdicts import Verdict


class CopyTrial(GroupTrial):
    """The copy's side: who reads there, and who is a member of a group there."""

    def put_right(self):
        super().put_right()
        for worker in self.alive("subscriber") + self.alive("member"):
            worker.go_on()
        for worker in self.alive("subscriber"):
            worker.ask(READ_ON)

    def alive(self, kind):
        return [worker for worker in self.world.workers if worker.is_alive() and worker.name.startswith(kind)]

    def settle_side(self):
        self.read_all(self.alive("subscriber"))
        self.settle_members(self.alive("member"))
        self.settled = True

    def judge_side(self, content, streams):
        """content: the source's; streams: of its publishers."""
        histories = self.calls()
        self.verdicts += judge_codes([call for calls in histories.values() for call in calls])
        self.verdicts += judge_bounds(histories, self.world.events)
        contents = {TOPIC: self.seen_as(content)}
        for name, calls in histories.items():
            if name.startswith("subscriber"):
                self.verdicts += judge_reader(name, calls, self.world.topics, contents)
        if self.world.topics[TOPIC]["durability"] != "memory":
            self.judge_store(content, streams, histories)

    def judge_store(self, content, streams, histories):
        stored = self.stored(TOPIC)
        self.verdicts += judge_content(TOPIC, stored, streams, "async", keeps_all=False) + judge_copy(TOPIC, stored, content)
        last = max([sequence for sequence, _, _ in stored] + [0])
        for name, options in self.world.groups.items():
            self.verdicts += self.judge_group(name, options, histories, stored, last)

    def seen_as(self, content):
        """What its readers may see. A copy in memory begins again where its source does when its broker was stopped."""
        seen = copy.copy(content)
        seen.anew = self.began_anew(TOPIC)
        seen.published = {}  # when it came here nobody says
        return seen


class MirrorTrial(Trial):
    def __init__(self, world):
        super().__init__(world)
        self.side = CopyTrial(world.copy)

    def settle(self):
        world = self.world
        world.network.weather = Weather()
        self.side.put_right()
        alive = self.calm()
        world.await_copy()
        self.read_all(alive)
        self.side.guard(self.side.settle_side)
        for trial in self.side, self:
            trial.guard(trial.stop_broker)
        self.look_for_remains()
        self.settled = True

    def judge(self):
        super().judge()
        topic = self.world.topics[TOPIC]
        if self.settled:
            streams = [stream for stream in self.streams() if stream.topic == TOPIC]
            self.side.judge_side(self.content(TOPIC, topic, self.calls()), streams)
            self.judge_bytes()
        self.verdicts += self.side.verdicts

    def judge_bytes(self):
        pair = self.world.copy, self.world
        if any(world.topics[TOPIC]["durability"] == "memory" for world in pair):
            return
        try:
            self.verdicts += judge_same_frames(TOPIC, *(frames_of(world.disk.path, TOPIC) for world in pair))
        except Unreadable as error:
            self.verdicts.append(Verdict("damage", str(error)))
