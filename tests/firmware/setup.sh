#!/bin/sh
# Installs what the firmware tests need: Debian's SeaBIOS, GRUB, memtest86+, mtools and QEMU (as root), and puts
# Debian's i386 kernel and an initial RAM disk with a busybox shell into target/firmware.
set -eu
cd "$(dirname "$0")/../.."
to=target/firmware

if ! dpkg --print-foreign-architectures | grep -qx i386; then
    dpkg --add-architecture i386
    trap "dpkg --remove-architecture i386" EXIT
fi
# One index that cannot be had is no loss as long as the packages can.
apt-get update -qq || echo "setup.sh: not all package lists are up to date" >&2
DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
    seabios grub-common grub-pc-bin memtest86+ mtools qemu-system-x86 cpio > /dev/null

rm -rf "$to"
mkdir -p "$to/root/bin" "$to/root/proc" "$to/root/sys" "$to/root/dev"
cd "$to"
# Only the packages' files are wanted; installed, a kernel would become this computer's own.
kernel=$(apt-cache depends linux-image-686:i386 | sed -n 's|.*Depends: \(linux-image-[0-9][^ ]*\).*|\1|p' | head -n 1)
apt-get download -qq "$kernel" busybox-static:i386
for package in *.deb; do
    dpkg-deb --extract "$package" packages
done
cp packages/boot/vmlinuz-* vmlinuz
cp packages/bin/busybox root/bin/busybox
cat > root/init << 'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
exec setsid cttyhack sh
INIT
chmod +x root/init
(cd root && find . | cpio --quiet -o -H newc > ../initrd)
echo "firmware tests: kernel and initial RAM disk are in $to"
