#!/usr/bin/env bash
# Debian's i386 kernels, unmodified, on the bare machine: to a shell on the serial console, with local APIC, I/O APIC,
# ACPI and an IDE disk by DMA, and to a clean power-off. Every engine must end with the same state hash.
#
#   tests/suites/debian.sh [686|686-pae]...        default: both
#   ENGINES="interp jit"  RINGSIDE=path/to/ringside
#
# Set-up: takes linux-image-686, linux-image-686-pae and busybox-static for i386 from Debian (apt-get download; nothing
# of them is installed) into target/debian, and installs cpio. Needs a Debian system, root, and some minutes.
set -euo pipefail
cd "$(dirname "$0")/../.."

work=$PWD/target/debian
ringside=${RINGSIDE:-$PWD/target/release/ringside}
read -ra engines <<<"${ENGINES:-interp jit}"
flavours=("$@")
[ ${#flavours[@]} -gt 0 ] || flavours=(686 686-pae)

# Disk drivers are modules in these kernels; in the order they need each other.
modules=(scsi_common scsi_mod libata ata_piix crct10dif_common crc-t10dif crc64 crc64-rocksoft t10-pi sd_mod)

fetch() {
    mkdir -p "$work/packages"
    command -v cpio >/dev/null || DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends cpio >/dev/null
    if ! dpkg --print-foreign-architectures | grep -qx i386; then
        dpkg --add-architecture i386
        trap 'dpkg --remove-architecture i386' EXIT
    fi
    apt-cache show busybox-static:i386 >/dev/null 2>&1 || apt-get update -qq || true
    local package
    for package in busybox-static "$@"; do
        [ -d "$work/$package" ] && continue
        (cd "$work/packages" && apt-get download -qq "$package:i386" 2>/dev/null)
        dpkg-deb -x "$work/packages/${package}"_*.deb "$work/$package.new"
        mv "$work/$package.new" "$work/$package"
    done
}

# The package that linux-image-FLAVOUR stands for.
image_package() {
    apt-cache depends "linux-image-$1:i386" | sed -n 's/ *Depends: \(linux-image-[^:]*\).*/\1/p' | head -1
}

# An initial RAM disk: busybox, the modules, and an init that makes a shell.
make_initrd() {
    local kernel=$1 root=$1/initrd
    rm -rf "$root" && mkdir -p "$root"/{bin,dev,proc,sys,mod}
    cp "$work/busybox-static/bin/busybox" "$root/bin/"
    ln -s busybox "$root/bin/sh"
    for module in "${modules[@]}"; do
        cp "$(find "$kernel/lib/modules" -name "$module.ko")" "$root/mod/"
    done
    cat >"$root/init" <<'INIT'
#!/bin/sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
exec setsid cttyhack sh
INIT
    chmod +x "$root/init"
    # Times and numbers are fixed, so that the archive, and with it the run, is the same every time.
    find "$root" -exec touch -h -d @0 {} +
    (cd "$root" && find . | LC_ALL=C sort | cpio -o -H newc -R 0:0 --reproducible --quiet) >"$kernel/initrd.cpio"
}

cat_script() {
    cat <<SCRIPT
expect / # 
send uname -a; cd /mod; for m in ${modules[*]}; do insmod \$m.ko; done; echo mod''ules-in\\n
expect modules-in
expect # 
send while ! [ -b /dev/sda ]; do sleep 1; done; sha256sum /dev/sda\\n
expect  /dev/sda
expect # 
send echo written-by-debian | dd of=/dev/sda bs=512 seek=100 conv=sync,fsync; cat /proc/interrupts\\n
expect # 
send poweroff -f\\n
SCRIPT
}

packages=()
failed=0
passed=0
check() {
    if eval "$2"; then passed=$((passed + 1)); else failed=$((failed + 1)) && echo "FAILED: $name: $1"; fi
}

fetch
for flavour in "${flavours[@]}"; do
    packages+=("$(image_package "$flavour")")
done
fetch "${packages[@]}"
[ -x "$ringside" ] || cargo build --release -p ringside
cat_script >"$work/script"

for package in "${packages[@]}"; do
    kernel=$work/$package
    make_initrd "$kernel"
    hashes=()
    for engine in "${engines[@]}"; do
        name="$package, $engine"
        log=$kernel/$engine.log
        # Something that is not all the same, four MiB of it.
        seq 1 700000 >"$kernel/disk.img"
        truncate -s 4194304 "$kernel/disk.img"
        sum=$(sha256sum <"$kernel/disk.img" | cut -d' ' -f1)
        status=0
        "$ringside" boot "$kernel"/boot/vmlinuz-* --initrd "$kernel/initrd.cpio" --append "console=ttyS0 cryptomgr.notests=1" --mem 256 \
            --disk "$kernel/disk.img" --script "$work/script" --engine "$engine" --stats --hash \
            --max-insns 30000000000 >"$log" 2>"$log.err" || status=$?
        has() { grep -qE "$1" "$log"; }
        check "status $status, expected 0" '[ $status = 0 ]'
        check "no shell prompt" 'has "^/ # "'
        check "interrupts do not come through the I/O APIC" 'has "IO-APIC +14-edge +ata_piix"'
        check "no local timer interrupts" 'has "LOC: +[1-9]"'
        check "the disk does not read as it is" 'has "$sum"'
        check "what was written is not in the file" \
            '[ "$(dd if="$kernel/disk.img" bs=512 skip=100 count=1 2>/dev/null | head -c 17)" = written-by-debian ]'
        check "no ACPI power-off" 'has "ACPI: PM: Preparing to enter system sleep state S5"'
        check "the kernel complains" '! has "BUG:|Oops|Call Trace|AE_[A-Z]+_|lost interrupt|DMA timed out"'
        stat() { sed -n "s/^$1=//p" "$log.err"; }
        hash=$(sed -n 's/^state-hash=//p' "$log.err")
        hashes+=("$hash")
        check "another state than with ${engines[0]}" '[ "$hash" = "${hashes[0]}" ]'
        echo "$name: $(stat insns) instructions, $(stat wall_ms) ms, $(stat mips) MIPS, state-hash=$hash"
    done
done
echo "$passed passed, $failed failed"
[ $failed = 0 ]
