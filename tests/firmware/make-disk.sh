#!/bin/sh
# Makes a bootable hard disk image with Debian's GRUB 2: no root, no loop device, no GRUB on this machine's own disks.
#
#   make-disk.sh OUT ENTRY [FILE...]
#
# ENTRY is the menu entry to boot at once, or `menu` to wait at the menu:
#   lguest    our Host with a Guest, from /lguest-host.elf and /first-guest.elf
#   linux     /vmlinuz through its 32-bit entry, with /initrd on the serial console
#   linux16   the same through its 16-bit entry: its real-mode code asks the BIOS
# FILEs are put into the root directory. The image is 64 MiB: an MBR, GRUB's core behind it, one FAT partition at 1 MiB.
set -eu
out=$1
entry=$2
shift 2

grub=/usr/lib/grub/i386-pc
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

case $entry in
    menu) timeout=-1 default=0 ;;
    lguest | linux | linux16) timeout=0 default=$entry ;;
    *) echo "make-disk.sh: unknown entry $entry" >&2; exit 2 ;;
esac

cat > "$work/grub.cfg" <<CFG
set timeout=$timeout
set default=$default
set linux_args="console=ttyS0"

menuentry "lguest Host and Guest" --id lguest {
    multiboot /lguest-host.elf guest-mem=64
    module /first-guest.elf
}
menuentry "Linux, 32-bit entry" --id linux {
    linux /vmlinuz \$linux_args
    initrd /initrd
}
menuentry "Linux, 16-bit entry" --id linux16 {
    linux16 /vmlinuz \$linux_args
    initrd16 /initrd
}
CFG

grub-mkimage -O i386-pc -d "$grub" -p '(hd0,msdos1)/boot/grub' -o "$work/core.img" \
    biosdisk part_msdos fat normal configfile multiboot linux linux16 minicmd

truncate -s 0 "$out"
truncate -s 64M "$out"
# GRUB's boot code before the partition table, then its core from the second sector on: where both expect it.
dd if="$grub/boot.img" of="$out" bs=440 count=1 conv=notrunc status=none
dd if="$work/core.img" of="$out" bs=512 seek=1 conv=notrunc status=none
# One active FAT16 partition from sector 2048 to the end: 63 MiB are 129,024 sectors.
printf '\200\376\377\377\016\376\377\377\000\010\000\000\000\370\001\000' |
    dd of="$out" bs=1 seek=446 conv=notrunc status=none
printf '\125\252' | dd of="$out" bs=1 seek=510 conv=notrunc status=none

partition="$out@@1M"
mformat -i "$partition" -T 129024 -h 255 -s 63 -H 2048 ::
mmd -i "$partition" ::/boot ::/boot/grub
mcopy -i "$partition" "$work/grub.cfg" ::/boot/grub/grub.cfg
for file; do
    mcopy -i "$partition" "$file" ::/
done
