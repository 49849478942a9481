#!/bin/sh
# Installs Debian packages: programs only. A service that comes with them does not start, neither now nor at boot.
set -eu
export DEBIAN_FRONTEND=noninteractive
policy=/usr/sbin/policy-rc.d
services="openvswitch-switch ssh"
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 1' HUP INT TERM
    # The packages' scripts ask this program; 101 forbids. Should it be left behind, it forbids nothing else.
    printf '#!/bin/sh\ncase $1 in openvswitch* | ovs* | ssh | sshd) exit 101 ;; esac\n' > "$policy"
    chmod 755 "$policy"
fi
known=
for service in $services; do
    [ -e "/etc/init.d/$service" ] && known="$known $service "
done
apt-get install -y --no-install-recommends "$@"
for service in $services; do
    case $known in *" $service "*) continue ;; esac
    if [ -e "/etc/init.d/$service" ] && command -v systemctl > /dev/null; then
        systemctl disable --quiet "$service"
    fi
done
