#include "cli/checks.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/io_uring.h>
#include <linux/magic.h>
#include <linux/membarrier.h>
#include <pwd.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/line.h"

/* ---- reading ---- */

/* The first line of a file, without its end. */
static bool read_line(const char *root, const char *path, char *line, size_t bytes)
{
    char whole[512];
    snprintf(whole, sizeof whole, "%s%s", root, path);
    FILE *file = fopen(whole, "re");
    bool read = file != NULL && fgets(line, (int)bytes, file) != NULL;
    if (file != NULL)
        fclose(file);
    if (read)
        line[strcspn(line, "\n")] = 0;
    return read;
}

static bool exists(const char *root, const char *path)
{
    char whole[512];
    snprintf(whole, sizeof whole, "%s%s", root, path);
    return access(whole, F_OK) == 0;
}

__attribute__((format(printf, 3, 4))) static void tell(struct check *check, enum check_state state,
                                                       const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(check->found, sizeof check->found, format, arguments);
    va_end(arguments);
    check->state = state;
}

static void mend(struct check *check, const char *command)
{
    snprintf(check->remedy, sizeof check->remedy, "%s", command);
    check->is_command = true;
}

/* What no command does by itself. */
static void advise(struct check *check, const char *sentence)
{
    mend(check, sentence);
    check->is_command = false;
}

/* ---- memory and limits ---- */

static void check_memory(const char *root, struct check *check)
{
    const uint64_t mib = 1 << 20, little = 64 * mib;
    struct statfs system;
    char path[512];
    check->meaning = "Windows, rings and groups of all brokers are in /dev/shm: 4 MiB a topic and 256 KiB a "
                     "publisher of a "
                     "shared topic, unless told otherwise. What does not fit is refused.";
    snprintf(path, sizeof path, "%s/dev/shm", root);
    if (statfs(path, &system) != 0) {
        tell(check, CHECK_BAD, "/dev/shm: %s", strerror(errno));
        mend(check, "mount -t tmpfs -o size=4G,mode=1777 tmpfs /dev/shm");
        return;
    }
    uint64_t size = (uint64_t)system.f_blocks * (uint64_t)system.f_bsize,
             left = (uint64_t)system.f_bavail * (uint64_t)system.f_bsize;
    bool is_memory = system.f_type == TMPFS_MAGIC;
    tell(check,
         left < 8 * mib                ? CHECK_BAD
         : left < little || !is_memory ? CHECK_NOTE
                                       : CHECK_GOOD,
         "/dev/shm has %" PRIu64 " MiB, %" PRIu64 " free%s", size / mib, left / mib,
         is_memory ? "" : "; it is no tmpfs");
    if (check->state != CHECK_GOOD)
        mend(check, "mount -o remount,size=4G /dev/shm    (in a container: docker run --shm-size=4g)");
}

static void describe_limit(rlim_t limit, char text[32])
{
    if (limit == RLIM_INFINITY)
        snprintf(text, 32, "no limit");
    else
        snprintf(text, 32, "%" PRIu64, (uint64_t)limit);
}

static void check_descriptors(const char *root, struct check *check)
{
    struct rlimit limit;
    char soft[32], hard[32];
    (void)root;
    check->meaning = "A broker takes all that the hard limit allows: some for each connection, ring and "
                     "topic. Clients have "
                     "the soft limit.";
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    describe_limit(limit.rlim_cur, soft);
    describe_limit(limit.rlim_max, hard);
    tell(check, limit.rlim_max < 4096 ? CHECK_NOTE : CHECK_GOOD, "RLIMIT_NOFILE %s, at most %s", soft, hard);
    if (check->state == CHECK_NOTE)
        advise(check, "LimitNOFILE=65536 in hermesd's unit, or ulimit -Hn 65536 as root before it starts");
}

static void check_locked(const char *root, struct check *check)
{
    struct rlimit limit;
    char bytes[32];
    (void)root;
    check->meaning =
        "Hermes locks no memory; what io_uring takes may count against this limit. A broker that gets too "
        "little uses epoll.";
    if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0)
        return;
    describe_limit(limit.rlim_cur, bytes);
    tell(check, limit.rlim_cur < 64 << 10 ? CHECK_NOTE : CHECK_GOOD, "RLIMIT_MEMLOCK %s%s", bytes,
         limit.rlim_cur == RLIM_INFINITY ? "" : " bytes");
    if (check->state == CHECK_NOTE)
        advise(check,
               "LimitMEMLOCK=infinity in hermesd's unit, or ulimit -l unlimited as root before it starts");
}

