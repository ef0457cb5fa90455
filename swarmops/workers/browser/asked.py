"""What tasks ask of a browser: read with all mistakes at once, before any page is opened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from swarmops.runtime.errors import Invalid
from swarmops.workers.browser.policy import place
from swarmops.workers.reading import Fields, flag, mapping, refuse, text, whole

WAITS = ("load", "domcontentloaded", "networkidle", "commit")
STATES = ("visible", "hidden", "attached", "detached")
FORMATS = ("A3", "A4", "A5", "Letter", "Legal")
SELECTORS, STEPS = 50, 50


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the options allow a task: seconds, and bytes of HTML or text in a result."""

    timeout: float = 30.0
    most_timeout: float = 120.0
    text: int = 256 << 10


@dataclass(frozen=True, slots=True)
class Selector:
    """css, and of what it finds: the text, or an attribute; the first, or all."""

    css: str
    attr: str = ""
    all: bool = False


@dataclass(frozen=True, slots=True)
class Shot:
    """A picture: of the window, or of the full page."""

    full_page: bool = False
    kind: str = "png"
    name: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a script. do: which; value: its own."""

    do: str
    value: Any


@dataclass(frozen=True, slots=True)
class Asked:
    """One task. url or html: where it begins ("" for neither, in scripts)."""

    kind: str
    url: str = ""
    html: str = ""
    wait: str = "load"
    wait_for: str = ""
    timeout: float = 30.0
    width: int = 1280
    height: int = 800
    text: int = 256 << 10
    shot: Shot = Shot()
    paper: Mapping[str, Any] = field(default_factory=dict)
    selectors: Mapping[str, Selector] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()


def asked(kind: str, said: Mapping[str, Any], bounds: Bounds) -> Asked:
    """Read a task's arguments. Raises Invalid with all mistakes."""
    faults: list[str] = []
    fields = Fields(said, "", faults)
    html = fields.text("html", "", 1 << 20) if kind in ("screenshot", "pdf", "extract") else ""
    url = fields.take("url", "", _url) if kind != "script" else ""
    if kind != "script" and not fields.has("url") and not (kind != "fetch" and fields.has("html")):
        fields.fault("url", "is missing")
    if fields.has("url") and fields.has("html"):
        fields.fault("html", "goes without url, or url without html")
    found = Asked(
        kind,
        url,
        html,
        fields.one_of("wait", "load", WAITS),
        fields.take("wait_for", "", _css),
        fields.number("timeout", min(bounds.timeout, bounds.most_timeout), 0.1, bounds.most_timeout),
        fields.whole("width", 1280, 16, 4096),
        fields.whole("height", 800, 16, 4096),
        fields.whole("text", bounds.text, 0, bounds.text) if kind == "fetch" else bounds.text,
        _shot(fields) if kind == "screenshot" else Shot(),
        _paper(fields) if kind == "pdf" else {},
        fields.take("selectors", {}, _selectors) if kind == "extract" else {},
        _script(fields, faults) if kind == "script" else (),
    )
    if kind == "extract" and not fields.has("selectors"):
        fields.fault("selectors", "is missing")
    fields.end()
    refuse(faults)
    return found


def _shot(fields: Fields) -> Shot:
    return Shot(fields.flag("full_page", False), fields.one_of("type", "png", ("png", "jpeg")))


def _paper(fields: Fields) -> dict[str, Any]:
    said = {"format": fields.one_of("format", "A4", FORMATS), "landscape": fields.flag("landscape", False)}
    return said | {"print_background": fields.flag("background", True)}


def _url(value: object) -> str:
    url = text(value, 8192)
    place(url)
    return url


def _css(value: object) -> str:
    """A CSS selector, and nothing else of what playwright understands by one."""
    css = text(value, 1000).strip()
    if not css:
        raise Invalid("", "is empty")
    return css


def _selectors(value: object) -> dict[str, Selector]:
    said = mapping(value)
    if not 1 <= len(said) <= SELECTORS:
        raise Invalid("", f"has {len(said)} names, 1 to {SELECTORS} are allowed")
    return {text(name, 100): _selector(name, one) for name, one in said.items()}


def _selector(name: str, value: object) -> Selector:
    try:
        if isinstance(value, str):
            return Selector(_css(value))
        said = mapping(value)
        if unknown := set(said) - {"css", "attr", "all"}:
            raise Invalid("", f"{min(unknown)[:80]!r} is not known (known: all, attr, css)")
        return Selector(_css(said.get("css")), text(said.get("attr", ""), 100), flag(said.get("all", False)))
    except Invalid as e:
        raise Invalid(f".{name[:80]}{e.path}", str(e).removeprefix(f"{e.path}: ")) from None


# -- scripts: a declared list of steps, nothing that is programmed


def _script(fields: Fields, faults: list[str]) -> tuple[Step, ...]:
    fields.need("steps")
    none: list[Any] = []
    said = fields.take("steps", none, _steps)
    steps = [_step(i, one, faults) for i, one in enumerate(said)]
    if said and not (isinstance(said[0], dict) and "goto" in said[0]):
        faults.append("steps[0]: a script begins with goto")
    return tuple(step for step in steps if step)


def _steps(value: object) -> list[Any]:
    if not isinstance(value, list) or not 1 <= len(value) <= STEPS:
        raise Invalid("", f"is not a list of 1 to {STEPS} steps")
    return value


def _step(i: int, said: object, faults: list[str]) -> Step | None:
    at = f"steps[{i}]"
    if not isinstance(said, dict) or len(said) != 1:
        faults.append(f'{at}: is not an object with one step, as {{"click": "#go"}}')
        return None
    ((do, value),) = said.items()
    read = STEP.get(do)
    if read is None:
        faults.append(f"{at}: {str(do)[:80]!r} is no step (there are {', '.join(sorted(STEP))})")
        return None
    try:
        return Step(do, read(value))
    except Invalid as e:
        faults.append(f"{at}.{do}{e.path}: {str(e).removeprefix(f'{e.path}: ')}")
        return None


def _with(*keys: str) -> Any:
    """An object with exactly these texts, the first of which is a selector."""

    def read(value: object) -> tuple[str, ...]:
        said = mapping(value)
        if set(said) != set(keys):
            raise Invalid("", f"is not an object with {' and '.join(keys)}")
        return (_css(said[keys[0]]), *(text(said[k], 100_000) for k in keys[1:]))

    return read


def _wait_for(value: object) -> tuple[str, str]:
    if isinstance(value, str):
        return _css(value), "visible"
    said = mapping(value)
    state = said.get("state", "visible")
    if set(said) - {"selector", "state"} or state not in STATES:
        raise Invalid("", f"is not a selector, or an object with selector and state (one of {', '.join(STATES)})")
    return _css(said.get("selector")), state


def _shot_step(value: object) -> Shot:
    faults: list[str] = []
    fields = Fields(value, "", faults)
    found = Shot(
        fields.flag("full_page", False), fields.one_of("type", "png", ("png", "jpeg")), fields.text("name", "", 100)
    )
    fields.end()
    if faults:
        raise Invalid("", "; ".join(faults))
    return found


STEP: dict[str, Any] = {
    "goto": _url,
    "click": _css,
    "fill": _with("selector", "text"),
    "press": _with("selector", "key"),
    "select": _with("selector", "value"),
    "check": _css,
    "wait_for": _wait_for,
    "wait": lambda v: whole(v, 1, 10_000),  # milliseconds
    "extract": _selectors,
    "screenshot": _shot_step,
}
