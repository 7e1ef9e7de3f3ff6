# The loops of the system operations. Each is `extern "C" fn(rounds) -> u32` and returns a checksum.

.macro enter
    pushl %ebx
    pushl %esi
    pushl %edi
    pushl %ebp
    movl 20(%esp), %ecx
    xorl %ebx, %ebx
.endm
.macro leave_with register
    movl \register, %eax
    popl %ebp
    popl %edi
    popl %esi
    popl %ebx
    ret
.endm

.section .text.operations, "ax"

# Ring 3: a system call that does nothing.
.balign 16
.globl op_int80
op_int80:
    enter
1:  int $0x80
    decl %ecx
    jnz 1b
    leave_with %ebx

# Ring 3: a far call through a gate to ring 0 and back.
.balign 16
.globl op_call_gate
op_call_gate:
    enter
1:  lcall $CALL_GATE, $0
    decl %ecx
    jnz 1b
    leave_with %ebx

# Ring 3: a store to a page that is not there; #PF, map, retry. The page before is unmapped, with INVLPG.
.balign 16
.globl op_page_fault
op_page_fault:
    enter
    xorl %esi, %esi
1:  addl $4096, %esi
    andl $(FAULT_PAGES - 1) * 4096, %esi
    addl %ecx, FAULT_WINDOW(%esi)
    decl %ecx
    jnz 1b
    leave_with FAULT_WINDOW(%esi)

# Ring 3: four loads of data segment registers.
.balign 16
.globl op_segment_load
op_segment_load:
    enter
    movl %ds, %edx
1:  movl %edx, %es
    movl %edx, %fs
    movl %edx, %gs
    movl %edx, %ds
    addl %ecx, %ebx
    decl %ecx
    jnz 1b
    leave_with %ebx

# Ring 3: loads and stores through three data segments of another base, byte-granular limits.
.balign 16
.globl op_segment_access
op_segment_access:
    enter
    movl $BASED_DS, %eax
    movl %eax, %es
    movl %eax, %fs
    movl %eax, %gs
    movl $segment_data, %esi
1:  movl %es:(%esi), %eax
    addl %ecx, %eax
    movl %eax, %fs:4(%esi)
    addl %eax, %gs:8(%esi)
    xorl %gs:8(%esi), %ebx
    movb %bl, %es:(%esi)
    decl %ecx
    jnz 1b
    movl %ds, %eax
    movl %eax, %es
    movl %eax, %fs
    movl %eax, %gs
    leave_with %ebx

# Ring 3: the immediate of an instruction is rewritten, then executed.
.balign 16
.globl op_self_modify
op_self_modify:
    enter
1:  movl %ecx, patched + 1
    call patched
    addl %eax, %ebx
    decl %ecx
    jnz 1b
    leave_with %ebx

# Ring 3: a jump of the kernel-patching kind is turned on and off, and the function called 16 times in between.
.balign 16
.globl op_patch_text
op_patch_text:
    enter
1:  movl $0x0003EB90, patch_site    # nop; jmp +3, or, every other time, 4-byte nop
    testl $1, %ecx
    jz 2f
    movl $0x00401F0F, patch_site
2:  movl $16, %edx
3:  call patch_function
    decl %edx
    jnz 3b
    decl %ecx
    jnz 1b
    leave_with %ebx

# Ring 3: stores to data beside the code that does them, in its page but another line.
.balign 16
.globl op_code_and_data
op_code_and_data:
    enter
    call mixed_code
    leave_with %ebx

# Ring 0: PUSHF, CLI, POPF, as a kernel's spin lock does.
.balign 16
.globl op_flags
op_flags:
    enter
    sti
1:  pushfl
    cli
    addl %ecx, %ebx
    popfl
    decl %ecx
    jnz 1b
    leave_with %ebx

# Ring 0: STI, CLI.
.balign 16
.globl op_sti_cli
op_sti_cli:
    enter
1:  cli
    addl %ecx, %ebx
    sti
    decl %ecx
    jnz 1b
    leave_with %ebx

# Ring 0: another page directory, and a read of each of 16 pages.
.balign 16
.globl op_cr3
op_cr3:
    enter
    movl $page_directory, %esi
    movl $other_directory, %edi
1:  movl %edi, %cr3
    xchgl %esi, %edi
    movl $touched_pages, %edx
    .rept 16
    addl (%edx), %ebx
    addl $4096, %edx
    .endr
    decl %ecx
    jnz 1b
    movl $page_directory, %eax
    movl %eax, %cr3
    addl 20(%esp), %ebx
    leave_with %ebx

# Ring 0: INVLPG, and an access to the page.
.balign 16
.globl op_invlpg
op_invlpg:
    enter
    movl $touched_pages, %esi
1:  invlpg (%esi)
    movl (%esi), %eax
    addl %ecx, %ebx
    addl %eax, %ebx
    decl %ecx
    jnz 1b
    leave_with %ebx

# Ring 0: hardware task switch to another task and back.
.balign 16
.globl op_task_switch
op_task_switch:
    enter
    movl $0, task_count
1:  ljmp $OTHER_TASK, $0
    addl task_count, %ebx
    decl %ecx
    jnz 1b
    leave_with %ebx

.globl other_task
other_task:
    incl task_count
    ljmp $MAIN_TASK, $0
    jmp other_task

# Ring 0: a byte out and a byte in at a port without side effects.
.balign 16
.globl op_port
op_port:
    enter
1:  movl %ecx, %eax
    outb %al, $0x80
    inb $0x61, %al
    addl %ecx, %ebx
    decl %ecx
    jnz 1b
    leave_with %ebx

# Ring 0: time stamp and CPUID, the value not used.
.balign 16
.globl op_cpuid
op_cpuid:
    enter
    movl %ecx, %esi
1:  rdtsc
    xorl %eax, %eax
    pushl %ebx
    cpuid
    popl %ebx
    addl %esi, %ebx
    decl %esi
    jnz 1b
    leave_with %ebx

# What no compiler likes. Ring 3 unless it says otherwise.

# A megabyte without a branch: additions of two bytes, made once.
.balign 16
.globl op_straight_line
op_straight_line:
    enter
    movl $0xCB01CB01, %eax              # add ebx, ecx; twice
    call write_megabyte
1:  call megabyte
    decl %ecx
    jnz 1b
    leave_with %ebx

# The same, written anew before each round.
.balign 16
.globl op_rewrite_all
op_rewrite_all:
    enter
1:  movl $0xCB01CB01, %eax              # add ebx, ecx
    testl $1, %ecx
    jz 2f
    movl $0xCB31CB31, %eax              # xor ebx, ecx
2:  call write_megabyte
    call megabyte
    decl %ecx
    jnz 1b
    leave_with %ebx

# A megabyte of jumps to the next instruction: half a million blocks.
.balign 16
.globl op_many_blocks
op_many_blocks:
    enter
    movl $0x00EB00EB, %eax              # jmp +0; twice
    call write_megabyte
1:  addl %ecx, %ebx
    call megabyte
    decl %ecx
    jnz 1b
    leave_with %ebx

# The instruction that comes next is rewritten.
.balign 16
.globl op_write_next
op_write_next:
    enter
    call write_next
    leave_with %ebx

# In turn the start of an instruction and its middle, where another one is.
.balign 16
.globl op_into_middle
op_into_middle:
    enter
    movl $two_readings, %esi
1:  movl %ecx, %edx
    andl $1, %edx
    addl %esi, %edx
    call *%edx
    decl %ecx
    jnz 1b
    leave_with %ebx

# Two limits of DS in turn, and an access each.
.balign 16
.globl op_limit_churn
op_limit_churn:
    enter
    movl %ds, %edx
    movl $LIMITED_DS, %esi
1:  movl %esi, %ds
    addl segment_data, %ebx
    movl %edx, %ds
    addl %ecx, segment_data
    decl %ecx
    jnz 1b
    leave_with %ebx

# Ring 0: paging off and on.
.balign 16
.globl op_paging_churn
op_paging_churn:
    enter
    cli
    movl %cr0, %eax
    movl %eax, %esi
    andl $0x7FFFFFFF, %esi
1:  movl %esi, %cr0
    addl %ecx, %ebx
    movl %eax, %cr0
    decl %ecx
    jnz 1b
    sti
    leave_with %ebx

# The megabyte becomes words of EAX, and a return.
write_megabyte:
    pushl %ecx
    movl $megabyte, %edi
    movl $(1 << 18), %ecx
    rep stosl
    movb $0xC3, (%edi)
    popl %ecx
    ret

# Code that is written to. Pages of their own, so that nothing else is disturbed.
.section .data.patched, "awx"
.balign 4096
patched:
    movl $0, %eax
    ret
.balign 4096
patch_function:
    incl %ebx
.balign 4
patch_site:
    .byte 0x0F, 0x1F, 0x40, 0x00    # 4-byte nop, or nop and a jump over the next instruction
    addl %edx, %ebx                 # 2 bytes
    addl %ecx, %ebx                 # 2 bytes
    ret
.balign 4096
mixed_code:
    addl %ecx, mixed_data
    movl mixed_data, %eax
    xorl %eax, %ebx
    movl %ebx, mixed_data + 4
    decl %ecx
    jnz mixed_code
    ret
.balign 256
mixed_data: .long 0, 0
.balign 4096
write_next:
1:  movl %ecx, 2f + 1
2:  movl $0, %eax
    addl %eax, %ebx
    decl %ecx
    jnz 1b
    ret
.balign 4096
two_readings:
    .byte 0xB8, 0x01, 0xCB, 0x90, 0x90  # mov eax, 0x9090CB01; from its second byte on: add ebx, ecx; nop; nop
    xorl %eax, %ebx
    ret
.balign 4096

.section .bss.operations, "aw", @nobits
.balign 4096
.globl touched_pages
touched_pages: .skip 65536
segment_data: .skip 16
task_count: .skip 4
.balign 4096
megabyte: .skip 1 << 20
.skip 4096
