/* A wall clock that jumps: preloaded, it adds the seconds in the file CHAOS_CLOCK (eight bytes) to it.

   libfaketime 0.9.10 does the same and more, but Python 3.11 does not sleep any more under it. Only the wall clock
   is false here: sleeping goes by the monotonic one, and deadlines of the wall clock are translated back. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#define LONG_AGO 1000000000 /* monotonic clocks count from the machine's start, and are far below this */

static volatile int64_t *offset;

__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("CHAOS_CLOCK");
  int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  if (file < 0) return;
  void *mapped = mmap(NULL, sizeof *offset, PROT_READ, MAP_SHARED, file, 0);
  if (mapped != MAP_FAILED) offset = mapped;
  close(file);
}

static int64_t ahead(void) { return offset ? *offset : 0; }

int clock_gettime(clockid_t clock, struct timespec *now) {
  int result = (int)syscall(SYS_clock_gettime, clock, now);
  if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) now->tv_sec += ahead();
  return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  struct timespec precise;
  (void)zone;
  clock_gettime(CLOCK_REALTIME, &precise);
  now->tv_sec = precise.tv_sec;
  now->tv_usec = precise.tv_nsec / 1000;
  return 0;
}

time_t time(time_t *now) {
  struct timespec precise;
  clock_gettime(CLOCK_REALTIME, &precise);
  if (now) *now = precise.tv_sec;
  return precise.tv_sec;
}

int timespec_get(struct timespec *now, int base) {
  return clock_gettime(CLOCK_REALTIME, now) == 0 ? base : 0;
}

static struct timespec real(const struct timespec *deadline) {
  struct timespec moved = *deadline;
  if (moved.tv_sec > LONG_AGO) moved.tv_sec -= ahead();
  return moved;
}

/* The version that today's programs mean: a plain dlsym may find the one of 1999. */
static void *next_of(const char *name, const char *version) {
  void *found = dlvsym(RTLD_NEXT, name, version);
  return found ? found : dlsym(RTLD_NEXT, name);
}

int pthread_cond_timedwait(pthread_cond_t *restrict c, pthread_mutex_t *restrict m, const struct timespec *restrict t) {
  struct timespec moved = real(t);
  int (*next)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *) = next_of("pthread_cond_timedwait", "GLIBC_2.3.2");
  return next(c, m, &moved);
}

int cnd_timedwait(cnd_t *restrict c, mtx_t *restrict m, const struct timespec *restrict t) {
  struct timespec moved = real(t);
  int (*next)(cnd_t *, mtx_t *, const struct timespec *) = next_of("cnd_timedwait", "GLIBC_2.28");
  return next(c, m, &moved);
}
