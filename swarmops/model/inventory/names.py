"""Names of hosts, groups and variables: which are accepted, and what to say about the others."""

from __future__ import annotations

import difflib
import ipaddress
import re
from typing import Any

from swarmops.model.faults import Faults, Mark

_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?\Z")
_GROUP = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\Z")

# The variables with which Ansible reaches hosts (connections ssh, paramiko, local; become; shells), without `ansible_`.
_CONNECTION = """
host port user password connection connection_timeout timeout command_timeout ssh_host ssh_port ssh_user
ssh_pass ssh_password ssh_private_key ssh_private_key_file ssh_private_key_passphrase private_key_file
private_key private_key_passphrase ssh_common_args ssh_extra_args ssh_args ssh_executable sftp_executable
scp_executable sftp_extra_args scp_extra_args sftp_batch_mode ssh_pipelining pipelining ssh_retries ssh_timeout
ssh_transfer_method ssh_host_key_checking host_key_checking ssh_use_tty ssh_verbosity ssh_agent
ssh_pkcs11_provider pkcs11_provider ssh_password_mechanism ssh_control_path ssh_control_path_dir control_path
control_path_dir sshpass_prompt become become_user become_pass become_password become_method become_exe
become_flags become_plugin sudo_exe sudo_flags sudo_pass sudo_password sudo_chdir su_exe su_flags su_pass
su_password su_prompt_l10n doas_exe doas_flags runas_user runas_flags common_remote_group shell_type
shell_executable shell_allow_world_readable_temp executable module_compression python_interpreter
ruby_interpreter perl_interpreter remote_tmp async_dir system_tmpdirs admin_users group_priority
paramiko_host_key_checking paramiko_pty paramiko_proxy_command paramiko_timeout paramiko_banner_timeout
paramiko_record_host_keys paramiko_host_key_auto_add paramiko_look_for_keys paramiko_conn_password paramiko_user
paramiko_pass paramiko_port proxy_command network_os winrm_port winrm_user winrm_pass winrm_scheme
winrm_transport winrm_server_cert_validation psrp_host psrp_port httpapi_use_ssl httpapi_validate_certs
persistent_command_timeout persistent_connect_timeout docker_extra_args docker_host docker_timeout
machinectl_user podman_extra_args local_become_success_timeout local_become_strip_preamble
"""
# What looks like a slip of one of these but is a fact or a setting of Ansible's own.
_OTHER = """
hostname user_id user_uid user_gid user_dir user_gecos user_shell python python_version hosts local env facts
play_hosts play_name play_batch play_role_names role_name role_names check_mode diff_mode version verbosity
limit run_tags skip_tags search_path config_file inventory_sources forks fqdn nodename domain distribution
os_family system kernel kernel_version machine architecture processor memory_mb memtotal_mb mounts devices
interfaces default_ipv4 default_ipv6 all_ipv4_addresses all_ipv6_addresses dns date_time uptime_seconds
service_mgr pkg_mgr selinux apparmor virtualization_type virtualization_role product_name parent_role_names
collection_name delegated_vars index_var loop loop_var failed_task failed_result managed
"""
CONNECTION_NAMES = frozenset(f"ansible_{name}" for name in _CONNECTION.split())
_OTHER_KNOWN = frozenset(f"ansible_{name}" for name in _OTHER.split())


def host_name(name: str, mark: Mark, faults: Faults) -> bool:
    """Whether a name can be a host's (case 39); else a fault."""
    sentence, hint = _host_trouble(name)
    if sentence:
        faults.add(mark, "", f"'{shorten(name)}' is not a host name: {sentence}", hint)
    return not sentence


def _host_trouble(name: str) -> tuple[str, str]:
    if not name:
        return "it is empty", ""
    if is_address(name):
        return "", ""
    if not name.isascii():
        odd = next(c for c in name if not c.isascii())
        return f"it holds '{odd}' (U+{ord(odd):04X})", "letters a-z, digits, '-', '_' and '.'"
    if name.startswith("-"):
        return "it begins with '-'", "ssh would take it for an option"
    if "@" in name:
        return "it holds '@'", "the user goes into ansible_user"
    if not _HOST.match(name):
        odd = next((c for c in name if not re.match(r"[A-Za-z0-9_.-]", c)), name[-1])
        what = "a space" if odd == " " else repr(odd)
        return f"it holds {what}" if odd != name[-1] or odd not in ".-" else f"it ends with '{odd}'", (
            "letters, digits, '-', '_' and '.'"
        )
    if len(name) > 253 or any(len(label) > 63 for label in name.split(".")):
        return "a part of it is longer than 63 letters", "DNS allows 63 between two dots, 253 in all"
    if ".." in name:
        return "two dots follow each other", ""
    return "", ""


def is_address(text: str) -> bool:
    """Whether it is an IPv4 or IPv6 address (no zone)."""
    try:
        return ipaddress.ip_address(text) is not None and "%" not in text
    except ValueError:
        return False


def group_name(name: Any, raw: str | None, mark: Mark, faults: Faults) -> bool:
    """Whether a name can be a group's; else a fault."""
    if not isinstance(name, str):
        shown = raw or name
        faults.add(mark, "", f"a group's name must be text, {shown} is read as {kind(name)}", f"write '{shown}'")
    elif not _GROUP.match(name):
        sentence = f"'{shorten(name)}' is not a group name" if name else "a group without a name"
        faults.add(mark, "", sentence, "letters, digits, '_', '-' and '.'")
    else:
        return True
    return False


def variable_name(name: Any, path: str, mark: Mark, faults: Faults) -> bool:
    """Whether a name can be a variable's. Names near one of Ansible's connection variables are faults (case 17)."""
    if not isinstance(name, str):
        faults.add(mark, path, f"a variable's name must be text, {name} is read as {kind(name)}", "quote it")
        return False
    if not name.isidentifier():
        if not name:
            faults.add(mark, path, "a variable without a name")
            return False
        sentence = f"'{shorten(name)}' cannot be used as a variable in templates"
        faults.warn(mark, path, sentence, f"such as {re.sub(r'[^0-9A-Za-z_]', '_', name) or '_'}")
    elif name.startswith("ansible"):
        meant = slip_of(name)
        if meant:
            faults.add(mark, path, f"unknown variable '{name}'", f"did you mean '{meant}'?")
    return True


def slip_of(name: str) -> str:
    """The connection variable that a name is a slip of; '' for known names and for those unlike any."""
    if name in CONNECTION_NAMES or name in _OTHER_KNOWN:
        return ""
    near = difflib.get_close_matches(name, CONNECTION_NAMES, n=1, cutoff=0.88)
    # One is the other plus a word (ansible_user_groups): a name of somebody's own.
    if near and not name.startswith(f"{near[0]}_"):
        return near[0]
    return ""


def kind(value: Any) -> str:
    """What YAML read a value as, in words."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    words = {int: "a number", float: "a number", str: "text", dict: "a map", list: "a list"}
    return next((word for known, word in words.items() if isinstance(value, known)), "a date")


def shorten(text: str, most: int = 70) -> str:
    """For messages: control characters escaped, long text cut."""
    text = text.encode("unicode_escape").decode() if not text.isprintable() else text
    return text if len(text) <= most else text[: most - 3] + "..."
