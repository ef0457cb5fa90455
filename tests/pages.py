"""What the pages of the documentation hold: links, blocks, commands."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").glob("*.md")])


@dataclass(frozen=True)
class Block:
    """A fenced block, or an indented one (`language` is then "")."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text()
    for match in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.S | re.M):
        yield Block(page, text.count("\n", 0, match.start()) + 1, match[1], match[2])
    bare = re.sub(r"^```.*?^```$", lambda m: "\n" * m[0].count("\n"), text, flags=re.S | re.M)
    for match in re.finditer(r"(?:(?<=\n\n)|^)(?: {4}.*\n+)+", bare):
        yield Block(page, bare.count("\n", 0, match.start()) + 1, "", re.sub(r"^ {4}", "", match[0], flags=re.M))


def code_in_lines(page: Path) -> Iterator[str]:
    """What stands between single backticks."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.S | re.M)
    yield from re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text)


def shell_lines(block: Block) -> Iterator[str]:
    """The commands of a block of shell or console: without prompts, output and comments."""
    for line in block.text.splitlines():
        if block.language == "console":
            if not line.startswith("$ "):
                continue
            line = line[2:]
        yield re.split(r"\s#", line)[0].strip()


def swarmops_commands(text: str) -> Iterator[list[str]]:
    """Every `swarmops VERB ...` in a piece of code, also several behind one another and inside `lab exec --`."""
    for part in re.split(r" -- |;|&&|\|", text):
        if match := re.search(r"(?:^|[\s/])swarmops ((?:-|[a-z]).*)", part):
            words = re.sub(r"[][()]", " ", match[1]).replace("...", " ")
            try:
                yield shlex.split(words)
            except ValueError:
                yield words.split()


def verb_of(words: list[str]) -> tuple[click.Command, str, list[str]]:
    """The command that the words name, its name, and the words left. Raises KeyError."""
    from swarmops.cli import swarmops

    command: click.Command = swarmops
    context = click.Context(swarmops)
    name, rest = "swarmops", list(words)
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        word = rest.pop(0).rstrip(",.:")
        found = command.get_command(context, word)
        if found is None:
            raise KeyError(f"{name} {word}")
        command, name = found, f"{name} {word}"
    return command, name, rest


def options_of(command: click.Command) -> set[str]:
    own = {text for p in command.params for text in [*p.opts, *p.secondary_opts]}
    return own | {"--help", "-h"}


def every_command() -> Iterator[tuple[str, click.Command, click.Context]]:
    """All verbs, those of groups and the top included."""
    from swarmops.cli import swarmops

    def walk(name: str, command: click.Command, parent: click.Context | None) -> Iterator:
        context = click.Context(command, info_name=name.split()[-1], parent=parent, terminal_width=80)
        yield name, command, context
        if isinstance(command, click.Group):
            for sub in command.list_commands(context):
                found = command.get_command(context, sub)
                assert found is not None
                yield from walk(f"{name} {sub}", found, context)

    yield from walk("swarmops", swarmops, None)
