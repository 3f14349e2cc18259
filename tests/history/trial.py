"""One trial: a schedule on a world, then everything put right again, then the judgement."""
import os
from dataclasses import dataclass, field

import codes
from calls import read_calls
from judge import judge_codes, judge_content, judge_stream
from others import judge_others
from promises import IN, settle, streams_of
from readers import judge_reader
from store import Unreadable, read_topic
from verdicts import Verdict
from world import Violation

PATIENCE_MS = 15000  # of publishers once all is right again, on a machine that is busy with other things
SHORT_PATIENCE_MS = 300
SILENCE_MS = 3000
READ_ON = "read 1000000000 600000 0"  # until it is wanted: publishers may have to wait for it


@dataclass
class Content:
    """What stands in a topic."""
    messages: list  # (sequence, position, key)
    whole: bool  # nothing was overwritten before anybody saw it
    anew: bool = False  # in memory, and the broker stopped in between: sequences began again
    published: dict = field(default_factory=dict)  # key: when its call had come back
    by_sequence: dict = field(default_factory=dict)
    by_position: dict = field(default_factory=dict)

    def __post_init__(self):
        for sequence, position, key in [] if self.anew else self.messages:
            self.add(sequence, position, key)

    def add(self, sequence, position, key):
        self.by_sequence.setdefault(sequence, (position, key))
        self.by_position.setdefault(position, sequence)

    def stood_at(self, position, when):
        """Was there a message at that position already, for certain?"""
        sequence = self.by_position.get(position)
        if sequence is None:
            return False
        end = self.published.get(self.by_sequence[sequence][1], 0)
        return 0 < end < when


