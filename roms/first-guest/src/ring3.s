# The programs of the first Guest. They run in ring 3 at RING3_CODE; A and B at the same linear address, each in its
# own address space. System calls (int 0x80): number in eax, arguments in ebx and ecx.

.equ DATA, 0x00402000           # a page of the program's own
.equ LETTER, DATA
.equ RELEASED, DATA + 4         # set by the kernel when the timer interrupted the loop
.equ CONTROL, DATA + 8          # FPU control word, loaded
.equ CONTROL_NOW, DATA + 12     # and stored
.equ NUMBER_NOW, DATA + 16

.equ EXIT, 0
.equ WRITE, 1
.equ YIELD, 2
.equ CLAIM, 3                   # ebx: what is proved, ecx: is it so
.equ LOOP, 4                    # asks for the timer while the program loops
.equ ON_FAULT, 5                # ebx: where to go on after a fault

.equ MEMORY, 0
.equ THREAD_LOCAL, 1
.equ FPU_STATE, 2
.equ PREEMPTED, 3

.macro system_call number
    movl $\number, %eax
    int $0x80
.endm

.macro say text, length
    movl $\text, %ebx
    movl $\length, %ecx
    system_call WRITE
.endm

.macro claim_if_equal what
    sete %cl
    movzbl %cl, %ecx
    movl $\what, %ebx
    system_call CLAIM
.endm

.macro program letter, control
    say 11f, 12f - 11f
    movl $\letter, LETTER
    movl $\control, CONTROL
    fninit
    fldcw CONTROL
    fildl LETTER
    system_call YIELD           # the other one does the same to its memory, segment and FPU now
    cmpl $\letter, LETTER
    claim_if_equal MEMORY
    cmpl $\letter, %gs:0
    claim_if_equal THREAD_LOCAL
    fistpl NUMBER_NOW
    fnstcw CONTROL_NOW
    movl NUMBER_NOW, %edx
    xorl $\letter, %edx
    movl CONTROL_NOW, %eax
    xorl $\control, %eax
    orw %ax, %dx
    claim_if_equal FPU_STATE
    system_call LOOP
    movl $20000000, %ecx
21: cmpl $0, RELEASED
    jne 22f
    decl %ecx
    jnz 21b
22: cmpl $1, RELEASED
    claim_if_equal PREEMPTED
.endm

.section .ring3.a, "ax"
.globl program_a
program_a:
    program 'A', 0x027f
    say 13f, 14f - 13f
    system_call EXIT
11: .ascii "  program A: hello from ring 3. int 0x80 carried these words to ring 1.\n"
12:
13: .ascii "  program A: done, and program B never saw my memory. Goodbye.\n"
14:

.section .ring3.b, "ax"
.globl program_b
program_b:
    program 'B', 0x0e7f
    movl $31f, %ebx
    system_call ON_FAULT
    say 15f, 16f - 15f
    xorl %ecx, %ecx
.globl program_b_divides
program_b_divides:
    divl %ecx
    ud2
31: say 13f, 14f - 13f
    system_call EXIT
11: .ascii "  program B: hello from ring 3. I live at the same address as A, in other memory.\n"
12:
13: .ascii "  program B: the kernel caught me. Goodbye.\n"
14:
15: .ascii "  program B: now I divide by zero.\n"
16:

# Probes: a few instructions each; what they may not do ends the run with a trap, what they may ends in int 0x80.
.macro probe name
.globl probe_\name
probe_\name:
.endm

.section .ring3.probes, "ax"
probe segments
    movl %ds, %eax
    movl %es, %ecx
probe syscall
    int $0x80
    hlt
probe read                      # eax: address; answer in ecx
    movl (%eax), %ecx
    int $0x80
probe write                     # eax: address, ecx: value; answer in edx
    movl %ecx, (%eax)
    movl (%eax), %edx
    int $0x80
probe hlt
    hlt
    int $0x80
probe cli
    cli
    int $0x80
probe in
    inb $0x21, %al
    int $0x80
probe host_code
    lcall $0x50, $0
    int $0x80
probe hypercall
    int $0x1f
    int $0x80
probe divide
    xorl %ecx, %ecx
.globl probe_divide_at
probe_divide_at:
    divl %ecx
    int $0x80
probe step
    pushfl
    orl $0x100, (%esp)
    popfl
    nop
.globl probe_step_stop
probe_step_stop:
    int $0x80

.section .text.vmcall, "ax"
.globl vmcall_site
vmcall_site:                    # eax: hypercall; rewritten in place by the Host
    .byte 0x0f, 0x01, 0xc1
    ret
# An interrupt is pending and irq_enabled is 0: leave through the window with IF set in the frame.
.globl leave_through_window
leave_through_window:
    pushfl
    orl $0x200, (%esp)
    pushl %cs
    pushl $1f
    jmp lguest_iret
1:  ret
