"""Whether a program that supervisord keeps answers at its url."""

import time

from swarmops.target.kinds.wait import unanswered
from swarmops.target.system import Failed

ANSWERS = 30.0  # seconds that a program which runs is given until its url answers
DEAF = 30.0  # seconds for which one runs and does not answer, until it is started anew
ASK = 2.0  # seconds for one question


def now(args):
    return unanswered(args, ASK) is None


def deaf(args, state, up):
    """Whether it runs for long and does not answer: by a former configuration, as an interrupted deploy leaves it."""
    if not args["url"] or not state["running"] or state["answers"]:
        return False
    info = up.info(args["name"])
    return info["now"] - info["start"] > DEAF


def wait(args, up):
    """Until its url answers. Raises Failed with its last words."""
    end, pause = time.monotonic() + ANSWERS, 0.02
    while why := unanswered(args, ASK):
        info = up.info(args["name"])
        if info["statename"] != "RUNNING" or time.monotonic() > end:
            raise Failed("%s runs, but %s %s%s" % (args["name"], args["url"], why, up.tail(info)))
        time.sleep(pause)  # no event tells of it
        pause = min(pause * 1.5, 0.5)
