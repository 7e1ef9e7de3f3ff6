// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * heed PROGRAM ARGUMENT...: run it so that it heeds Ctrl-C and Ctrl-\. A script's shell makes what it starts in the background
 * ignore both, and so, by inheritance, an interactive shell and all that is started from it. No library, as in demo.c.
 */

typedef unsigned int u32;

enum { EXIT = 1, EXECVE = 11, RT_SIGACTION = 174 };
enum { SIGINT = 2, SIGQUIT = 3 };

static int call(int number, u32 a, u32 b, u32 c, u32 d)
{
	int result;

	asm volatile("int $0x80" : "=a" (result) : "a" (number), "b" (a), "c" (b), "d" (c), "S" (d) : "memory");
	return result;
}

/* The program's arguments, a null, and its environment. */
void start(int argc, char **argv)
{
	/* SIG_DFL, no flags, no restorer, nothing blocked. */
	static const u32 by_default[5];

	call(RT_SIGACTION, SIGINT, (u32)by_default, 0, 8);
	call(RT_SIGACTION, SIGQUIT, (u32)by_default, 0, 8);
	if (argc > 1)
		call(EXECVE, (u32)argv[1], (u32)(argv + 1), (u32)(argv + argc + 1), 0);
	call(EXIT, 127, 0, 0, 0);
}

asm(".globl _start\n_start:\n\tmovl %esp, %eax\n\tandl $-16, %esp\n\tsubl $8, %esp\n"
    "\tleal 4(%eax), %ecx\n\tpushl %ecx\n\tpushl (%eax)\n\tcall start");
