/*
 * A disk that fails or dawdles, at the boundary where the service meets it: preloaded, these stand in front of the
 * system calls that write. Only files of the database are affected (*.db, *.db-wal), so that logs and sockets go on.
 * What goes wrong is read anew at every call from a page that the test writes to: see faulty-disk.mjs.
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

struct plan {
  volatile uint32_t failing_writes; /* errno of every write, 0 for none */
  volatile uint32_t failing_syncs;  /* errno of every fsync, 0 for none */
  volatile uint32_t sync_millis;    /* how long an fsync takes */
  volatile uint32_t hit;            /* how often something went wrong, for the test to see */
};

static struct plan *plan;

__attribute__((constructor)) static void find_plan(void) {
  const char *file = getenv("FAULTY_DISK_PLAN");
  int fd = file == NULL ? -1 : open(file, O_RDWR | O_CLOEXEC);
  if (fd < 0) return;
  void *page = mmap(NULL, sizeof *plan, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  plan = page == MAP_FAILED ? NULL : page;
  close(fd);
}

static int ends_with(const char *text, const char *end) {
  size_t length = strlen(text), tail = strlen(end);
  return length >= tail && strcmp(text + length - tail, end) == 0;
}

static int is_database(int fd) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return ends_with(path, ".db") || ends_with(path, ".db-wal");
}

static int fails(int fd, uint32_t error) {
  if (error == 0 || !is_database(fd)) return 0;
  __atomic_add_fetch(&plan->hit, 1, __ATOMIC_RELAXED);
  errno = (int)error;
  return 1;
}

/* A pause that ends as soon as the plan changes, so that a test can let a disk hang and come back. */
static void dawdle(int fd) {
  uint32_t millis = plan->sync_millis;
  if (millis == 0 || !is_database(fd)) return;
  __atomic_add_fetch(&plan->hit, 1, __ATOMIC_RELAXED);
  struct timespec step = {0, 1000000};
  for (uint32_t passed = 0; passed < millis && plan->sync_millis == millis; passed++) nanosleep(&step, NULL);
}

#define REAL(name) static __typeof__(name) *real; if (real == NULL) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

static int sync_fails(int fd) {
  if (plan == NULL) return 0;
  dawdle(fd);
  return fails(fd, plan->failing_syncs);
}

int fsync(int fd) {
  REAL(fsync);
  return sync_fails(fd) ? -1 : real(fd);
}

int fdatasync(int fd) {
  REAL(fdatasync);
  return sync_fails(fd) ? -1 : real(fd);
}

ssize_t write(int fd, const void *bytes, size_t length) {
  REAL(write);
  return plan != NULL && fails(fd, plan->failing_writes) ? -1 : real(fd, bytes, length);
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) {
  REAL(pwrite);
  return plan != NULL && fails(fd, plan->failing_writes) ? -1 : real(fd, bytes, length, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset) {
  REAL(pwrite64);
  return plan != NULL && fails(fd, plan->failing_writes) ? -1 : real(fd, bytes, length, offset);
}