/* ---- the kernel ---- */

static void check_kernel(const char *root, struct check *check)
{
    struct utsname name;
    unsigned major = 0, minor = 0;
    (void)root;
    check->meaning =
        "5.14 is needed; 5.16 has what hermes_subscriber_fd() needs, 5.19 what io_uring does; 6.16 lets a "
        "broker refuse descriptors of strangers.";
    if (uname(&name) != 0 || sscanf(name.release, "%u.%u", &major, &minor) != 2)
        return;
    unsigned version = major * 1000 + minor;
    tell(check,
         version < 5014   ? CHECK_BAD
         : version < 5019 ? CHECK_NOTE
                          : CHECK_GOOD,
         "Linux %.64s on %.32s", name.release, name.machine);
    if (check->state != CHECK_GOOD)
        advise(check, "apt-get install linux-image-amd64 on Debian 12 or newer, and start that");
}

/* A ring of its own, closed at once: nothing but trying says whether a filter lets it through. */
static void check_io_uring(const char *root, struct check *check)
{
    struct io_uring_params parameters = {0};
    char disabled[16] = "0";
    check->meaning =
        "The broker's event loop stands on it; where it is refused, on epoll, which is somewhat slower for "
        "shared topics and requests.";
    long fd = syscall(__NR_io_uring_setup, 4, &parameters);
    if (fd >= 0) {
        close((int)fd);
        tell(check, CHECK_GOOD, "io_uring is allowed");
        return;
    }
    tell(check, CHECK_NOTE, "io_uring is refused: %s", strerror(errno));
    if (read_line(root, "/proc/sys/kernel/io_uring_disabled", disabled, sizeof disabled) &&
        disabled[0] != '0')
        mend(check, "sysctl -w kernel.io_uring_disabled=0");
    else
        advise(
            check,
            "allow io_uring_setup, io_uring_enter and io_uring_register in the container's seccomp profile");
}

static void check_membarrier(const char *root, struct check *check)
{
    const long needed = MEMBARRIER_CMD_GLOBAL_EXPEDITED | MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED;
    (void)root;
    check->meaning =
        "With it a publisher needs no fence to find out who sleeps; without it each message costs some "
        "nanoseconds more.";
    long there = syscall(__NR_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);
    if (there >= 0 && (there & needed) == needed) {
        tell(check, CHECK_GOOD, "membarrier is allowed");
        return;
    }
    tell(check, CHECK_NOTE, "membarrier is refused: %s", there < 0 ? strerror(errno) : "not of that kind");
    advise(check, "allow membarrier in the container's seccomp profile");
}

/* ---- the machine ---- */

/* The flags of the first processor, as words. */
static bool read_flags(const char *root, char *flags, size_t bytes)
{
    char path[512];
    snprintf(path, sizeof path, "%s/proc/cpuinfo", root);
    FILE *file = fopen(path, "re");
    bool found = false;
    while (file != NULL && !found && fgets(flags, (int)bytes, file) != NULL)
        found = strncmp(flags, "flags", 5) == 0;
    if (file != NULL)
        fclose(file);
    return found;
}

