"""S0-17, S3-53, S4-12, S4-17: URL, keywords, environment and file give the same settings, and say what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from swarmops.runtime import Settings
from swarmops.runtime.errors import Invalid

SAME = Settings(host="10.0.0.5", port=6380, db=2, username="app", password="s3 cr:et", tls=True, ca="/ca.crt")


def test_url_keywords_environment_and_file_are_the_same(tmp_path: Path) -> None:
    assert Settings.of("rediss://app:s3%20cr%3Aet@10.0.0.5:6380/2?ca=/ca.crt") == SAME
    env = {"REDIS_HOST": "10.0.0.5", "REDIS_PORT": "6380", "REDIS_DB": "2", "REDIS_USERNAME": "app"}
    env |= {"REDIS_PASSWORD": "s3 cr:et", "REDIS_TLS": "true", "REDIS_CA": "/ca.crt"}
    assert Settings.from_env(env) == SAME
    secret = tmp_path / "pass"
    secret.write_text("s3 cr:et\n")
    file = tmp_path / "runtime.json"
    file.write_text(json.dumps({"url": "rediss://app@10.0.0.5:6380/2?ca=/ca.crt", "password_file": str(secret)}))
    assert Settings.from_file(file) == SAME
    assert Settings.of(f"rediss://app@10.0.0.5:6380/2?ca=/ca.crt&password_file={secret}") == SAME
    assert Settings.from_env({"SWARMOPS_REDIS_URL": "rediss://app@10.0.0.5:6380/2?ca=/ca.crt", **env}) == SAME


@pytest.mark.parametrize(
    ("variable", "text", "field", "value"),
    [
        ("SWARMOPS_REDIS_URL", "redis://h:1", "host", "h"),
        ("REDIS_URL", "redis://h:1", "port", 1),
        ("REDIS_HOST", "h", "host", "h"),
        ("REDIS_PORT", "7000", "port", 7000),
        ("REDIS_DB", "3", "db", 3),
        ("REDIS_USERNAME", "u", "username", "u"),
        ("REDIS_PASSWORD", "p", "password", "p"),
        ("REDIS_SSL", "yes", "tls", True),
        ("REDIS_TLS", "1", "tls", True),
        ("REDIS_CA", "/c", "ca", "/c"),
        ("AUTOBOT_REDIS_HOST", "h", "host", "h"),
        ("AUTOBOT_REDIS_PORT", "7", "port", 7),
        ("AUTOBOT_REDIS_PASSWORD", "p", "password", "p"),
        ("SWARMOPS_NAMESPACE", "mine", "namespace", "mine"),
        ("SWARMOPS_PATIENCE", "3", "patience", 3),
        ("SWARMOPS_WAIT_REPLICAS", "1", "wait_replicas", 1),
        ("SWARMOPS_LEASE", "3", "lease", 3),
        ("SWARM_MAX_COUNT", "7", "swarm_max", 7),
        ("SWARM_TTL", "60", "swarm_ttl", 60),
        ("HEARTBEAT_INTERVAL", "5000", "heartbeat", 5),
        ("SNAPSHOT_INTERVAL", "1000", "snapshot_interval", 1),
    ],
)
def test_every_variable_changes_what_it_says(variable: str, text: str, field: str, value: Any) -> None:
    assert getattr(Settings(), field) != value
    assert getattr(Settings.from_env({variable: text}), field) == value


def test_sentinels_and_clusters_have_urls() -> None:
    watched = Settings.of("redis+sentinel://10.0.0.1,10.0.0.2:26380/swarm/1")
    assert watched.nodes == (("10.0.0.1", 26379), ("10.0.0.2", 26380))
    assert (watched.kind, watched.master, watched.db) == ("sentinel", "swarm", 1)
    cluster = Settings.of("rediss+cluster://10.0.0.1:7000,[fd00::1]:7001")
    assert cluster.nodes == (("10.0.0.1", 7000), ("fd00::1", 7001)) and cluster.tls and cluster.kind == "cluster"
    assert Settings.of("unix:///run/redis.sock").unix_socket == "/run/redis.sock"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://x", "scheme 'http' is none of redis, rediss"),
        ("redis://a,b", r"redis\+sentinel"),
        ("redis://h:99999", "port '99999' is not a number from 1 to 65535"),
        ("redis://h/x", "database 'x' is not a number"),
        ("redis+sentinel://h", "sentinels need the master's name"),
        ("redis+cluster://", "needs at least one host:port"),
        ("redis://h?lease=soon", "'soon' is not a number"),
        ("redis://h?leese=1", "'leese' is no setting"),
        ("redis://h?namespace=A*", "namespace"),
        ("redis://h?password_file=/nowhere", "/nowhere"),
        ("redis://h?suspect_after=3&dead_after=2", "dead_after"),
        ("redis://h?cert=/x", "both a cert and a key"),
        ("redis://h?patience=-1", "patience"),
    ],
)
def test_what_is_wrong_is_named_and_no_password_shown(url: str, words: str) -> None:
    with pytest.raises(Invalid, match=words) as e:
        Settings.of(url.replace("://", "://u:hunter22@", 1))
    assert "hunter22" not in str(e.value)


def test_a_bad_variable_is_named() -> None:
    """Case 52."""
    with pytest.raises(Invalid, match="REDIS_PORT: 'many'"):
        Settings.from_env({"REDIS_PORT": "many"})
    with pytest.raises(Invalid, match="REDIS_TLS: 'perhaps' is neither true nor false"):
        Settings.from_env({"REDIS_TLS": "perhaps"})


def test_all_bad_variables_are_told_at_once_in_plain_words(tmp_path: Path) -> None:
    """Case 52: each by its own name and in its own unit."""
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    env = {"SWARMOPS_REDIS_URL": "bogus", "REDIS_PORT": "abc", "SWARM_TTL": "abc", "HEARTBEAT_INTERVAL": "-5"}
    env |= {"SWARM_MAX_COUNT": "0", "SWARMOPS_NAMESPACE": "A*", "SNAPSHOT_INTERVAL": "nan", "SWARMOPS_LEASE": "soon"}
    env |= {"REDIS_PASSWORD_FILE": str(tmp_path / "binary")}
    with pytest.raises(Invalid) as e:
        Settings.from_env(env)
    lines = {line.partition(": ")[0]: line.partition(": ")[2] for line in e.value.lines()}
    assert lines.pop("SWARMOPS_REDIS_URL").startswith("scheme '' is none of redis, ")
    assert lines.pop("SWARMOPS_NAMESPACE").startswith("'A*' is not a name")
    assert lines == {
        "REDIS_PORT": "'abc' is not a whole number",
        "SWARM_TTL": "'abc' is not a number of seconds",
        "SWARMOPS_LEASE": "'soon' is not a number of seconds",
        "HEARTBEAT_INTERVAL": "'-5' is not from 10 to 315360000000",
        "SNAPSHOT_INTERVAL": "'nan' is not from 50 to 315360000000",
        "SWARM_MAX_COUNT": "'0' is not from 1 to 1000000",
        "REDIS_PASSWORD_FILE": f"{tmp_path}/binary: is not text",
    }
    with pytest.raises(Invalid, match="REDIS_CERT and REDIS_KEY: a client certificate needs both"):
        Settings.from_env({"REDIS_KEY": "/k"})
    with pytest.raises(Invalid, match=r"^REDIS_URL: master: sentinels need"):
        Settings.from_env({"REDIS_URL": "redis+sentinel://h"})


@pytest.mark.parametrize(
    ("variable", "text", "field", "value"),
    [
        ("SWARMOPS_NAMESPACE", "mine", "namespace", "mine"),
        ("SWARMOPS_PATIENCE", "3", "patience", 3),
        ("SWARMOPS_WAIT_REPLICAS", "1", "wait_replicas", 1),
        ("SWARMOPS_LEASE", "3", "lease", 3),
        ("SWARM_MAX_COUNT", "7", "swarm_max", 7),
        ("SWARM_TTL", "60", "swarm_ttl", 60),
        ("HEARTBEAT_INTERVAL", "5000", "heartbeat", 5),
        ("SNAPSHOT_INTERVAL", "1000", "snapshot_interval", 1),
    ],
)
def test_what_is_not_the_place_counts_wherever_the_place_is_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, text: str, field: str, value: Any
) -> None:
    """S3-53: with --redis, with a file, and with neither."""
    file = tmp_path / "runtime.json"
    file.write_text('{"url": "redis://theirs", "namespace": "theirs", "heartbeat": 9}')
    monkeypatch.setenv(variable, text)
    assert getattr(Settings.find("redis://given"), field) == value
    monkeypatch.setenv("SWARMOPS_RUNTIME", str(file))
    assert getattr(Settings.find(), field) == value and Settings.find().host == "theirs"
    monkeypatch.delenv("SWARMOPS_RUNTIME")
    monkeypatch.setattr("swarmops.runtime.settings.RUNTIME_FILE", str(file))
    assert getattr(Settings.find(), field) == value and Settings.find().host == "theirs"
    monkeypatch.setenv("REDIS_HOST", "other")
    assert getattr(Settings.find(), field) == value and Settings.find().host == "other"


def test_the_place_is_from_one_source_and_what_is_said_with_it_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    """The password of one Redis is never shown to another."""
    for variable, text in (("REDIS_PASSWORD", "secret"), ("REDIS_DB", "3"), ("SWARMOPS_LEASE", "5")):
        monkeypatch.setenv(variable, text)
    found = Settings.find("redis://given?lease=7")
    assert (found.password, found.db, found.lease) == ("", 0, 7)
    assert Settings.find("redis://given", lease=9).lease == 9


def test_the_password_is_not_shown() -> None:
    assert "s3" not in repr(SAME) and "s3" not in SAME.place


def test_files_named_in_a_file_are_beside_it(tmp_path: Path) -> None:
    """So that a service finds what it was handed, wherever its folder is."""
    (tmp_path / "redis-app.pass").write_text("s3 cr:et\n")
    file = tmp_path / "runtime.json"
    said = {"url": "rediss://app@h:6380/0", "password_file": "redis-app.pass", "ca": "ca.crt", "cert": "c", "key": "/k"}
    file.write_text(json.dumps(said))
    found = Settings.from_file(file)
    assert found.password == "s3 cr:et"
    assert (found.ca, found.cert, found.key) == (f"{tmp_path}/ca.crt", f"{tmp_path}/c", "/k")


def test_the_file_of_a_service_wins_over_the_environment_it_runs_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "runtime.json"
    file.write_text('{"url": "redis://theirs"}')
    monkeypatch.setenv("SWARMOPS_RUNTIME", str(file))
    monkeypatch.setenv("REDIS_HOST", "other")
    assert Settings.find().host == "theirs"
    assert Settings.find("redis://given").host == "given"
    file.unlink()
    with pytest.raises(Invalid, match=r"runtime\.json"):
        Settings.find()
