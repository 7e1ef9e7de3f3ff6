// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * What crossing between the rings looks like from ring 3, a few lines each: a hypercall that is not for programs, a fault, a
 * signal, a fork traced step by step, threads, memory. No library: a system call is an instruction here.
 */

typedef unsigned int u32;

enum {
	EXIT = 1, FORK = 2, WRITE = 4, WAITPID = 7, GETPID = 20, PTRACE = 26, KILL = 37, SIGRETURN = 119, CLONE = 120,
	MPROTECT = 125, SCHED_YIELD = 158, RT_SIGRETURN = 173, RT_SIGACTION = 174, MMAP2 = 192,
};
enum { SIGILL = 4, SIGTRAP = 5, SIGUSR1 = 10, SIGSEGV = 11 };

static int call(int number, u32 a, u32 b, u32 c, u32 d, u32 e)
{
	int result;

	asm volatile("int $0x80" : "=a" (result)
		     : "a" (number), "b" (a), "c" (b), "d" (c), "S" (d), "D" (e) : "memory");
	return result;
}

static int length(const char *text)
{
	int n = 0;

	while (text[n])
		n++;
	return n;
}

static void say(const char *text)
{
	call(WRITE, 1, (u32)text, length(text), 0, 0);
}

static void say_number(u32 n)
{
	char digits[12];
	int at = 11;

	digits[at] = 0;
	do {
		digits[--at] = '0' + n % 10;
		n /= 10;
	} while (n);
	say(digits + at);
}

static int same(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

/* Signals: a handler that remembers and, for a fault, jumps over the instruction. */

struct action {
	void (*handler)(int);
	u32 flags;
	void (*restorer)(void);
	u32 mask[2];
};

static volatile int seen;
static volatile u32 length_of_faulting;

/*
 * The frame of a signal without SA_SIGINFO: return address, number, then the interrupted registers, of which EIP is the
 * 15th. Ours are EBP and that address below.
 */
static void on_signal(int number)
{
	volatile u32 *frame = __builtin_frame_address(0);

	seen = number;
	frame[3 + 14] += length_of_faulting;
}

asm(".globl restore\nrestore:\n\tpopl %eax\n\tmovl $119, %eax\n\tint $0x80");
void restore(void);

static void catch(int number)
{
	struct action action = { on_signal, 0x04000000, restore, { 0, 0 } };

	call(RT_SIGACTION, number, (u32)&action, 0, 8, 0);
}

static void hypercall(void)
{
	say("hypercall: int $0x1f in ring 3 ... ");
	catch(SIGSEGV);
	length_of_faulting = 2;
	asm volatile("int $0x1f" : : "a" (2), "b" (0), "c" (1) : "memory");
	say(seen == SIGSEGV ? "#GP, SIGSEGV: the gate is for ring 1 only\n" : "not refused\n");
}

static void fault(void)
{
	say("fault: a load from address 0 ... ");
	catch(SIGSEGV);
	length_of_faulting = 2;
	asm volatile("movl (%%ecx), %%eax" : : "c" (0) : "eax", "memory");
	say(seen == SIGSEGV ? "#PF to the Host, on to the kernel, SIGSEGV here\n" : "nothing happened\n");
	say("fault: cli in ring 3 ... ");
	seen = 0;
	length_of_faulting = 1;
	asm volatile("cli");
	say(seen == SIGSEGV ? "#GP, SIGSEGV\n" : "not refused\n");
}

static void signal(void)
{
	say("signal: SIGUSR1 to myself ... ");
	catch(SIGUSR1);
	length_of_faulting = 0;
	call(KILL, call(GETPID, 0, 0, 0, 0, 0), SIGUSR1, 0, 0, 0);
	say(seen == SIGUSR1 ? "handled, and back\n" : "lost\n");
}

static void fork(void)
{
	u32 steps = 0;
	int status = 0, child;

	say("fork: a child, traced instruction by instruction ... ");
	child = call(FORK, 0, 0, 0, 0, 0);
	if (child == 0) {
		call(PTRACE, 0, 0, 0, 0, 0);
		call(KILL, call(GETPID, 0, 0, 0, 0, 0), SIGTRAP, 0, 0, 0);
		asm volatile("movl $1000, %%ecx\n1:\tloop 1b" : : : "ecx");
		call(EXIT, 7, 0, 0, 0, 0);
	}
	while (call(WAITPID, child, (u32)&status, 0, 0, 0) == child && (status & 0xFF) == 0x7F) {
		steps++;
		call(PTRACE, 9, child, 0, 0, 0);
	}
	say_number(steps > 1000);
	say(status == 0x700 ? " thousand steps and more, exit status 7\n" : " thousand steps, but a wrong end\n");
}

static volatile u32 shared;

static void threads(void)
{
	static char stacks[4][4096] __attribute__((aligned(16)));
	int n;

	say("threads: four, adding to one word ... ");
	for (n = 0; n < 4; n++) {
		u32 *top = (u32 *)(stacks[n] + sizeof(stacks[n]));
		int thread;

		/* CLONE_VM | FS | FILES | SIGHAND | THREAD. */
		asm volatile("int $0x80" : "=a" (thread)
			     : "a" (CLONE), "b" (0x10F00), "c" (top), "d" (0), "S" (0), "D" (0) : "memory");
		if (thread == 0) {
			/* On a stack of its own: nothing of this function's may be touched. */
			asm volatile("movl $10000, %%ecx\n1:\tlock incl %0\n\tloop 1b\n\t"
				     "movl $1, %%eax\n\txorl %%ebx, %%ebx\n\tint $0x80"
				     : "+m" (shared) : : "eax", "ebx", "ecx", "memory");
		}
	}
	while (shared != 40000)
		call(SCHED_YIELD, 0, 0, 0, 0, 0);
	say_number(shared);
	say("\n");
}

static void memory(void)
{
	u32 arguments_ok = 1, n, *at;

	say("memory: 4 MiB mapped, written, read, made read-only ... ");
	/* PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS; the sixth argument does not matter. */
	at = (u32 *)call(MMAP2, 0, 4 << 20, 3, 0x22, -1);
	for (n = 0; n < 1 << 20; n += 1024)
		at[n] = n;
	for (n = 0; n < 1 << 20; n += 1024)
		arguments_ok &= at[n] == n;
	call(MPROTECT, (u32)at, 4 << 20, 1, 0, 0);
	catch(SIGSEGV);
	length_of_faulting = 2;
	asm volatile("movl %%eax, (%%ecx)" : : "c" (at), "a" (1) : "memory");
	say(arguments_ok && seen == SIGSEGV && at[0] == 0 ? "right\n" : "wrong\n");
}

static const struct {
	const char *name;
	void (*run)(void);
} demos[] = {
	{ "hypercall", hypercall }, { "fault", fault },	    { "signal", signal },
	{ "fork", fork },	    { "threads", threads }, { "memory", memory },
};

void start(int argc, char **argv)
{
	u32 n;
	int known = argc < 2;

	for (n = 0; n < sizeof(demos) / sizeof(demos[0]); n++) {
		if (argc > 1 && !same(argv[1], demos[n].name))
			continue;
		known = 1;
		seen = 0;
		demos[n].run();
	}
	if (!known)
		say("usage: /demo [hypercall|fault|signal|fork|threads|memory]\n");
	call(EXIT, !known, 0, 0, 0, 0);
}

asm(".globl _start\n_start:\n\tmovl %esp, %eax\n\tandl $-16, %esp\n\tsubl $8, %esp\n"
    "\tleal 4(%eax), %ecx\n\tpushl %ecx\n\tpushl (%eax)\n\tcall start");
