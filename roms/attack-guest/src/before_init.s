# Attacks before INIT, in linear mode: all data is at `symbol - BASE`, and there is nothing to print with.

.equ BASE, 0x80000000
.equ KERNEL_ADDRESS_B, 1384     # offsets in lguest_data, layout B
.equ SYSCALL_VECTOR_B, 1388

.macro attack name
    movl $77f - BASE, %edx
    call find_word
    jne 78f
    .section .rodata.attacks, "a"
77: .asciz "attack=\name"
    .section .text.attacks, "ax"
.endm

.section .text.attacks, "ax"
.globl before_init
before_init:
    attack hcall-before-init
    xorl %eax, %eax
    int $0x1f
78: attack init-data-outside
    movl $0x70000000, init_argument - BASE
78: attack init-data-wraps
    movl $0xfffffff0, init_argument - BASE
78: attack init-syscall-vector
    movl $0x21, lguest_data - BASE + SYSCALL_VECTOR_B
78: attack init-kernel-address
    movl $0xffc00000, lguest_data - BASE + KERNEL_ADDRESS_B
78: attack fault-before-init
    ud2
78: attack lgdt-outside
    lgdt own_outside - BASE
    ud2
78: attack lidt-outside
    lidt own_outside - BASE
    ud2
78: attack cr3-outside
    movl $0x70000000, %eax
    movl %eax, %cr3
    movl %cr0, %eax
    orl $0x80000000, %eax
    movl %eax, %cr0
    ud2
78: attack lgdt-dpl-0           # entry 1: code for ring 0, which is ring 1's to call
    lgdt own_table - BASE
    lcall $0x09, $far_target - BASE
    cmpl $0x09, %eax
    jne 78f
    xorl %eax, %eax
    int $0x1f                   # so far so good
78: attack lgdt-call-gate       # entry 2: a gate to the Host's code
    movl $far_target - BASE, %eax
    movw %ax, own_gate - BASE
    shrl $16, %eax
    movw %ax, own_gate - BASE + 6
    lgdt own_table - BASE
    lcall $0x11, $0
78: ret

.section .rodata.attacks, "a"
own_outside:
    .word 0x7ff
    .long 0x70000000
own_table:
    .word 4 * 8 - 1
    .long own_descriptors - BASE
.balign 8
own_descriptors:
    .quad 0
    .quad 0x00cf9b000000ffff
own_gate:
    .word 0, 0x50, 0xac00, 0    # its two halves of an offset come at run time
    .quad 0
.section .text.attacks, "ax"

# Where the ring-1 attacks go on.
.globl far_target
far_target:                     # answers the code segment it runs in
    movl %cs, %eax
    lretl
.globl ring_2_target
ring_2_target:
    jmp ring_2_target

# extern "C" fn leave_with_flags(flags): through the no-interrupt window, with these EFLAGS in the frame.
.globl leave_with_flags, leave_with_flags_landing
leave_with_flags:
    movl 4(%esp), %eax
    pushl %eax
    pushl %cs
    pushl $leave_with_flags_landing
    jmp lguest_iret
leave_with_flags_landing:
    pushl $2                    # NT may be set now; IF is not ours to clear
    popfl
    ret

# Ring 3.
.macro probe name
.globl probe_\name
probe_\name:
.endm

.section .ring3.probes, "ax"
probe syscall
    int $0x80
probe undefined
    ud2
probe read                      # eax: address; answer in ecx
    movl (%eax), %ecx
    int $0x80
probe in
    inb $0x21, %al
    int $0x80
probe host_code
    lcall $0x50, $0
    int $0x80
probe interrupts                # four bytes each
    .irp vector, 8, 10, 11, 12, 13, 14, 17
    int $\vector
    int $0x80
    .endr
.balign 16, 0x90
probe privileged                # sixteen bytes each, the end is a zero
    .irp instruction, "hlt", "clts", "lgdt 0", "lidt 0", "lmsw %ax", "lldt %ax", "ltr %ax", "movl %eax, %cr0", "movl %eax, %cr3", "movl %eax, %cr4", "movl %eax, %dr7", "rdmsr", "wrmsr", "wbinvd", "invd", "sysenter", "syscall", "cli", "sti", "outb %al, $0x80"
    \instruction
    int $0x80
    .balign 16, 0x90
    .endr
    .byte 0
