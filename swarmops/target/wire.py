"""The contract between controller and host: what goes in, what comes out, in which frames.

In, on standard input:  one *frame* each for the envelope, for the engine when the host lacks it, and for contents
                        the host asks for, large ones as pieces with an empty one at the end. A frame is 8 hex digits
                        of length and that many bytes.
Out, on standard output: `SENTINEL` on a line of its own (login noise before it is dropped), then one JSON object a
                        line. A line `{"e": "bytes", "n": N}` is followed by exactly N raw bytes.

Envelope (JSON, zlib-compressed):
  v        this contract's version
  mode     facts | apply | check | releases | health | backup
  host     inventory name;  by  who runs it;  run  id of the run
  steps    apply, check: steps in order, see `step`
  back     apply: {step, now, before}: play no step, take back the release that this step has brought (`regret`)
  links    releases: where the links to releases are
  checks   health;  backups  backup
  contents sha256 -> size, of every file content that the steps name
"""

VERSION = 1
SENTINEL = "swarmops-1"
MAX_TEXT = 65536  # bytes of any remote text that are kept (case 61)
HEARTBEAT = 4  # seconds between the controller's signs of life, each answered by the host
SILENCE = 20  # seconds without one after which the applier stops, between two steps

# Results of a step.
OK, CHANGED, WOULD, SKIPPED, FAILED = "ok", "changed", "would", "skipped", "failed"


def frame(payload):
    """`payload` (bytes) as one frame."""
    return b"%08x" % len(payload) + payload


def step(id, role, name, kind, args, **more):
    """One task made concrete for one host, as plain data.

    id        `role/name`, unique on the host (loops add `[item]`)
    kind,args what is wanted; args hold every argument of the kind, defaults included
    content   sha256 of the file content the step lands, if it lands one
    when      list of expressions over registered results and facts, all of which must hold on the host
    consts    values the expressions use
    register  name under which later steps see this result
    notify    ids of handlers; a handler has `watches`, the ids of the steps that notify it
    secret    true when the content must never be shown
    guard     true when the change could lock us out (applied under the rollback timer)
    tags, skip  its tags; skip is true when --tags left it out
    """
    made = {"id": id, "role": role, "name": name, "kind": kind, "args": args}
    made.update({k: v for k, v in more.items() if v not in (None, False, [], {}, "")})
    return made
