#!/usr/bin/env bash
# Rebuilds the built-in Guest, kernel and initial RAM disk, on Debian 12 from its packages linux-source-6.1 and
# busybox-static:i386, into the folder given (here by default). With the pinned versions below the bytes are those of
# SHA256SUMS, wherever and whenever it is built; with others it builds and says "not comparable".
#
#   build.sh [FOLDER]          ONLY=initrd or ONLY=vmlinux builds one of them; needs about 2 GB in $TMPDIR and six minutes of processor time
#   apt-get install linux-source-6.1 gcc gcc-multilib make bc flex bison libelf-dev xz-utils cpio
#   dpkg --add-architecture i386 && apt-get update && apt-get install busybox-static:i386    (or set BUSYBOX=FILE)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=$(realpath -m "${1:-$here}")
source_archive=${LINUX_SOURCE:-/usr/src/linux-source-6.1.tar.xz}
busybox=${BUSYBOX:-/bin/busybox}

export LC_ALL=C TZ=UTC ARCH=i386 SOURCE_DATE_EPOCH=1793491200
export KBUILD_BUILD_TIMESTAMP="Sun Nov  1 00:00:00 UTC 2026" KBUILD_BUILD_USER=ringside KBUILD_BUILD_HOST=ringside
export KBUILD_BUILD_VERSION=1

# What the committed images were built from: name, expected, found.
comparable=yes
pinned() {
    if [ "$2" != "$3" ]; then
        echo "build.sh: $1 is \"$3\", the committed images are from \"$2\"" >&2
        comparable=no
    fi
}
[ -e "$source_archive" ] || { echo "build.sh: $source_archive is not there: install linux-source-6.1" >&2; exit 2; }
[ -e "$busybox" ] || { echo "build.sh: $busybox is not there: install busybox-static:i386" >&2; exit 2; }
pinned "the kernel source" 4d415b3d3648 "$(sha256sum < "$source_archive" | cut -c 1-12)"
pinned "busybox" 67fc1f3acfd1 "$(sha256sum < "$busybox" | cut -c 1-12)"
pinned "gcc" "gcc (Debian 12.2.0-14+deb12u1) 12.2.0" "$(gcc --version | head -n 1)"
pinned "ld" "GNU ld (GNU Binutils for Debian) 2.40" "$(ld --version | head -n 1)"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out"

build_vmlinux() {
    echo "build.sh: unpacking the kernel's source" >&2
    mkdir "$work/linux"
    tar --extract --file "$source_archive" --directory "$work/linux" --strip-components 1
    cd "$work/linux"
    for patch in "$here"/0*.patch; do
        patch --quiet --strip 1 < "$patch"
    done
    make -s tinyconfig > /dev/null
    ./scripts/kconfig/merge_config.sh -m .config "$here/config" > /dev/null 2>&1
    make -s olddefconfig
    grep -q '^CONFIG_OUTPUT_FORMAT="elf32-i386"' .config && grep -q '^CONFIG_LGUEST_GUEST=y' .config ||
        { echo "build.sh: the configuration is not that of a 32-bit Guest" >&2; exit 1; }
    echo "build.sh: compiling" >&2
    make -s -j"$(nproc)" vmlinux
    # With its symbols, for traces and debuggers; without the sections that only they would miss.
    strip --strip-debug --remove-section .comment -o "$out/vmlinux" vmlinux
    chmod 644 "$out/vmlinux"
}

program() {
    gcc -m32 -march=i686 -Os -Wall -Wextra -Werror -ffreestanding -fno-pie -fno-pic -fno-stack-protector \
        -fno-asynchronous-unwind-tables -fcf-protection=none -mno-sse -mpreferred-stack-boundary=2 -nostdlib -static \
        -no-pie -Wl,--build-id=none -s -o "$2" "$here/initramfs/$1.c"
}

build_initrd() {
    echo "build.sh: the initial RAM disk" >&2
    root=$work/root
    mkdir -p "$root"/{bin,dev,etc,proc,sys}
    install -m 755 "$busybox" "$root/bin/busybox"
    install -m 755 "$here/initramfs/init" "$here/initramfs/load" "$root"
    install -m 755 "$here/initramfs/udhcpc.script" "$root/etc"
    install -m 644 "$here/initramfs/greeting" "$root"
    program demo "$root/demo"
    program heed "$root/bin/heed"
    find "$root" -exec touch --no-dereference --date=@$SOURCE_DATE_EPOCH {} +
    (cd "$root" && find . -print0 | sort -z |
        cpio --quiet --null --create --format newc --owner 0:0 --reproducible) | gzip -9n > "$out/initrd.gz"
}

for part in ${ONLY:-vmlinux initrd}; do
    "build_$part"
done

cd "$out"
if [ "$out" = "$here" ]; then
    sha256sum vmlinux initrd.gz > SHA256SUMS
elif [ $comparable = no ]; then
    echo "not comparable: other versions give other bytes"
elif sha256sum --quiet ${ONLY:+--ignore-missing} --check "$here/SHA256SUMS"; then
    echo "identical to the committed images"
else
    echo "build.sh: DIFFERENT from the committed images" >&2
    exit 1
fi
