#!/bin/sh
# Installs Debian packages: programs only. A service that comes with them does not start, neither now nor at boot.
set -eu
export DEBIAN_FRONTEND=noninteractive
policy=/usr/sbin/policy-rc.d
service=openvswitch-switch
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 1' HUP INT TERM
    # The packages' scripts ask this program; 101 forbids. Should it be left behind, it forbids nothing else.
    printf '#!/bin/sh\ncase $1 in openvswitch* | ovs*) exit 101 ;; esac\n' > "$policy"
    chmod 755 "$policy"
fi
known=no
[ -e /etc/init.d/$service ] && known=yes
apt-get install -y --no-install-recommends "$@"
if [ $known = no ] && [ -e /etc/init.d/$service ] && command -v systemctl > /dev/null; then
    systemctl disable --quiet $service
fi
