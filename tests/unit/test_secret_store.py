"""The store of secrets: nothing is lost, and nobody else may read it (reliability-security 5; cases 50, 57)."""

from __future__ import annotations

import base64
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from secret_values import AWKWARD, at, checked, file_of

from swarmops.model.faults import InputError
from swarmops.model.secrets import Store, UnknownSecret
from swarmops.model.secretvalues import generate, weak


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return at(tmp_path)


def test_create_makes_a_private_file_and_never_overwrites(store: Store, tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        made = store.create("redis.app")
    finally:
        os.umask(old)
    path = file_of(tmp_path)
    assert path.stat().st_mode & 0o777 == 0o600 and path.parent.stat().st_mode & 0o777 == 0o700
    assert len(made.open()) >= 43
    assert store.create("redis.app") == made == at(tmp_path).get("redis.app")
    assert at(tmp_path).get("redis.app").tag == made.tag


@pytest.mark.parametrize(
    "value", [AWKWARD, "two\nlines of a key\n", " spaces around ", "no", "null", "12345678901234567890"]
)
def test_case_57_values_arrive_unchanged(store: Store, tmp_path: Path, value: str) -> None:
    store.set("odd", value)
    assert at(tmp_path).get("odd").open() == value
    assert shlex.split(shlex.quote(value)) == [value]


@given(st.text(st.characters(blacklist_categories=("Cs",)), min_size=1, max_size=80))
@settings(max_examples=60, deadline=None)
def test_case_57_any_text_survives_the_file(value: str) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        if "\0" in value:
            return
        at(path).set("any.name", value)
        assert at(path).get("any.name").open() == value


def test_an_unknown_secret_is_named_with_the_nearest(store: Store) -> None:
    store.create("redis.app")
    with pytest.raises(UnknownSecret, match=r"there is no secret 'redis\.ap' in .*did you mean 'redis\.app'"):
        store.get("redis.ap")
    with pytest.raises(KeyError):
        store.get("elsewhere")


def test_the_environment_comes_first(tmp_path: Path) -> None:
    at(tmp_path).create("redis.app")
    store = at(tmp_path, SWARMOPS_SECRET_REDIS_APP="from-ci-from-ci-from-ci", SWARMOPS_SECRET_TS_KEY="k" * 20)
    assert store.get("redis.app").open() == "from-ci-from-ci-from-ci"
    assert store.source("redis.app") == "environment" and store.previous("redis.app") is None
    assert store.names() == ["redis.app", "ts.key"]
    assert {s.open() for s in store.values()} > {"from-ci-from-ci-from-ci", "k" * 20}
    with pytest.raises(InputError, match="comes from SWARMOPS_SECRET_REDIS_APP"):
        store.rotate("redis.app")


def test_rotation_has_two_phases(store: Store, tmp_path: Path) -> None:
    first = store.create("redis.app")
    second = store.rotate("redis.app")
    assert first != second and store.previous("redis.app") == first
    assert at(tmp_path).previous("redis.app") == first
    assert {s.open() for s in store.values()} == {first.open(), second.open()}
    with pytest.raises(InputError, match="an earlier rotation"):
        store.rotate("redis.app")
    assert store.get("redis.app") == second
    assert store.finish("redis.app") and not store.finish("redis.app")
    assert store.previous("redis.app") is None and store.get("redis.app") == second
    with pytest.raises(UnknownSecret):
        store.rotate("nobody")


def test_kinds_of_secrets() -> None:
    import pyrage
    from cryptography import x509

    assert pyrage.x25519.Identity.from_str(generate("backup.identity"))
    assert len(base64.b64decode(generate("wireguard.mesh"))) == 32
    ca = x509.load_pem_x509_certificate(generate("tls.ca").encode())
    assert (ca.not_valid_after_utc - ca.not_valid_before_utc).days == 730
    assert ca.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_age_encrypts_the_same_file(tmp_path: Path) -> None:
    import pyrage

    me, friend = pyrage.x25519.Identity.generate(), pyrage.x25519.Identity.generate()
    (tmp_path / "me.txt").write_text(f"# key\n{me}\n")
    (tmp_path / "friend.txt").write_text(f"{friend}\n")
    path = tmp_path / "secrets.yaml.age"
    store = at(tmp_path, SWARMOPS_SECRETS=str(path), SWARMOPS_AGE_IDENTITY=str(tmp_path / "me.txt"))
    store.file.change(lambda entries, make: None, [str(friend.to_public())])
    made = store.create("redis.app")
    assert made.open().encode() not in path.read_bytes() and path.read_bytes().startswith(b"age-encryption.org")
    # Found in the project without being named, and readable by the other recipient.
    assert at(tmp_path, SWARMOPS_AGE_IDENTITY=str(tmp_path / "friend.txt")).get("redis.app").open() == made.open()
    with pytest.raises(InputError, match="SWARMOPS_AGE_IDENTITY"):
        at(tmp_path).get("redis.app")
    (tmp_path / "other.txt").write_text(f"{pyrage.x25519.Identity.generate()}\n")
    with pytest.raises(InputError, match="cannot be decrypted"):
        at(tmp_path, SWARMOPS_AGE_IDENTITY=str(tmp_path / "other.txt")).get("redis.app")


def test_a_writer_killed_at_any_moment_leaves_a_whole_file(store: Store, tmp_path: Path) -> None:
    first = store.create("redis.app")
    script = (
        "import os, sys; from pathlib import Path; from swarmops.model import secretfile\n"
        "from swarmops.model.secrets import Store\n"
        "point = sys.argv[2]; real = getattr(os, point) if point != 'rename' else Path.rename\n"
        "def die(*a, **k): os.kill(os.getpid(), 9)\n"
        "setattr(*((os, point, die) if point != 'rename' else (Path, 'rename', die)))\n"
        "Store.at(Path(sys.argv[1]), 'swarm', {'XDG_CONFIG_HOME': sys.argv[1] + '/config'}).rotate('redis.app')\n"
    )
    for point in ("fsync", "rename"):
        ended = subprocess.run([sys.executable, "-c", script, str(tmp_path), point], timeout=200)
        assert ended.returncode == -9
        assert at(tmp_path).get("redis.app") == first and at(tmp_path).previous("redis.app") is None
    assert list(file_of(tmp_path).parent.glob(".*.tmp"))
    at(tmp_path).rotate("redis.app")
    assert not list(file_of(tmp_path).parent.glob(".*.tmp"))
    assert at(tmp_path).previous("redis.app") == first


def test_two_writers_lose_nothing(store: Store, tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from swarmops.model.secrets import Store\n"
        "s = Store.at(Path(sys.argv[1]), 'swarm', {'XDG_CONFIG_HOME': sys.argv[1] + '/config'})\n"
        "[s.create(f'{sys.argv[2]}.n{i}') for i in range(20)]\n"
    )
    both = [subprocess.Popen([sys.executable, "-c", script, str(tmp_path), name]) for name in ("a", "b")]
    assert [p.wait(timeout=200) for p in both] == [0, 0]
    assert len(at(tmp_path).names()) == 40


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o700])
def test_case_50_mode_of_the_file(store: Store, tmp_path: Path, mode: int) -> None:
    store.create("redis.app")
    path = file_of(tmp_path)
    path.chmod(mode)
    assert checked(at(tmp_path)) == [f"{path}: has mode {mode:04o}; others may read it (chmod 600 {path})"]
    with pytest.raises(InputError):
        at(tmp_path).get("redis.app")