class Trial:
    def __init__(self, world):
        self.world = world
        self.verdicts = []
        self.settled = False

    def run(self, schedule):
        """schedule(world) does the hurting."""
        try:
            self.guard(schedule, self.world)
            self.guard(self.settle)
            self.judge()
        finally:
            self.world.close()
        return self.verdicts

    def guard(self, act, *arguments):
        try:
            act(*arguments)
        except Violation as violation:
            self.verdicts.append(Verdict(violation.kind, violation.text))

    # ---- everything right again ----

    def settle(self):
        alive = self.calm()
        self.read_all(alive)
        self.stop_at_last()

    def calm(self):
        """Nobody publishes any more, and all is in. Returns who is alive."""
        world = self.world
        self.put_right()
        alive = [worker for worker in world.workers if worker.is_alive()]
        publishers = [worker for worker in alive if worker.name.startswith("publisher")]
        for worker in alive:
            worker.go_on()
            worker.ask(f"set_wait {PATIENCE_MS}" if worker in publishers else READ_ON)
        self.finish_publishers(publishers)
        return alive

    def put_right(self):
        """There is room, and a broker that serves everything."""
        world = self.world
        world.disk.make_room()
        world.disk.resize("1G")  # for however much a fast machine has published
        world.shm.make_room()
        if world.is_up():
            world.go_on()
        else:
            world.start()
        self.serve_all()

    def finish_publishers(self, publishers):
        world = self.world
        for worker in publishers:
            worker.finish()
        for topic in world.topics:
            self.guard(self.settle_store, topic)
        for at, worker in enumerate(publishers):
            alone = at == len(publishers) - 1
            self.let_finish(worker, alone or all(topic["shared"] for topic in world.topics.values()))
        for topic in world.topics:
            self.guard(self.settle_topic, topic)

    def stop_at_last(self):
        self.stop_broker()
        self.look_for_remains()
        self.settled = True

    def stop_broker(self):
        world = self.world
        world.check_alive()
        code = world.stop()
        if code != 0:
            self.verdicts.append(Verdict("stop", f"an orderly stop ended with {code}: {world.broker_messages()[-300:]}"))

    def look_for_remains(self):
        left = [os.path.join(path, name) for path, _, names in os.walk("/dev/shm") for name in names]
        if left:
            self.verdicts.append(Verdict("left", f"in shared memory, behind an orderly stop: {left[:5]}"))

    def serve_all(self):
        """There is room again. What a broker could not load when there was none, it serves now."""
        world = self.world
        missing = [topic for topic in world.topics if world.hermes("topic", "info", topic, check=False).returncode != 0]
        if missing:
            self.verdicts.append(Verdict("not served", f"{missing}, though nothing is in the way: {world.broker_messages()[-300:]}"))
            world.kill()
            world.start()

    def let_finish(self, publisher, is_free):
        """is_free: nobody else has the topic. Else it may have to wait for another, who has it."""
        patience = PATIENCE_MS if is_free else SHORT_PATIENCE_MS
        before = len(read_calls(publisher.name, publisher.log))
        publisher.do("abort", f"set_wait {patience}", f"wait committed {patience}", f"wait durable {patience}", "confirmed", "poll",
                     "close")
        for call in read_calls(publisher.name, publisher.log)[before:]:
            if is_free and call.what == "wait" and call.rc is not None and codes.name(call.rc) == "ETIMEOUT":
                self.verdicts.append(Verdict("stuck", f"{publisher.name}: not {call.asked['what']} after {patience} ms, though nothing "
                                             "is in its way", call))

    def settle_store(self, topic):
        """Publishers are there, and idle; nobody waits for the disk."""
        if self.world.topics[topic]["durability"] != "memory":
            self.world.wait_persisted(topic)

    def settle_topic(self, topic):
        """What was handed over goes in even when its publisher is gone."""
        world = self.world
        world.wait_until(lambda: world.info(topic)["publishers"] == 0, "publisher stays", f"topic {topic}: its publishers are gone, and "
                         "it has some")
        self.settle_store(topic)
        must = 0 if self.began_anew(topic) else sum(m.promise == IN for s in self.streams() if s.topic == topic for m in s.messages)
        self.is_there(topic, must)

    def is_there(self, topic, must):
        try:
            self.world.wait_until(lambda: self.world.info(topic)["last_sequence"] >= must, "", "")
        except Violation:
            pass  # the judge will say what is missing

    def read_all(self, alive):
        """Subscribers read to the end, and one that is new reads everything."""
        world = self.world
        for topic in world.topics:
            last = world.info(topic)["last_sequence"]
            for worker in alive:
                if worker.name.startswith(f"subscriber-{topic}"):
                    worker.do(f"until {last} {SILENCE_MS}", "close")
            fresh = world.subscriber(f"{topic}-last")
            fresh.do(f"open {topic} first 5000", f"until {last} {SILENCE_MS}", "close")

    # ---- the judgement ----

    def calls(self):
        return {worker.name: read_calls(worker.name, worker.log) for worker in self.world.workers if os.path.exists(worker.log)}

    def streams(self):
        streams = [stream for name, calls in self.calls().items() if name.startswith("publisher")
                   for stream in streams_of(calls, self.world.topics)]
        for stream in streams:
            settle(stream, self.last_start())
        return streams

    def began_anew(self, topic):
        """A topic in memory alone ends with its broker's orderly stop."""
        stops = sum(what == "broker is told to stop" for _, what in self.world.events) - self.settled
        return stops > 0 and self.world.topics[topic]["durability"] == "memory"

    def last_start(self):
        """Of the broker that lived on until everything was in."""
        return max((when for when, what in self.world.events if what == "broker starts"), default=0)

    def judge(self):
        histories = self.calls()
        self.verdicts += judge_codes([call for calls in histories.values() for call in calls])
        if not self.settled:
            return
        streams, contents = self.streams(), {}
        for topic, options in self.world.topics.items():
            mine = [stream for stream in streams if stream.topic == topic]
            contents[topic] = self.content(topic, options, histories)
            contents[topic].published = {message.key: message.call.end for stream in mine for message in stream.messages}
            if contents[topic].anew:
                for stream in mine:
                    stream.wrong = [wrong for wrong in stream.wrong if wrong[0] != "confirmed"]
            self.verdicts += judge_content(topic, contents[topic].messages, mine, options["durability"], options["keep"] is None)
            for stream in mine:
                self.verdicts += judge_stream(stream, contents[topic].messages, contents[topic].whole, contents[topic].anew)
            self.verdicts += judge_others(mine, contents[topic])
        for name, calls in histories.items():
            if name.startswith("subscriber"):
                self.verdicts += judge_reader(name, calls, self.world.topics, contents)

    def content(self, topic, options, histories):
        if options["durability"] == "memory":
            return seen_content(topic, histories, self.began_anew(topic))
        try:
            return Content(read_topic(self.world.disk.path, topic), options["keep"] is None)
        except Unreadable as error:
            self.verdicts.append(Verdict("damage", str(error)))
            return Content([], False)


def seen_content(topic, histories, anew):
    """Of a memory topic: what anybody was given. Where two were given different ones, the first counts, and
    the other is told of; where it began anew, all count."""
    found = {}
    for name, calls in histories.items():
        if name.startswith(f"subscriber-{topic}"):
            for call in calls:
                for what in call.seen:
                    if what[0] == "m":
                        found.setdefault(what[1:] if anew else what[1], what[1:])
    messages = [found[place] for place in sorted(found)]
    return Content(messages, not anew and (not messages or messages[-1][0] == len(messages)), anew)
