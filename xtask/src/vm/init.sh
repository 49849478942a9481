#!/bin/busybox sh
# Process 1 of the VM until the agent takes over: lays this machine's root file system, read-only, under a writable
# one in memory, gives it what a booted machine has, and changes into it.
fail() {
    echo "vmhop: $*"
    exit 1
}

/bin/busybox --install -s /bin
export PATH=/bin
mount -t devtmpfs dev /dev && mount -t proc proc /proc && mount -t sysfs sys /sys || fail "no /dev, /proc or /sys"
for module in /modules/*.ko; do
    insmod "$module" || fail "cannot load $module"
done

# Before 6.1 every request, also one for a page, allocates and clears two buffers of the full size.
case $(uname -r) in
5.*) size=32768 ;;
*) size=512000 ;;
esac
share="trans=virtio,version=9p2000.L,msize=$size"
mount -t 9p -o "$share,ro,cache=loose" root /lower || fail "cannot mount the machine's root"
mount -t tmpfs -o mode=755 upper /upper || fail "no tmpfs"
mkdir /upper/files /upper/work
mount -t overlay -o lowerdir=/lower,upperdir=/upper/files,workdir=/upper/work root /root ||
    fail "cannot lay one file system over the other"

for folder in /dev /proc /sys; do
    mount --move $folder /root$folder || fail "cannot move $folder"
done
cd /root || fail "no root"
mkdir -p dev/pts dev/shm run tmp out
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts dev/pts
mount -t tmpfs -o mode=1777 shm dev/shm
mount -t tmpfs -o mode=755 run run
# Empty, unless the workspace is in there.
@KEEP_TMP@ || mount -t tmpfs -o mode=1777 tmp tmp
mount -t 9p -o "$share,cache=none" out out || fail "cannot mount the folder for results"
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t bpf bpf sys/fs/bpf
mount -t debugfs debugfs sys/kernel/debug
mount -t tracefs tracefs sys/kernel/tracing
mount -t securityfs securityfs sys/kernel/security 2>/dev/null
mkdir -p run/lock run/netns
ln -sf /proc/self/fd dev/fd
ln -sf /proc/self/fd/0 dev/stdin
ln -sf /proc/self/fd/1 dev/stdout
ln -sf /proc/self/fd/2 dev/stderr

# The kernel's own modules, where modprobe and the kernel itself look for them.
release=$(uname -r)
mkdir -p "lib/modules/$release" boot
mount -t 9p -o "$share,ro,cache=loose" modules "lib/modules/$release" || fail "cannot mount the modules"
cp /config "boot/config-$release"
# busybox's, since kmod's, if there is one, wants an index that only kmod's depmod makes.
cp /bin/busybox run/busybox
for applet in modprobe insmod rmmod lsmod modinfo; do
    ln -sf /run/busybox sbin/$applet
done
# These make their device nodes only when they are loaded. Which kvm, the processor decides.
vendor=amd
grep -q -w vmx proc/cpuinfo 2>/dev/null && vendor=intel
for module in tun tap vhost_net kvm-$vendor @MODULES@; do
    chroot . /sbin/modprobe -q $module || echo "vmhop: cannot load $module" &
done
wait

ip link set lo up
for device in sys/class/net/*; do
    case $(cat $device/address) in
@NAMES@
    *) continue ;;
    esac
    ip link set "${device##*/}" name "$name" || fail "cannot name $name"
done

cp /job run/vmhop-job
exec switch_root /root "@AGENT@" vm agent /run/vmhop-job
