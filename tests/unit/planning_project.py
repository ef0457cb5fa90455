"""A small project of roles and templates, planned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from swarmops.model.faults import Faults
from swarmops.model.project import Project
from swarmops.planning.plan import Plan, make_plans

HOSTS = """\
store: {hosts: {r1: {ansible_host: 10.0.0.10, mesh_address: 10.77.0.10}}}
edge:
  hosts:
    w1: {ansible_host: 10.0.0.11, mesh_address: 10.77.0.11}
    w2: {ansible_host: 10.0.0.12, mesh_address: 10.77.0.12}
"""
DECLARED = """\
version: 1
infrastructure: {app: all}
network: {subnet: 10.0.0.0/24, controllers: [10.0.0.5/32]}
"""


class Planned:
    """`role(text)`, `template(name, text)`, then `plan()`."""

    def __init__(self, root: Path):
        self.root = root
        self.faults = Faults()
        self.write("distributed.yaml", DECLARED)
        self.write("inventory/lan/hosts.yaml", HOSTS)

    def write(self, name: str, text: str) -> Planned:
        file = self.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return self

    def role(self, text: str, name: str = "app") -> Planned:
        return self.write(f"roles/{name}/role.yaml", f"role: {name}\n{text}")

    def task(self, text: str, more: str = "") -> Planned:
        """A role with one task, in flow form."""
        return self.role(f"{more}tasks:\n  - {text}\n")

    def template(self, text: str, name: str = "app/x.j2") -> Planned:
        return self.write(f"templates/{name}", text)

    def rendering(self, text: str, vars: str = "{}") -> Planned:
        """A role whose one task renders `text` to /etc/x, with `vars` in YAML."""
        self.role(f"vars: {vars}\ntasks:\n  - {{name: write x, template: {{src: x.j2, dest: /etc/x}}}}\n")
        return self.template(text)

    def plan(self, **options: Any) -> dict[str, Plan]:
        self.faults = Faults()
        project = Project.open(self.root, None, self.faults)
        return make_plans(project, extra=options.pop("extra", {}), faults=self.faults, **options)

    @property
    def lines(self) -> list[str]:
        return [str(fault) for fault in self.faults.errors]

    def fault(self, **options: Any) -> str:
        """The one fault that planning finds."""
        self.plan(**options)
        assert len(self.lines) == 1, self.lines
        return self.lines[0]

    def steps(self, host: str = "r1", **options: Any) -> list[dict[str, Any]]:
        plans = self.plan(**options)
        assert not self.lines, self.lines
        return plans[host].steps

    def text(self, host: str = "r1", path: str = "/etc/x", **options: Any) -> str:
        """What a file holds."""
        plan = self.plan(**options)[host]
        assert not self.lines, self.lines
        return next(plan.contents[f.sha].decode() for f in plan.files if f.path == path)

    def secret(self, host: str = "r1", path: str = "/etc/x") -> bool:
        plan = self.plan()[host]
        assert not self.lines, self.lines
        return next(f.secret for f in plan.files if f.path == path)
