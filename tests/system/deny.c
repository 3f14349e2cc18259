/* deny SYSTEM-CALL... -- PROGRAM [ARGUMENT...]: runs a program that is refused these (EPERM), as a
 * container's seccomp profile would (seccomp(2)). */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static const struct {
    const char *name;
    unsigned number;
} calls[] = {{"membarrier", __NR_membarrier}, {"io_uring_setup", __NR_io_uring_setup}};

static int number_of(const char *name)
{
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
        if (strcmp(calls[i].name, name) == 0)
            return (int)calls[i].number;
    return -1;
}

static int deny(unsigned number)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof filter[0], filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return -1;
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

int main(int argc, char **argv)
{
    int i = 1;
    for (; i < argc && strcmp(argv[i], "--") != 0; i++) {
        int number = number_of(argv[i]);
        if (number < 0 || deny((unsigned)number) != 0) {
            fprintf(stderr, "deny: %s: %s\n", argv[i], number < 0 ? "not known here" : strerror(errno));
            return 77;
        }
    }
    if (i + 1 >= argc)
        return 64;
    execv(argv[i + 1], argv + i + 1);
    perror(argv[i + 1]);
    return 127;
}
