#!/bin/busybox sh
# The first process of the lab's guest. initramfs.rs fills in the words in at signs.
export PATH=/bin HOME=/ TERM=linux

fail() {
    echo "lab: the guest cannot start: $*"
    poweroff -f
}

# The value of a word on the kernel's command line: what differs between the guests of a lab.
option() {
    for word in $(cat /proc/cmdline); do
        case $word in "vmhop.$1="*) echo "${word#*=}" ;; esac
    done
}

/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts
mount -t devpts devpts /dev/pts
hostname guest

for module in /modules/*; do
    # An empty folder leaves the pattern as it stands: all is built in.
    [ -e "$module" ] || continue
    insmod "$module" || fail "module $module does not load"
done

[ -e /sys/class/net/eth0 ] || fail "there is no virtio network device"
# No duplicate address detection, no router solicitation: the lab is quiet until somebody uses it.
echo 0 > /proc/sys/net/ipv6/conf/eth0/accept_dad
echo 0 > /proc/sys/net/ipv6/conf/eth0/router_solicitations
ip link set lo up
ip link set eth0 up
ip addr add "$(option ipv4)" dev eth0 || fail "eth0 takes no IPv4 address"
ip -6 addr add "$(option ipv6)" dev eth0 || fail "eth0 takes no IPv6 address"
for gateway in $(option gateway4) $(option gateway6); do
    # First where it is: the guest's own network may be just the guest.
    ip route add "$gateway" dev eth0 || fail "there is no way to $gateway"
    case $gateway in *:*) family=-6 ;; *) family=-4 ;; esac
    ip $family route add default via "$gateway" dev eth0 || fail "there is no default route by $gateway"
done

# Sparse: it has its size at once and costs no memory.
truncate -s @LARGE_SIZE@ /www/@LARGE_NAME@
httpd -p 80 -h /www || fail "the HTTP server does not start"

# The agents run the commands of `vmhop lab exec guest`; that they answer is what says the guest is ready.
for port in @PORTS@; do
    while :; do
        vmhop lab agent "$port"
        sleep 1
    done &
done
wait