def test_case_50_mode_of_the_folder(store: Store, tmp_path: Path) -> None:
    store.create("redis.app")
    folder = file_of(tmp_path).parent
    folder.chmod(0o755)
    assert checked(at(tmp_path)) == [f"{folder}/secrets.yaml: its folder has mode 0755 (chmod 700 {folder})"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_case_50_owner(store: Store, tmp_path: Path) -> None:
    store.create("redis.app")
    os.chown(file_of(tmp_path), 12345, -1)
    assert "belongs to user 12345, not to you" in checked(at(tmp_path))[0]


def test_case_50_tracked_by_git(tmp_path: Path) -> None:
    (tmp_path / "repo").mkdir(mode=0o700)
    path = tmp_path / "repo" / "secrets.yaml"
    named = {"SWARMOPS_SECRETS": str(path)}
    at(tmp_path, **named).create("redis.app")
    subprocess.run(["git", "init", "-q", path.parent], check=True)
    assert checked(at(tmp_path, **named)) == []
    subprocess.run(["git", "-C", path.parent, "add", "-f", "secrets.yaml"], check=True)
    assert "is tracked by git: what it holds is no secret any more" in checked(at(tmp_path, **named))[0]


@pytest.mark.parametrize("value", ["changeme", "StrongPassword123", "short", "YourStrongPassword123!", "a" * 30])
def test_case_48_weak_and_sample_passwords(tmp_path: Path, value: str) -> None:
    assert weak(value)
    store = at(tmp_path)
    store.set("redis.app", value)
    (fault,) = checked(at(tmp_path))
    assert value not in fault and "swarmops secrets rotate redis.app" in fault
    (fault,) = checked(Store.at(tmp_path, "none", {"HOME": str(tmp_path), "SWARMOPS_SECRET_REDIS_APP": value}))
    assert fault.startswith("SWARMOPS_SECRET_REDIS_APP: ") and value not in fault


def test_generated_values_are_never_weak() -> None:
    assert not any(weak(generate(n)) for n in ("redis.app", "wireguard.mesh", "tls.ca", "backup.identity") * 20)


@pytest.mark.parametrize(
    "text",
    [
        "not: [closed",
        "- a",
        "version: 2\nsecrets: {}\n",
        "version: 1\nsecrets: {a: }\n",
        "version: 1\nsecrets: {a: 12}\n",
    ],
)
def test_a_broken_file_is_refused_without_quoting_it(tmp_path: Path, text: str) -> None:
    path = file_of(tmp_path)
    path.parent.mkdir(parents=True, mode=0o700)
    path.write_text(text + "\n# hunter2hunter2\n")
    path.chmod(0o600)
    (fault,) = checked(at(tmp_path))
    assert fault.startswith(str(path)) and "hunter2" not in fault
    with pytest.raises(InputError):
        at(tmp_path).create("redis.app")
    assert "hunter2" in path.read_text()
