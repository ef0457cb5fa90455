"""The standard output of a command, such as `pg_dump app`, kept as one file. A non-zero exit is a failure.

The output goes to a private file without a name first, so that it is whole before a byte of it is sent.
"""

from swarmops.target.system import Failed

ARGS = {"argv": "list!", "name": "name!", "timeout": "duration = 10m", "user": "name"}


def collect(args, system, out):
    import subprocess
    import tempfile

    argv = [str(word) for word in args["argv"]]
    extra, limit = {}, float(args.get("timeout") or 600)
    if args.get("user"):
        gid = system.users()[args["user"]].pw_gid if system.uid(args["user"]) is not None else None
        extra = {"user": args["user"], "group": gid, "extra_groups": []}
    with tempfile.TemporaryFile(dir="/var/tmp") as spool, tempfile.TemporaryFile() as said:
        try:
            done = subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=spool,
                stderr=said,
                timeout=limit,
                check=False,
                **extra,
            )
        except subprocess.TimeoutExpired:
            raise Failed("`%s` took longer than %g s" % (argv[0], limit))
        if done.returncode != 0:
            said.seek(max(0, said.tell() - 1000))
            words = " ".join(said.read().decode("utf-8", "replace").split())
            raise Failed("`%s` failed with exit code %d: %s" % (argv[0], done.returncode, words))
        spool.flush()
        out.descriptor(args["name"], spool.fileno(), args["name"])
    return {"argv": argv[:1]}
