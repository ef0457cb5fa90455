"""What `make demo-lab` gives the six hosts to do, as an outside client of the coordinator's API.

The token is in the environment; arguments: the addresses of the coordinator and of the dashboard.
"""

import os
import sys

from swarmops.client.http import Client

NOTES = {
    "leases": "A worker that falls silent loses its lease, and its tasks run again elsewhere.",
    "backups": "Every dump is proven: a scratch Redis boots on the copy and counts its keys.",
    "mesh": "WireGuard joins the hosts of all sites into one network.",
}


def main(coordinator: str, page: str) -> None:
    with Client(coordinator, os.environ["SWARMOPS_TOKEN"]) as client:
        made = client.run("embed", {"texts": list(NOTES.values())}, needs=["infer"])
        print(f"   npu-1      embed       {len(made['vectors'])} vectors of {made['dim']} numbers, on {made['device']}")
        items = [{"id": id, "text": text} for id, text in NOTES.items()]
        client.run("index", {"collection": "notes", "items": items})
        wish = {"collection": "notes", "text": "what happens when a machine dies?", "k": 1}
        found = client.run("search", wish)
        print(f"   ai-1       search      {found['results'][0]['text']!r}")
        drawn = client.run("screenshot", {"url": page}, timeout=60)
        print(f"   browser-1  screenshot  {page}: {drawn['bytes']} bytes of {drawn['type']}")


main(*sys.argv[1:])
