"""One trial of an embedded log: in the end nobody writes, and one that is new reads everything."""
import os

from bounds import judge_bounds
from logs import judge_log
from store import Unreadable, keyed, read_log
from trial import Content, Trial
from verdicts import Verdict


class LogTrial(Trial):
    def settle(self):
        world = self.world
        world.disk.make_room()
        world.disk.resize("1G")
        alive = [worker for worker in world.workers if worker.is_alive()]
        for worker in alive:
            worker.go_on()
        for worker in alive:
            worker.do("close", "leave")
        last = world.embedded(0)
        last.do("write", "close", "follow", "seek first", "read 1000000000 1000")
        last.do("leave")
        left = [os.path.join(path, name) for path, _, names in os.walk("/dev/shm") for name in names]
        if left:
            self.verdicts.append(Verdict("left", f"in shared memory, behind the last writer: {left[:5]}"))
        self.settled = True

    def judge(self):
        if not self.settled:
            return
        histories = self.calls()
        try:
            content = Content(keyed(read_log(os.path.join(self.world.disk.path, "log"))), True)
        except Unreadable as error:
            self.verdicts.append(Verdict("damage", str(error)))
            return
        self.verdicts += judge_log(histories, self.world.events, content) + judge_bounds(histories, self.world.events)
