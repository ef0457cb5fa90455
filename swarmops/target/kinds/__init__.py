"""What a task can ask for: one file a kind, found by its name. docs/kinds.md shows them to users.

A kind resembles the Ansible module of its name and has

ARGS          argument -> type ("path!", "started|stopped", "duration = 30s"), see planning/kinds_spec.py. What
              is not listed is a fault, never ignored
SHORT         optional: the argument that a bare text means (`command: redis-cli ping`)
PLANNER_ONLY  optional: arguments that the host never sees. The planner resolves `src`, or copy's
              `content`, into args["content"], a sha256
want(args)                      the desired state: plain values; None = must not exist. Pure. Raises
                                ValueError with a sentence where arguments do not go together: the planner
                                calls it, so that this too is found before a host is contacted
read(args, want, system)        the same keys as they are now. Raises Missing when that cannot be known
                                yet. Changes nothing
fix(args, want, state, system)  makes it so; may return facts for `register`. Raises Failed
makes(args)                     optional: what exists after it: "file:/path", "user:name", "group:name",
                                "package:name", "unit:name.service"
diff(args, want, state, system) optional: text for people
out(args, system)               optional: facts for `register`, read whether or not something changed
lacks(args, system)             optional: whether fix will want the content; asked before the first step
fetches(args, system)           optional: sha256 of large contents that fix will want as files, see target/incoming.py
lands(args)                     optional: the path whose former generation comes back when a handler fails; `dest`
                                or `path` where it is not said
touches(args, system)           optional: paths that fix writes, kept by the rollback timer of guarded steps
prefetch(all_args, system)      optional: called once before the first step of this kind in a run
VERIFY                          optional: False where reading again cannot tell
"""
