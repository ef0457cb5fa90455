#!/bin/sh
# What a host looks like, for comparison: state (equal for every tool), then "marks" (must not move in a no-op).
getent passwd benchapp benchops
getent group bench
dpkg-query -W -f '${Package} ${db:Status-Status}\n' nftables procps
for f in /etc/bench /etc/bench/conf.d /etc/bench/redis /var/lib/bench /var/lib/bench/data /var/log/bench \
    /home/benchapp /home/benchops /home/benchops/.ssh; do stat -c '%n %F %U:%G %a' $f; done
files="/etc/bench/conf.d/*.conf /etc/bench/bench.nft /etc/bench/redis/redis.conf /etc/sysctl.d/60-bench.conf
    /etc/systemd/system/bench-?.service /home/benchops/.ssh/authorized_keys /etc/hosts"
stat -c '%n %F %U:%G %a' $files
sha256sum $files | grep -v authorized_keys
grep -v '^$' /home/benchops/.ssh/authorized_keys # blank lines do not matter
sysctl net.ipv4.tcp_keepalive_time net.ipv4.tcp_fin_timeout
nft list table inet bench
for u in a b c; do echo "bench-$u $(systemctl is-enabled bench-$u) $(systemctl is-active bench-$u)"; done
systemctl show -p NeedDaemonReload bench-a bench-b bench-c
echo "-- marks"
stat -c '%n %i %Y' $files
for u in a b c; do echo "bench-$u $(systemctl show -P InvocationID bench-$u)"; done
