/*
 * What the system says about this process. Linux; where /proc is missing, what it would tell is not
 * known. Any thread.
 */
#include "broker/base/process.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static uint64_t us_of(struct timeval time)
{
    return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_usec;
}

static void read_memory(struct ft_process *process)
{
    FILE *file = fopen("/proc/self/statm", "re");
    if (!file)
        return;
    unsigned long long size, resident;
    if (fscanf(file, "%llu %llu", &size, &resident) == 2) {
        uint64_t page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
        process->virtual_bytes = size * page_bytes;
        process->resident_bytes = resident * page_bytes;
    }
    fclose(file);
}

static uint64_t count_files(void)
{
    DIR *files = opendir("/proc/self/fd");
    if (!files)
        return UINT64_MAX;
    uint64_t count = 0;
    while (readdir(files))
        count++;
    closedir(files);
    return count - 3; /* ".", ".." and the one that looked */
}

static uint64_t open_files(bool fast)
{
    struct stat folder;
    if (stat("/proc/self/fd", &folder) == 0 && folder.st_size > 0)
        return (uint64_t)folder.st_size;
    return fast ? UINT64_MAX : count_files();
}

void ft_process_read(struct ft_process *process, bool fast)
{
    *process = (struct ft_process){UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX};
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        process->cpu_us = us_of(usage.ru_utime) + us_of(usage.ru_stime);
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0)
        process->max_files = files.rlim_cur;
    read_memory(process);
    process->open_files = open_files(fast);
}
