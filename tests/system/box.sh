# Inside new namespaces: make the machine a throw-away one, then become systemd, as PID 1. Called by box.py with:
#   $1 prefix of the Python that the tests run on   $2 its site-packages, for what anima needs   $3 a folder that is /opt/box inside
set -e
mount --make-rprivate /
mkdir -p /opt
mount -t tmpfs -o mode=755 tmpfs /opt
mkdir -p /opt/etc/new /opt/etc/work /opt/python /opt/deps /opt/box
mount --bind "$1" /opt/python
mount --bind "$2" /opt/deps
mount --bind "$3" /opt/box
for place in /var/log /var/lib /run /tmp /home /root; do mount -t tmpfs -o mode=755 tmpfs $place; done
chmod 1777 /tmp
mkdir -p /run/user/4200 /run/systemd/system /run/journal /var/log/journal /home/person
mount -t overlay overlay -o lowerdir=/etc,upperdir=/opt/etc/new,workdir=/opt/etc/work /etc
mkdir -p /opt/local/new /opt/local/work
mount -t overlay overlay -o lowerdir=/usr/local,upperdir=/opt/local/new,workdir=/opt/local/work /usr/local
umount -R /sys/fs/cgroup 2>/dev/null || true
mount -t cgroup2 cgroup2 /sys/fs/cgroup
echo /opt/python/lib > /etc/ld.so.conf.d/box.conf
/sbin/ldconfig
echo 'person:x:4200:4200::/home/person:/bin/sh' >> /etc/passwd
echo 'person:x:4200:' >> /etc/group
chown 4200:4200 /home/person /run/user/4200
chmod 700 /home/person /run/user/4200
rm -rf /etc/systemd/system
mkdir -p /etc/systemd/system /run/box
cd /run/box
for target in sysinit basic multi-user shutdown exit umount local-fs network nss-lookup; do
    printf '[Unit]\nDefaultDependencies=no\n' > $target.target
done
cat > box.target <<'U'
[Unit]
DefaultDependencies=no
Wants=journal.service manager.service
After=journal.service manager.service
U
cat > journal.service <<'U'
[Unit]
DefaultDependencies=no
[Service]
Type=notify
ExecStart=/lib/systemd/systemd-journald
U
cat > manager.service <<'U'
[Unit]
DefaultDependencies=no
After=journal.service
[Service]
Type=notify
User=person
Environment=XDG_RUNTIME_DIR=/run/user/4200 HOME=/home/person
ExecStart=/lib/systemd/systemd --user
Delegate=yes
KillMode=mixed
U
mount --make-rshared /  # as at any boot: systemd mounts credentials elsewhere and lets them appear by propagation
export container=box SYSTEMD_UNIT_PATH=/etc/systemd/system:/run/systemd/system:/run/box
exec /lib/systemd/systemd --system --unit=box.target --show-status=no --log-target=journal
