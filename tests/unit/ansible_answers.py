"""What the real ansible-inventory says: one process for many inventories, because starting Ansible takes a second.

Called as a program: `ansible_answers.py VAULT_PASSWORD_FILE INVENTORY...`; prints {inventory: {option: its output}}.
"""

from __future__ import annotations

import contextlib
import json
import sys

OPTIONS = ("--list", "--list --yaml", "--list --export", "--graph", "--graph --vars")


def answers(inventory: str, password: str) -> dict[str, str]:
    from ansible.cli import inventory as ansible

    found = {}
    for option in OPTIONS:
        said: list[str] = []
        ansible.display.display = lambda message, *a, said=said, **k: said.append(message)
        arguments = ["ansible-inventory", "-i", inventory, *option.split()]
        with contextlib.suppress(SystemExit):
            vault = ["--vault-password-file", password] if "vault" in inventory else []
            cli = ansible.InventoryCLI(arguments + vault)
            cli.parse()
            cli.run()
        found[option] = said[-1]
    return found


if __name__ == "__main__":
    print(json.dumps({path: answers(path, sys.argv[1]) for path in sys.argv[2:]}))
