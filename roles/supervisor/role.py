"""What the supervisor role derives: how programs are tied to their supervisor, where this machine can do that."""

import shutil


def vars(context):
    # Where supervisord is killed, its programs end too: they would keep their ports from those that come after.
    found = shutil.which("setpriv", path="/usr/bin:/bin")
    return {"tether": [found, "--pdeathsig", "TERM"] if found else []}
