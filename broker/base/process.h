/* What the system says about this process, for figures: from /proc, read when it is asked for. */
#ifndef FT_BASE_PROCESS_H
#define FT_BASE_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

/* What is not known is UINT64_MAX. */
struct ft_process {
    uint64_t cpu_us; /* of the user and of the system */
    uint64_t resident_bytes, virtual_bytes;
    uint64_t open_files, max_files;
};

/* Reads all of it. With `fast`, not the number of open files where the system (Linux before 6.2) has them
 * counted one by one. Any thread. */
void ft_process_read(struct ft_process *process, bool fast);

#endif
