"""Real hosts on this machine: systemd-nspawn guests in a network namespace of their own."""