static void check_clock(const char *root, struct check *check)
{
    char flags[8192], source[64] = "unknown", there[128] = "";
    check->meaning = "Time stamps come from the processor's counter, where it runs at one rate in all "
                     "states, and durations "
                     "from the kernel's clock, which is a system call where its source is not the counter.";
    bool has_flags = read_flags(root, flags, sizeof flags);
    bool is_invariant =
        has_flags && strstr(flags, " constant_tsc") != NULL && strstr(flags, " nonstop_tsc") != NULL;
    bool has_source = read_line(root, "/sys/devices/system/clocksource/clocksource0/current_clocksource",
                                source, sizeof source);
    if (!has_flags && !has_source)
        return;
    bool is_fast =
        strcmp(source, "tsc") == 0 || strcmp(source, "kvm-clock") == 0 || strstr(source, "hyperv") != NULL;
    tell(check, (has_flags && !is_invariant) || (has_source && !is_fast) ? CHECK_NOTE : CHECK_GOOD,
         "counter %s; clock source %s",
         !has_flags     ? "unknown"
         : is_invariant ? "invariant"
                        : "not invariant",
         source);
    (void)read_line(root, "/sys/devices/system/clocksource/clocksource0/available_clocksource", there,
                    sizeof there);
    if (has_source && !is_fast && strstr(there, "tsc") != NULL)
        mend(check, "cd /sys/devices/system/clocksource/clocksource0 && echo tsc >current_clocksource");
    else if (has_source && !is_fast)
        advise(check, "tsc=reliable on the kernel's command line, where you know that it is");
}

static void check_governor(const char *root, struct check *check)
{
    unsigned known = 0, slow = 0;
    char governor[32], first[32] = "";
    check->meaning =
        "A processor that slows down while it has little to do is slow for the first messages after a pause.";
    for (unsigned cpu = 0; cpu < 4096; cpu++) {
        char path[96];
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%u", cpu);
        if (!exists(root, path))
            break;
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%u/cpufreq/scaling_governor", cpu);
        if (!read_line(root, path, governor, sizeof governor))
            continue;
        known++;
        if (strcmp(governor, "performance") != 0 && slow++ == 0)
            snprintf(first, sizeof first, "%s", governor);
    }
    if (known == 0)
        return;
    if (slow == 0) {
        tell(check, CHECK_GOOD, "performance on all %u processors", known);
        return;
    }
    tell(check, CHECK_NOTE, "%s on %u of %u processors", first, slow, known);
    mend(check, "cpupower frequency-set -g performance    (Debian: linux-cpupower)");
}

static void check_huge_pages(const char *root, struct check *check)
{
    char modes[128];
    check->meaning =
        "Large windows ask for huge pages of shared memory, and have fewer misses of the address cache where "
        "they get them.";
    if (!read_line(root, "/sys/kernel/mm/transparent_hugepage/shmem_enabled", modes, sizeof modes))
        return;
    char *chosen = strchr(modes, '[');
    char *end = chosen != NULL ? strchr(chosen, ']') : NULL;
    if (end == NULL)
        return;
    *end = 0;
    bool never = strcmp(chosen + 1, "never") == 0 || strcmp(chosen + 1, "deny") == 0;
    tell(check, never ? CHECK_NOTE : CHECK_GOOD, "shared memory gets huge pages: %s", chosen + 1);
    if (never)
        mend(check, "echo advise >/sys/kernel/mm/transparent_hugepage/shmem_enabled");
}

/* ---- systemd ---- */

/* The last of the settings in a file counts. */
static void read_remove_ipc(const char *path, bool *removes)
{
    char line[256], value[16];
    FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, " RemoveIPC = %15s", value) == 1)
            *removes = strcasecmp(value, "no") != 0 && strcasecmp(value, "false") != 0 &&
                       strcasecmp(value, "off") != 0 && strcmp(value, "0") != 0;
    if (file != NULL)
        fclose(file);
}

static int is_configuration(const struct dirent *entry)
{
    size_t length = strlen(entry->d_name);
    return length > 5 && strcmp(entry->d_name + length - 5, ".conf") == 0;
}

/* logind.conf(5): the file, then those beside it in the order of their names. */
static bool removes_ipc(const char *root)
{
    static const char *const folders[] = {"/usr/lib/systemd/logind.conf.d", "/run/systemd/logind.conf.d",
                                          "/etc/systemd/logind.conf.d"};
    char path[1024];
    bool removes = true; /* systemd's default */
    snprintf(path, sizeof path, "%s/etc/systemd/logind.conf", root);
    read_remove_ipc(path, &removes);
    for (int i = 0; i < 3; i++) {
        struct dirent **entries;
        snprintf(path, sizeof path, "%s%s", root, folders[i]);
        int count = scandir(path, &entries, is_configuration, alphasort);
        for (int j = 0; j < count; j++) {
            snprintf(path, sizeof path, "%s%s/%s", root, folders[i], entries[j]->d_name);
            read_remove_ipc(path, &removes);
            free(entries[j]);
        }
        if (count >= 0)
            free(entries);
    }
    return removes;
}

