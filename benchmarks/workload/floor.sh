#!/bin/sh
# The floor: the workload written by hand as one script, for this workload only. $1 is the unpacked tarball: files/,
# modes ("path owner:group mode"), sums (sha256sum's list). Looks at all files by one sha256sum and one stat.
set -eu
cd "$1"
changed=0
did() {
    changed=$((changed + 1))
    echo "changed $*"
}
[ "$(dpkg-query -W -f '${db:Status-Status} ' nftables procps 2>/dev/null)" = "installed installed " ] || {
    DEBIAN_FRONTEND=noninteractive apt-get -qq install -y nftables procps
    did packages
}
getent group bench >/dev/null || { groupadd -g 2000 bench && did group; }
n=2001
for user in benchapp benchops; do
    id "$user" >/dev/null 2>&1 || { useradd -m -u $n -g bench -s /bin/bash -d /home/$user $user && did $user; }
    n=$((n + 1))
done
# path owner:group mode, folders first
while read -r path owner mode; do
    [ -d "$path" ] || { mkdir "$path" && chown "$owner" "$path" && chmod "$mode" "$path" && did "$path"; }
done <folders
moved=$(sha256sum --quiet -c sums 2>/dev/null | sed 's/: FAILED.*//') || true
for path in $moved; do
    cp "files$path" "$path.new"
    set -- $(grep "^$path " modes)
    chown "$2" "$path.new" && chmod "$3" "$path.new" && mv "$path.new" "$path"
    did "$path"
done
cat folders modes >want
cut -d' ' -f1 want | xargs stat -c '%n %U:%G %a' >have
if ! cmp -s want have; then
    while read -r path owner mode; do chown "$owner" "$path" && chmod "$mode" "$path"; done <want
    did attributes
fi
grep -q ' bench-redis$' /etc/hosts || { echo '10.88.0.200 bench-redis' >>/etc/hosts && did hosts; }
case "$moved" in *60-bench.conf*) sysctl -q -p /etc/sysctl.d/60-bench.conf ;; esac
case "$moved" in
*bench.nft*) nft -f /etc/bench/bench.nft ;;
*) nft list table inet bench >/dev/null 2>&1 || { nft -f /etc/bench/bench.nft && did rules; } ;;
esac
case "$moved" in *system/bench-*) systemctl daemon-reload ;; esac
units="bench-a bench-b bench-c"
systemctl is-enabled -q $units || { systemctl -q enable $units && did enabled; }
[ "$(systemctl is-active $units | sort -u)" = active ] || { systemctl start $units && did started; }
case "$moved" in *conf.d*) systemctl restart bench-a ;; esac
echo "$changed changed"
