/*
 * A disk that fails or is slow when the test says so. Preloaded into the service, it stands between SQLite and the
 * operating system: what is written to the database or its log first looks at two numbers that the test keeps in a file.
 *
 *   int32 errno that writing fails with, 0: none
 *   int32 milliseconds that reaching the platter takes
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static volatile const int32_t *plan(void)
{
    static volatile const int32_t *mapped;
    if (mapped == NULL) {
        const char *path = getenv("DISK_FAULTS_PLAN");
        int file = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
        void *found = file < 0 ? MAP_FAILED : mmap(NULL, 2 * sizeof(int32_t), PROT_READ, MAP_SHARED, file, 0);
        if (found == MAP_FAILED)
            abort(); /* a test without its faults would prove nothing */
        close(file);
        mapped = found;
    }
    return mapped;
}

static int is_database(int descriptor)
{
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0)
        return 0;
    path[length] = 0;
    return strstr(path, "gatehouse.db") != NULL && strstr(path, ".lock") == NULL;
}

static int refused(int descriptor)
{
    int32_t wanted = plan()[0];
    if (wanted == 0 || !is_database(descriptor))
        return 0;
    errno = wanted;
    return 1;
}

ssize_t pwrite64(int descriptor, const void *bytes, size_t length, off64_t offset)
{
    static ssize_t (*real)(int, const void *, size_t, off64_t);
    if (real == NULL)
        real = (ssize_t (*)(int, const void *, size_t, off64_t))dlsym(RTLD_NEXT, "pwrite64");
    return refused(descriptor) ? -1 : real(descriptor, bytes, length, offset);
}

ssize_t pwrite(int descriptor, const void *bytes, size_t length, off_t offset)
{
    return pwrite64(descriptor, bytes, length, offset);
}

static int reach_platter(int descriptor, const char *name)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    if (refused(descriptor))
        return -1;
    int32_t millis = plan()[1];
    if (millis > 0 && is_database(descriptor)) {
        struct timespec rest = {millis / 1000, (millis % 1000) * 1000000L};
        while (nanosleep(&rest, &rest) == -1 && errno == EINTR)
            ;
    }
    return real(descriptor);
}

int fdatasync(int descriptor)
{
    return reach_platter(descriptor, "fdatasync");
}

int fsync(int descriptor)
{
    return reach_platter(descriptor, "fsync");
}
