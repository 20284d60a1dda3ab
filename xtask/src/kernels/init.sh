#!/bin/busybox sh
# The first process of the machine: file systems, modules, the checks, off.
/bin/busybox --install -s /bin
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
mount -t devtmpfs dev /dev
mkdir -p /dev/shm /dev/net
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t bpf bpf /sys/fs/bpf
mount -t tmpfs run /run
mkdir -p /run/netns /run/lock /tmp
[ -e /dev/stdin ] || ln -s /proc/self/fd/0 /dev/stdin
[ -e /dev/net/tun ] || mknod /dev/net/tun c 10 200
while read -r module; do
    insmod "/modules/$module.ko" || echo "module $module is not loaded"
done </modules/order
# What a module brings by itself must not stand in the way of what the checks make.
echo 2 >/proc/sys/net/core/fb_tunnels_only_for_init_net
ulimit -l unlimited
ip link set lo up
RINGWALL_BIN=/usr/bin/ringwall /usr/bin/on-this-kernel
printf 'ringwall-end\t%s\n' "$?"
poweroff -f
