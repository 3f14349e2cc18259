/* Which process had a pid: pids are given again, and mean something else in another container. */
#ifndef COUNTERS_PROCESS_H
#define COUNTERS_PROCESS_H

#include <stdint.h>

/* When it began, in ticks since the boot (proc(5), field 22 of stat); 0: there is no such process. */
uint64_t process_began(uint32_t pid);

/* Of this process: inode of its pid namespace; 0: not known. */
uint64_t process_namespace(void);

#endif
