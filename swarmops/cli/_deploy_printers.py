"""One stream of deploy records, many printers."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Protocol

from swarmops.cli._output import colour_wanted, echo, emit_json, one_line, plain, progress

COLOUR = {"ok": "green", "changed": "yellow", "would": "cyan", "skipped": "grey", "failed": "red"}
COLUMNS = ("ok", "changed", "would", "skipped", "failed")


class Printer(Protocol):
    def show(self, record: dict[str, Any]) -> None: ...

    def close(self) -> None: ...


def printer_for(format_: str, *, verbose: int = 0, diff: bool = False, again: str = "swarmops deploy") -> Printer:
    """`again` is the command that a hint may continue."""
    if format_ == "text":
        return Text(verbose, diff, again)
    others: dict[str, Callable[[], Printer]] = {"jsonl": Lines, "json": Document, "junit": JUnit}
    return others[format_]()


class Lines:
    """Each record as one JSON line, as it comes."""

    def show(self, record: dict[str, Any]) -> None:
        emit_json({"schema": 1, **record}, line=True)

    def close(self) -> None:
        pass


class Document:
    """Everything as one JSON document at the end."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []

    def show(self, record: dict[str, Any]) -> None:
        self.records.append(record)

    def close(self) -> None:
        steps = [r for r in self.records if r["type"] == "step"]
        hosts = {r["host"]: r for r in self.records if r["type"] == "host"}
        recap = next((r for r in self.records if r["type"] == "recap"), {})
        emit_json({"schema": 1, "hosts": hosts, "steps": steps, "recap": recap})


class JUnit(Document):
    """A JUnit report: one suite a host, one case a task."""

    def close(self) -> None:
        from xml.etree import ElementTree as ET

        root = ET.Element("testsuites", name="swarmops deploy")
        for host in dict.fromkeys(r["host"] for r in self.records if r["type"] == "host"):
            suite = ET.SubElement(root, "testsuite", name=host)
            for r in self.records:
                if r["type"] == "step" and r["host"] == host:
                    case = ET.SubElement(suite, "testcase", name=r["id"], time=f"{r['ms'] / 1000:.3f}")
                    if r["status"] == "failed":
                        ET.SubElement(case, "failure", message=plain(r.get("why", "")))
                    elif r["status"] == "skipped":
                        ET.SubElement(case, "skipped")
                elif r["type"] == "host" and r["host"] == host and r["status"] != "done":
                    case = ET.SubElement(suite, "testcase", name="reach the host")
                    ET.SubElement(case, "error", message=plain(r.get("reason", r["status"])))
        echo(ET.tostring(root, encoding="unicode"))


