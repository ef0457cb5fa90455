"""What the real ansible-inventory says: one program for many inventories, because importing Ansible takes its time.

`ansible_answers.py VAULT_PASSWORD_FILE OPTIONS,OPTIONS... INVENTORY...` prints {inventory: {options: output}}.
Ansible may run once only in a process, so each run is a fork of the one that has imported it. The password is used
for names with "vault".
"""

from __future__ import annotations

import contextlib
import json
import os
import sys


def answer(inventory: str, options: str, password: str) -> str:
    from ansible.cli import inventory as ansible

    said: list[str] = []
    ansible.display.display = lambda message, *a, **k: said.append(message)
    vault = ["--vault-password-file", password] if "vault" in inventory else []
    with contextlib.suppress(SystemExit):
        ansible.InventoryCLI(["ansible-inventory", "-i", inventory, *options.split(), *vault]).run()
    return said[-1] if said else ""


def forked(inventory: str, options: str, password: str) -> str:
    reader, writer = os.pipe()
    if not os.fork():
        code = 1
        try:
            os.close(reader)
            with open(writer, "w") as out:
                out.write(answer(inventory, options, password))
            code = 0
        finally:
            os._exit(code)
    os.close(writer)
    with open(reader) as said:
        text = said.read()
    os.wait()
    return text


if __name__ == "__main__":
    from ansible.cli import inventory  # noqa: F401 - imported before the forks

    secret, options, *paths = sys.argv[1:]
    json.dump({p: {o: forked(p, o, secret) for o in options.split(",")} for p in paths}, sys.stdout)
