"""Values of secrets, and a store in a folder of a test's own."""

from __future__ import annotations

from pathlib import Path

from hypothesis import strategies as st

from swarmops.model.faults import Faults
from swarmops.model.secrets import Store

# Values one can find again: long enough not to be part of what a Secret shows anyway.
values = st.text(st.characters(blacklist_categories=("Cs",)), min_size=16, max_size=60)
AWKWARD = "q'\"\\%n %%s $HOME `id` #x {{ 7*7 }} <&> é\tü"


def at(tmp_path: Path, **environ: str) -> Store:
    return Store.at(tmp_path, "swarm", {"XDG_CONFIG_HOME": str(tmp_path / "config"), **environ})


def file_of(tmp_path: Path) -> Path:
    return tmp_path / "config" / "swarmops" / "swarm" / "secrets.yaml"


def checked(store: Store) -> list[str]:
    faults = Faults()
    store.check(faults)
    return [str(f) for f in faults]
