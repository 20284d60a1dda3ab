# Boots systemd over a throw-away copy of this machine's files. Arguments: a directory to mount on, and a
# control group of our own. Run in the network namespace that the machine is to have.
#
# The kernel is shared: /proc/sys and /sys are read-only, and only units that this test wants exist.
set -eu
work=$1
if [ "${3:-}" != inside ]; then
    echo $$ > "$2/cgroup.procs"
    exec unshare --mount --pid --uts --ipc --cgroup --fork --kill-child=KILL sh "$0" "$1" "$2" inside
fi
mount --make-rprivate /
mount -t tmpfs machine "$work"
mkdir "$work/upper" "$work/work" "$work/root"
mount -t overlay machine -o "lowerdir=/,upperdir=$work/upper,workdir=$work/work" "$work/root"
cd "$work/root"
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t bpf -o mode=0700 bpf sys/fs/bpf
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=755 tmpfs dev
for node in null zero full random urandom tty; do
    touch "dev/$node"
    mount --bind "/dev/$node" "dev/$node"
done
mkdir dev/shm dev/pts
ln -s pts/ptmx dev/ptmx
# Of this machine's units only the targets and the journal.
mkdir run/units
cp usr/lib/systemd/system/*.target usr/lib/systemd/system/systemd-journald* run/units/
mount -t tmpfs -o mode=755 tmpfs usr/lib/systemd/system
cp run/units/* usr/lib/systemd/system/
for emptied in etc/systemd/system usr/lib/systemd/system-generators; do
    mount -t tmpfs -o mode=755 tmpfs "$emptied"
done
mkdir etc/systemd/system/sysinit.target.wants
for unit in systemd-journald.service systemd-journald.socket systemd-journald-dev-log.socket; do
    ln -s "/usr/lib/systemd/system/$unit" etc/systemd/system/sysinit.target.wants/
done
# Images for containers say here that no service may be started; this machine has an init.
rm -f usr/sbin/policy-rc.d
rm -rf etc/ringwall var/lib/ringwall var/log/ringwall etc/machine-id var/lib/systemd/deb-systemd-helper-enabled/ringwall*
echo 0123456789abcdef0123456789abcdef > etc/machine-id
mkdir old
pivot_root . old
umount -l /old
exec env -i container=ringwall-test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    setpriv --bounding-set=-sys_time,-sys_module,-sys_rawio,-sys_boot \
    /lib/systemd/systemd --unit=multi-user.target --show-status=no