class Text:
    """Lines for people: what changed, what failed and why, and a recap like Ansible's."""

    def __init__(self, verbose: int, diff: bool, again: str):
        self.verbose, self.diff, self.again = verbose, diff, again
        self.live = sys.stderr.isatty() and colour_wanted(sys.stderr)
        self.doing: dict[str, int] = {}

    def show(self, record: dict[str, Any]) -> None:
        getattr(self, "_" + record["type"])(record)

    def close(self) -> None:
        self._clear()

    def _start(self, r: dict) -> None:
        hosts = r["hosts"]
        verb = "checking" if r["check"] else "deploying"
        self._say(f"{verb} {len(hosts)} host{'s' * (len(hosts) != 1)}")
        for number, wave in enumerate(r["waves"], 1):
            if wave["batches"]:
                where = f"wave {number} in " if len(r["waves"]) > 1 else ""
                batches = "; ".join(", ".join(b) for b in wave["batches"])
                self._say(f"{where}{len(wave['batches'])} batches: {batches}")

    def _wave(self, r: dict) -> None:
        if r["number"] > 1:
            self._say(f"wave {r['number']}: {', '.join(r['hosts'])}")

    def _batch(self, r: dict) -> None:
        self._say(f"batch {r['number']} of {r['of']}: {', '.join(r['hosts'])}")

    def _gate(self, r: dict) -> None:
        if well := [h for h in r["hosts"] if h not in r["unwell"]]:
            self._say(f"{', '.join(well)}: well")

    def _note(self, r: dict) -> None:
        self._say((f"{r['host']}: " if r["host"] else "") + one_line(r["text"]), "cyan")

    def _asked(self, r: dict) -> None:
        self._clear()

    def _step(self, r: dict) -> None:
        self.doing[r["host"]] = self.doing.get(r["host"], 0) + 1
        status = r["status"]
        if status in ("changed", "would", "failed") or self.verbose:
            word = "would change" if status == "would" else status
            after = f"  (after {one_line(r['after'])})" if r.get("after") else ""
            self._say(f"{word:<12} {r['host']}  {r['id']}{after}", COLOUR[status])
            if self.diff and status != "ok":
                self._difference(r)
            if status == "failed":
                self._failure(r)
        elif self.live:
            self._tick()

    def _difference(self, r: dict) -> None:
        for key, want in (r.get("want") or {}).items():
            was = (r.get("was") or {}).get(key)
            if not (key == "content" and r.get("diff")):
                self._say(f"             {one_line(key)}: {_short(was)} -> {_short(want)}")
        for line in (r.get("diff") or "").splitlines():
            self._say("    " + plain(line), {"+": "green", "-": "red"}.get(line[:1], ""))

    def _failure(self, r: dict) -> None:
        why = plain(r.get("why", ""))
        self._say("  " + why.strip().replace("\n", "\n  "), "red")
        for argv, code, said in r.get("cmds") or []:
            if code != 0:
                self._say(f"  $ {one_line(' '.join(argv))[:200]} -> {code}")
                for line in plain(said).strip().splitlines()[-10:]:
                    if line.strip() not in why:
                        self._say(f"    {line}")
        tag = f" --tags {r['tags'][0]}" if r.get("tags") else ""
        self._say(f"  next: {self.again} --limit {r['host']}{tag} --check --diff")

    def _host(self, r: dict) -> None:
        if r["status"] != "done":
            self._say(f"{r['status'].upper():<12} {r['host']}  {one_line(r.get('reason', ''))}", "red")
            if r.get("trace"):
                self._say("    " + plain(r["trace"]).replace("\n", "\n    "))

    def _recap(self, r: dict) -> None:
        self._clear()
        echo()
        width = max([len(n) for n in r["hosts"]] or [0])
        for name, counts in r["hosts"].items():
            end = r["ends"].get(name, "")
            bad = end != "done" or counts["failed"]
            cells = "  ".join(f"{c}={counts[c]}" for c in COLUMNS if counts[c] or c in ("ok", "changed", "failed"))
            tail = "" if end == "done" else f"  {end}"
            if end in ("held", "unwell"):
                tail += f": {one_line(r['why'][name].removeprefix('not started: '))}"
            colour = "red" if bad else "yellow" if counts["changed"] or counts["would"] else "green"
            echo(f"{name:<{width}} : {cells}{tail}", colour)
        total = sum(c["changed"] for c in r["hosts"].values())
        would = sum(c["would"] for c in r["hosts"].values())
        words = f"{would} would change" if would else f"{total} changed"
        many = "s" * (len(r["hosts"]) != 1)
        echo(f"{words} on {len(r['hosts'])} host{many} in {r['seconds']:.2f} s")

    def _say(self, text: str, colour: str = "") -> None:
        self._clear()
        progress(text, colour)

    def _tick(self) -> None:
        text = "  ".join(f"{h} {n}" for h, n in self.doing.items())
        sys.stderr.write("\r\033[K" + text[:100])
        sys.stderr.flush()

    def _clear(self) -> None:
        if self.live:
            sys.stderr.write("\r\033[K")


def _short(value: Any) -> str:
    text = "absent" if value is None else str(value)
    return one_line(text if len(text) <= 60 else text[:24] + "...")
