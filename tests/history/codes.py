"""What the parts of include/hermes/client.h say of the codes of each function. Edit here when one changes."""
import os
import re

SOURCE = os.environ.get("HERMES_SOURCE", os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))


def read_codes():
    with open(os.path.join(SOURCE, "include/hermes/error.h")) as file:
        return {name: int(value) for name, value in re.findall(r"HERMES_(E\w+) = (-\d+)", file.read())}


CODES = read_codes()
NAMES = {value: name for name, value in CODES.items()}

# "HERMES_ETOOLARGE; HERMES_EAGAIN ...; HERMES_EFULL ...; HERMES_EFENCED ... After these, this message was not
# published." And a claim that is open, a topic that is gone: nothing was published either.
NOT_PUBLISHED = {"ETOOLARGE", "EAGAIN", "EFULL", "EFENCED", "EINVALID", "ECLOSED", "EMALFORMED"}
# "Taken: it is not to be published again": it stands, or goes out before any other if a broker comes back while the
# publisher is open. (Of HERMES_EIO only hermes_publisher_accepted() knows.)
TAKEN = {"EDISCONNECTED", "ETIMEOUT"}

# "In place of the count", of a batch on a sync topic: hermes_publisher_accepted() has it.
IN_PLACE_OF_A_COUNT = {"ETIMEOUT", "EIO"}

# "For good": what was taken before and did not get in is not in either, or nobody knows.
FOR_GOOD = {"EFENCED", "ECLOSED", "EMALFORMED"}

PUBLISH = NOT_PUBLISHED | TAKEN | {"EIO"}
ASKS_THE_BROKER = {"EDISCONNECTED", "ETIMEOUT"}  # of functions for which the header has no list

# The call, as the workers name it: the codes that its function may return.
NAMED = {
    "connect": {"EDISCONNECTED", "EVERSION", "ENOTSUP"} | ASKS_THE_BROKER,
    "ping": ASKS_THE_BROKER,
    "open": {"ENOTFOUND", "EBUSY", "EFULL", "ELIMIT", "EIO"} | ASKS_THE_BROKER,
    "publish": PUBLISH,
    "batch": PUBLISH,
    "claim": NOT_PUBLISHED | {"EIO"},
    "commit": {"EINVALID", "EFENCED", "ECLOSED", "EMALFORMED", "EIO"} | TAKEN,
    "abort": set(),
    "wait": {"ETIMEOUT", "EIO", "ENOTSUP", "EINVALID", "EFENCED", "ECLOSED"},
    "confirmed": set(),
    "poll": {"EFENCED", "ECLOSED"},
    "close": set(),
    "disconnect": set(),
    "subscribe": {"ENOTFOUND", "ENAME", "EINVALID", "EBUSY", "EACCESS", "ELIMIT"} | ASKS_THE_BROKER,
    "unsubscribe": set(),
    "read": {"EGONE", "EDISCONNECTED", "ECLOSED", "EINTERRUPTED"},  # and damage: see DAMAGE
    "seek": {"EINVALID", "EGONE", "ENOTFOUND"} | ASKS_THE_BROKER,
}

# "Errors as hermes_ack()": of a message that this subscriber was given itself there is one.
CLAIM = {"EEXPIRED"}
NAMED |= {
    "join": NAMED["subscribe"],
    "durable": NAMED["subscribe"],
    "leave": set(),
    "part": set(),
    "take": NAMED["read"] | {"EBUSY"},  # of a durable subscription: another has its place by now
    "ack": CLAIM | {"EDISCONNECTED"},  # of a durable subscription: what is to be looked up in the log was not, and nothing is done
    "nack": CLAIM,
    "renew": CLAIM,
    "counters": set(),
    "create": {"EEXISTS", "ENAME", "EINVALID", "ELIMIT", "EFULL"} | ASKS_THE_BROKER,
    "alter": {"EACCESS", "EFULL"} | ASKS_THE_BROKER,
    "reset": {"EACCESS", "EFULL", "EBUSY"} | ASKS_THE_BROKER,  # dead letters that cannot be put away: nothing was altered
    "describe": ASKS_THE_BROKER,
    "delete": {"EBUSY"} | ASKS_THE_BROKER,
}

NAMED["until"] = NAMED["read"]
NAMED["wait_for"] = NAMED["wait"]

# include/hermes/log.h.
NAMED_OF_LOGS = {
    "write": {"EBUSY", "EFULL", "ECORRUPT"},
    "append": {"ETOOLARGE", "EAGAIN", "EIO", "EFULL"},
    "claim": {"ETOOLARGE", "EAGAIN", "EIO", "EFULL"},
    "room": {"ETIMEOUT", "EIO", "EFULL"},
    "sync": {"EIO", "EFULL"},
    "finish": {"EIO", "EFULL"},
    "follow": {"ENOTFOUND"},
}

# What a reader is told of damage. No schedule damages anything.
DAMAGE = {"ECHECKSUM", "ECORRUPT", "EMALFORMED"}


def name(rc):
    return NAMES.get(rc, str(rc))
