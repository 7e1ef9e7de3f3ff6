// The world switch. Read the module documentation in lib.rs first.
//
// Conventions: the section is linked at its linear address, so symbols and unwind information are right in both
// worlds. Every data access before the segment registers are the Host's goes through SS, which is the flat ring-0
// segment from the first instruction of a trap.

    .section .switcher, "ax", @progbits

// ---------------------------------------------------------------------------------------------------------------
// One stub for each vector, 16 bytes apart, first in the section: stub(n) = start + 16 n.
// The stack is the registers page; the processor has pushed SS ESP EFLAGS CS EIP and for some vectors an error code.

    .globl switcher_stubs
    .type switcher_stubs, @function
switcher_stubs:
    .cfi_startproc simple
    .cfi_signal_frame
    .cfi_def_cfa %esp, 12
    .cfi_offset %eip, -12
    .set vector, 0
    .rept 256
    .balign 16
    .if vector == 2
        jmp switcher_nmi
    .else
        .if (vector == 8) || ((vector >= 10) && (vector <= 14)) || (vector == 17)
        .else
            pushl $0
        .endif
        pushl $vector
        jmp switcher_exit
    .endif
    .set vector, vector + 1
    .endr
    .cfi_endproc
    .size switcher_stubs, . - switcher_stubs

// ---------------------------------------------------------------------------------------------------------------
// NMI while the Guest's IDT is loaded: in ring 1 or 3, or in ring 0 in the middle of a switch, in either address
// space. Count it and go back as if nothing had been. The state page is read-only in the Guest's tables, so CR0.WP
// is lifted around the increment; another NMI cannot come before the IRET.

    .globl switcher_nmi
    .type switcher_nmi, @function
switcher_nmi:
    .cfi_startproc simple
    .cfi_signal_frame
    .cfi_def_cfa %esp, 12
    .cfi_offset %eip, -12
    pushl %eax
    .cfi_adjust_cfa_offset 4
    movl %cr0, %eax
    andl $~{CR0_WP}, %eax
    movl %eax, %cr0
    incl %ss:{NMI_COUNT}
    orl ${CR0_WP}, %eax
    movl %eax, %cr0
    popl %eax
    .cfi_adjust_cfa_offset -4
    iretl
    .cfi_endproc
    .size switcher_nmi, . - switcher_nmi

// ---------------------------------------------------------------------------------------------------------------
// void switch_to_guest(void): Host -> Guest. From here to the return the canonical frame address is found through
// the saved ESP in the state page: DW_CFA_def_cfa_expression const4u HOST_ESP, deref, plus_uconst 20.

    .globl switch_to_guest
    .type switch_to_guest, @function
switch_to_guest:
    .cfi_startproc
    pushl %ebp
    .cfi_adjust_cfa_offset 4
    .cfi_rel_offset %ebp, 0
    pushl %ebx
    .cfi_adjust_cfa_offset 4
    .cfi_rel_offset %ebx, 0
    pushl %esi
    .cfi_adjust_cfa_offset 4
    .cfi_rel_offset %esi, 0
    pushl %edi
    .cfi_adjust_cfa_offset 4
    .cfi_rel_offset %edi, 0
    movl %esp, {HOST_ESP}
    .cfi_escape 0x0f, 8, 0x0c, {HOST_ESP} & 0xff, ({HOST_ESP} >> 8) & 0xff, ({HOST_ESP} >> 16) & 0xff, ({HOST_ESP} >> 24) & 0xff, 0x06, 0x23, 20

    // The Guest's registers become the stack. The same address is the same page after CR3 changes.
    movl ${FRAME}, %esp
    lgdt {GUEST_GDTR}
    lidt {GUEST_IDTR}
    // LTR writes the busy bit into the GDT, which is read-only in the Guest's tables: it must come before CR3.
    movl ${TSS}, %eax
    ltr %ax
    // The Host's TSS descriptor becomes loadable again.
    movl {HOST_TSS}, %eax
    andb $0xfd, 5(%eax)
    movl {GUEST_CR3}, %eax
    movl %eax, %cr3

    popl %eax
    popl %ebx
    popl %ecx
    popl %edx
    popl %esi
    popl %edi
    popl %ebp
    popl %gs
    popl %fs
    popl %ds
    popl %es
    // Over trapnum and errcode.
    addl $8, %esp
    .globl switcher_iret
switcher_iret:
    iretl

// ---------------------------------------------------------------------------------------------------------------
// Guest -> Host. The stack holds vector, error code, and what the processor pushed. A trap from ring 0 is a fault of
// the Switcher itself: it was popping or returning to what the Guest had spoilt.

    .globl switcher_exit
    .type switcher_exit, @function
switcher_exit:
    testb $3, %ss:12(%esp)
    jz 2f
    pushl %es
    pushl %ds
    pushl %fs
    pushl %gs
    pushl %ebp
    pushl %edi
    pushl %esi
    pushl %edx
    pushl %ecx
    pushl %ebx
    pushl %eax
1:
    movl ${DATA}, %eax
    movl %eax, %ds
    movl %eax, %es
    movl {HOST_CR3}, %eax
    movl %eax, %cr3
    lgdt {HOST_GDTR}
    lidt {HOST_IDTR}
    andb $0xfd, {GUEST_TSS_BUSY}
    movl {HOST_ESP}, %esp
    movl ${TSS}, %eax
    ltr %ax
    xorl %eax, %eax
    movl %eax, %fs
    movl %eax, %gs
    popl %edi
    popl %esi
    popl %ebx
    popl %ebp
    .cfi_def_cfa %esp, 4
    ret
2:
    // The frame is spoilt; only say so.
    movl ${NO_TRAP}, %ss:{TRAPNUM}
    jmp 1b
    .cfi_endproc
    .size switcher_exit, . - switcher_exit

    .globl switcher_end
switcher_end:
