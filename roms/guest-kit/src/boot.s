# From the Host's entry state to Rust code in the Guest's own address space.
#
# On entry (linear mode): eip = physical address of _start, cs 0x61, ds = es = ss 0x69, every linear address is the
# guest-physical one, %esi = 0 points to boot_params. All data is therefore reached at `symbol - BASE`.

.equ BASE, 0x80000000
.equ CMD_LINE_PTR, 0x228
.equ INIT, 1
.equ NEW_PGTABLE, 4
.equ SET_PGD, 15
.equ TABLE_FLAGS, 0x67          # what a Host that probes for PAE expects in the first word
.equ KERNEL_TABLE_FLAGS, 0x63   # no ring 3
.equ POINTER_FLAGS, 0x01        # all that one of PAE's four may have
.equ PAGE_FLAGS, 0x03           # accessed and dirty are for the Host to set

.section .boot, "ax"
.globl _start
_start:
    movl %eax, entry_state - BASE + 0
    movl %ebx, entry_state - BASE + 4
    movl %ecx, entry_state - BASE + 8
    movl %edx, entry_state - BASE + 12
    movl %esi, entry_state - BASE + 16
    movl %edi, entry_state - BASE + 20
    movl %ebp, entry_state - BASE + 24
    movl %esp, entry_state - BASE + 28
    movl %cs, %eax
    movl %eax, entry_state - BASE + 32
    movl %ds, %eax
    movl %eax, entry_state - BASE + 36
    movl %es, %eax
    movl %eax, entry_state - BASE + 40
    movl %fs, %eax
    movl %eax, entry_state - BASE + 44
    movl %gs, %eax
    movl %eax, entry_state - BASE + 48
    movl %ss, %eax
    movl %eax, entry_state - BASE + 52
    movl $boot_stack_top - BASE, %esp
    pushfl
    popl entry_state - BASE + 56
    cld

    # The page tables: 8 MiB of guest-physical memory at BASE, and the first 4 MiB once more at 0 for the jump.
    movl $pae - BASE, %edx
    call find_word
    je 2f
    movl $boot_page_tables - BASE, %edi
    movl $PAGE_FLAGS, %eax
    movl $2048, %ecx
1:  stosl
    addl $4096, %eax
    loop 1b
    movl $boot_page_directory - BASE, %edi
    movl $boot_page_tables - BASE + TABLE_FLAGS, (%edi)
    movl $boot_page_tables - BASE + KERNEL_TABLE_FLAGS, (BASE >> 22) * 4(%edi)
    movl $boot_page_tables - BASE + 4096 + KERNEL_TABLE_FLAGS, (BASE >> 22) * 4 + 4(%edi)
    jmp 3f

    # The same with entries of 8 bytes: pointers, a directory for each half, four tables. High words are 0.
2:  incl boot_pae - BASE
    movl $boot_page_tables - BASE, %edi
    movl $PAGE_FLAGS, %eax
    movl $2048, %ecx
1:  movl %eax, (%edi)
    addl $8, %edi
    addl $4096, %eax
    loop 1b
    movl $boot_directories - BASE + POINTER_FLAGS, boot_page_directory - BASE
    movl $boot_directories - BASE + 4096 + POINTER_FLAGS, boot_page_directory - BASE + (BASE >> 30) * 8
    movl $boot_directories - BASE, %edi
    movl $boot_page_tables - BASE + KERNEL_TABLE_FLAGS, %eax
    xorl %ecx, %ecx
1:  movl %eax, (%edi,%ecx,8)
    movl %eax, 4096(%edi,%ecx,8)
    addl $4096, %eax
    incl %ecx
    cmpl $4, %ecx
    jne 1b
3:
    # The tail of the shared structure, and how the kernels that have it make their first call.
    movl $layout_c - BASE, %edx
    call find_word
    jne 1f
    movl $noirq_iret, lguest_data - BASE + 1376
    movl $BASE, lguest_data - BASE + 1380
    movl $0x80, lguest_data - BASE + 1384
    movl $0xffffffff, lguest_data - BASE + 1388
1:  call before_init

    movl $layout_a - BASE, %edx
    call find_word
    movl $INIT, %eax
    movl init_argument - BASE, %ebx
    jne 1f
    movl $0, lguest_data - BASE + 1376
    movl $noirq_start, lguest_data - BASE + 1380
    movl $noirq_end, lguest_data - BASE + 1384
    movl $BASE, lguest_data - BASE + 1388
    movl $0x80, lguest_data - BASE + 1392
    vmcall
    movl $2f, %eax                  # on tables the Host made
    jmp *%eax
2:  incl on_boot_tables
    jmp 2f
1:  int $0x1f
2:  movl $NEW_PGTABLE, %eax
    movl $boot_page_directory - BASE, %ebx
    int $0x1f
    movl $1f, %eax
    jmp *%eax
1:  movl $boot_stack_top, %esp
    movl $0, boot_page_directory
    movl $SET_PGD, %eax
    movl $boot_page_directory - BASE, %ebx
    xorl %ecx, %ecx
    int $0x1f
    call guest_main
    ud2

# Is the NUL-terminated string at %edx a word of the command line, up to its end? ZF set: yes.
.globl find_word
find_word:
    movl CMD_LINE_PTR, %ebx
    testl %ebx, %ebx
    jz 4f
1:  xorl %ecx, %ecx
2:  movb (%edx,%ecx), %al
    testb %al, %al
    jz 3f
    cmpb (%ebx,%ecx), %al
    jne 5f
    incl %ecx
    jmp 2b
3:  cmpb $0x20, (%ebx,%ecx)
    jbe 6f
5:  movb (%ebx), %al
    incl %ebx
    testb %al, %al
    jnz 1b
4:  orl $1, %eax
    ret
6:  xorl %eax, %eax
    ret

layout_a: .asciz "layout=a"
layout_c: .asciz "layout=c"
pae: .asciz "pae"

.section .data.boot, "aw"
.balign 4
.globl init_argument
init_argument: .long lguest_data - BASE
.globl boot_pae, on_boot_tables
boot_pae: .long 0
on_boot_tables: .long 0

.section .bss.boot, "aw", @nobits
.balign 4096
.globl boot_page_directory, boot_page_tables
boot_page_directory: .skip 4096
boot_page_tables: .skip 16384
boot_directories: .skip 8192
boot_stack: .skip 16384
boot_stack_top:
.globl entry_state
entry_state: .skip 60
