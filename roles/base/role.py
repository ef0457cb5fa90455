"""What the base role derives: the names of all hosts for /etc/hosts."""

import ipaddress


def vars(context):
    return {"hosts_lines": hosts_lines(context)}


def hosts_lines(context):
    raise NotImplementedError