static void check_remove_ipc(const char *root, struct check *check)
{
    const struct passwd *user = getpwuid(geteuid());
    char lingers[300] = "";
    check->meaning =
        "Where RemoveIPC is on, systemd removes what an ordinary user has in /dev/shm when the last session "
        "of "
        "that user ends, under a running broker too. Users below 1000, and those that linger, are spared.";
    if (!exists(root, "/run/systemd/system")) {
        tell(check, CHECK_GOOD, "systemd does not run here");
        return;
    }
    if (geteuid() < 1000) {
        tell(check, CHECK_GOOD, "user %u is spared", (unsigned)geteuid());
        return;
    }
    if (user != NULL)
        snprintf(lingers, sizeof lingers, "/var/lib/systemd/linger/%.200s", user->pw_name);
    if (user != NULL && exists(root, lingers)) {
        tell(check, CHECK_GOOD, "user %.64s lingers", user->pw_name);
        return;
    }
    bool removes = removes_ipc(root);
    tell(check, removes ? CHECK_NOTE : CHECK_GOOD, "RemoveIPC is %s", removes ? "on" : "off");
    if (removes)
        mend(check, "loginctl enable-linger USER    (or RemoveIPC=no in /etc/systemd/logind.conf)");
}

/* ---- the line ---- */

static int other_cpu;

static void pin_to(int cpu)
{
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET((size_t)cpu, &one);
    sched_setaffinity(0, sizeof one, &one);
}

static void place_child(void)
{
    pin_to(other_cpu);
}

/* The first two processors that this process may use; false: it has one. */
static bool find_two(const cpu_set_t *allowed, int *first, int *second)
{
    int found = 0;
    for (int cpu = 0; cpu < CPU_SETSIZE && found < 2; cpu++)
        if (CPU_ISSET((size_t)cpu, allowed))
            *(found++ == 0 ? first : second) = cpu;
    return found == 2;
}

static void check_line(const char *root, struct check *check)
{
    enum { ROUNDS = 2000 };
    cpu_set_t allowed;
    int first = 0;
    double ns;
    (void)root;
    check->meaning =
        "So long a line of the cache takes from one processor to another and back. No message is faster; "
        "Hermes "
        "takes one to two of them. Below 100 ns the two share more than the last cache; above 300 they are "
        "far apart, or busy.";
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        return;
    if (!find_two(&allowed, &first, &other_cpu)) {
        tell(check, CHECK_NOTE, "one processor alone: publisher and subscriber take turns on it");
        advise(check,
               "allow a second one: taskset -c 0,1 PROGRAM, CPUAffinity= in a unit, docker run --cpus=2");
        return;
    }
    pin_to(first);
    int rc = line_round_trip(ROUNDS, place_child, &ns);
    sched_setaffinity(0, sizeof allowed, &allowed);
    if (rc == 0)
        tell(check, ns > 300 ? CHECK_NOTE : CHECK_GOOD, "%.0f ns between processors %d and %d", ns, first,
             other_cpu);
    if (check->state == CHECK_NOTE)
        mend(check, "taskset -c 2,3 PROGRAM    (two of one socket: lscpu -e has them)");
}

static const struct {
    const char *name;
    void (*run)(const char *root, struct check *check);
} all[] = {
    {"shared memory", check_memory}, {"descriptors", check_descriptors}, {"locked memory", check_locked},
    {"kernel", check_kernel},        {"io_uring", check_io_uring},       {"membarrier", check_membarrier},
    {"clock", check_clock},          {"governor", check_governor},       {"huge pages", check_huge_pages},
    {"RemoveIPC", check_remove_ipc}, {"cache line", check_line},
};

const char *check_name(unsigned index)
{
    return index < sizeof all / sizeof all[0] ? all[index].name : NULL;
}

void check_run(const char *root, unsigned index, struct check *check)
{
    *check =
        (struct check){.name = all[index].name, .state = CHECK_UNKNOWN, .found = "cannot be seen from here"};
    all[index].run(root, check);
}
