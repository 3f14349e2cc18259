"""What the tools around benchmark documents share: measures, placements, and rows put together by both."""
import collections
import statistics

Measure = collections.namedtuple("Measure", "unit scale more_is_better by_line")

# Only these are compared: what lies beyond p99 is the machine's more than the program's.
MEASURES = {
    "rtt_p50_ns": Measure("ns", 1, False, True),
    "rtt_p99_ns": Measure("ns, p99", 1, False, True),
    "delay_p50_ns": Measure("ns late", 1, False, False),
    "delay_p99_ns": Measure("ns late, p99", 1, False, False),
    "one_way_p50_ns": Measure("ns one way", 1, False, False),
    "one_way_p99_ns": Measure("ns one way, p99", 1, False, False),
    "call_p50_ns": Measure("ns a call", 1, False, False),
    "call_p99_ns": Measure("ns a call, p99", 1, False, False),
    "repair_p50_ns": Measure("ns until repaired", 1, False, False),
    "repair_p99_ns": Measure("ns until repaired, p99", 1, False, False),
    "ns_per_operation": Measure("ns", 1, False, False),
    "messages_per_second": Measure("M/s", 1e-6, True, False),
    "bytes_per_second": Measure("GB/s", 1e-9, True, False),
    "cpu_seconds_per_million": Measure("CPU seconds a million messages, all processes", 1, False, False),
    "messages_per_core_second": Measure("messages a core-second of the broker", 1, True, False),
}

# Where the two cores were, by a cache line's round trip. hermes bench --help has the same.
PLACEMENTS = ("close", "near", "between", "far", "")
MOVED = 1.2


def placement(line_ns):
    return "close" if line_ns < 100 else "near" if line_ns < 200 else "between" if line_ns <= 300 else "far"


def place(row):
    """Fills in what a row's two lines say: its placement ("": one core is enough for it), and whether it is steady."""
    before, after = row.get("line_before_ns"), row.get("line_after_ns")
    if before is None or after is None:
        row.setdefault("placement", "")
        row.setdefault("steady", True)
        return row
    row["line_rtt_ns"] = (before + after) / 2
    row["placement"] = placement(row["line_rtt_ns"])
    # The lines are rounded: a row that says itself that it is unsteady is.
    row["steady"] = row.get("steady", True) and max(before, after) <= MOVED * min(before, after)
    return row


class Seen:
    """All figures of one measure in one placement."""

    def __init__(self):
        self.numbers, self.before, self.after, self.thrown_away = [], [], [], 0

    def add(self, row, key):
        """Of a run during which the cores moved there is only the count."""
        self.thrown_away += row.get("thrown_away", 0) if row["steady"] else max(row.get("thrown_away", 0), 1)
        if not row["steady"]:
            return
        self.numbers.append(row[key])
        if row["placement"]:
            self.before.append(row["line_before_ns"])
            self.after.append(row["line_after_ns"])

    def lines(self):
        """Medians of those before and of those after; None where none were looked at."""
        return (statistics.median(self.before), statistics.median(self.after)) if self.before else None

    def ratios(self):
        """Each figure as a ratio to its own line."""
        return [2 * number / (before + after) for number, before, after in zip(self.numbers, self.before, self.after)]


def measures(row):
    """Bytes a second are messages a second, if there are both."""
    return [key for key in MEASURES if key in row and not (key == "bytes_per_second" and "messages_per_second" in row)]
