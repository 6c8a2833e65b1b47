/* Preloaded into a process, writes down every time SQLite takes the lock for writing or for
 * checkpoints of a database in WAL mode, and whether the process held the product's own write
 * lock at that moment. The numbers of the locks are those of SQLite's wal.c and os_unix.c. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define WRITE_BYTE 120
#define CHECKPOINT_BYTE 121
#define MOST_DESCRIPTORS 65536

static unsigned char held[MOST_DESCRIPTORS];
static int holding;

static int ends_with(int fd, const char *suffix) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    size_t wanted = strlen(suffix);
    if (size < (ssize_t)wanted) return 0;
    path[size] = 0;
    return strcmp(path + size - wanted, suffix) == 0;
}

static void forget(int fd) {
    if (fd >= 0 && fd < MOST_DESCRIPTORS && __sync_lock_test_and_set(&held[fd], 0)) {
        __sync_fetch_and_sub(&holding, 1);
    }
}

int flock(int fd, int operation) {
    static int (*real)(int, int);
    if (!real) real = dlsym(RTLD_NEXT, "flock");
    if (operation & LOCK_UN) forget(fd);
    int result = real(fd, operation);
    if (result == 0 && (operation & LOCK_EX) && fd < MOST_DESCRIPTORS &&
        ends_with(fd, "-write-lock") && !__sync_lock_test_and_set(&held[fd], 1)) {
        __sync_fetch_and_add(&holding, 1);
    }
    return result;
}

int close(int fd) {
    static int (*real)(int);
    if (!real) real = dlsym(RTLD_NEXT, "close");
    forget(fd);
    return real(fd);
}

static void note(int fd, const struct flock *lock) {
    off_t first = lock->l_start, last = lock->l_start + lock->l_len - 1;
    const char *kind = NULL;
    if (first <= WRITE_BYTE && last >= WRITE_BYTE) kind = "write";
    if (first <= CHECKPOINT_BYTE && last >= CHECKPOINT_BYTE) kind = "checkpoint";
    const char *path = getenv("SQLITE_LOCK_SPY");
    const char *index = getenv("SQLITE_LOCK_SPY_INDEX");
    if (!kind || !path || !index || !ends_with(fd, index)) return;
    char line[64];
    int size = snprintf(line, sizeof line, "%d %s %s\n", getpid(), kind,
                        holding > 0 ? "held" : "NOT-HELD");
    int log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log < 0 || write(log, line, size) != size) abort();
    close(log);
}

static int spied(int (*real)(int, int, ...), int fd, int command, void *argument) {
    int result = real(fd, command, argument);
    if (result == 0 && command == F_SETLK) {
        const struct flock *lock = argument;
        if (lock->l_type == F_WRLCK) note(fd, lock);
    }
    return result;
}

#define SPY(name)                                                   \
    int name(int fd, int command, ...) {                            \
        static int (*real)(int, int, ...);                          \
        if (!real) real = dlsym(RTLD_NEXT, #name);                  \
        va_list arguments;                                          \
        va_start(arguments, command);                               \
        void *argument = va_arg(arguments, void *);                 \
        va_end(arguments);                                          \
        return spied(real, fd, command, argument);                  \
    }

SPY(fcntl)
SPY(fcntl64)
