/* Loaded into the binary under test: makes the n-th change to the disk fail, or the process die there;
 * and measures what the process took. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

static atomic_long changes;

static long setting(const char *name) {
    const char *text = getenv(name);
    return text ? strtol(text, NULL, 10) : 0;
}

/* Counts a change. At the one that FAULT_AT names the process dies, or the call fails. */
static int strikes(void) {
    long at = setting("FAULT_AT");
    long now = atomic_fetch_add(&changes, 1) + 1;
    if (at == 0 || now < at) return 0;
    long error = setting("FAULT_ERRNO");
    if (error == 0) kill(getpid(), SIGKILL);
    errno = (int)error;
    return 1;
}

/* Only the store counts: FAULT_UNDER is its directory. */
static int in_store(const char *path) {
    const char *under = getenv("FAULT_UNDER");
    return under && path && strncmp(path, under, strlen(under)) == 0;
}

static int fd_in_store(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return in_store(path);
}

#define REAL(name) __typeof__(&name) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

int rename(const char *from, const char *to) {
    REAL(rename);
    if ((in_store(from) || in_store(to)) && strikes()) return -1;
    return real(from, to);
}

int unlink(const char *path) {
    REAL(unlink);
    if (in_store(path) && strikes()) return -1;
    return real(path);
}

int mkdir(const char *path, mode_t mode) {
    REAL(mkdir);
    if (in_store(path) && strikes()) return -1;
    return real(path, mode);
}

int fsync(int fd) {
    REAL(fsync);
    if (fd_in_store(fd) && strikes()) return -1;
    return real(fd);
}

ssize_t write(int fd, const void *bytes, size_t count) {
    REAL(write);
    if (fd > 2 && fd_in_store(fd) && strikes()) return -1;
    return real(fd, bytes, count);
}

int open64(const char *path, int flags, ...) {
    REAL(open64);
    va_list rest;
    va_start(rest, flags);
    mode_t mode = (mode_t)va_arg(rest, int);
    va_end(rest);
    if ((flags & O_CREAT) && in_store(path) && strikes()) return -1;
    return real(path, flags, mode);
}

/* What a process took, appended to the file that FAULT_MEASURE names: its peak memory in KiB,
 * and whether the text FAULT_SECRET is in its arguments and in its environment. */
static int measured = -1;

__attribute__((constructor)) static void begin_measuring(void) {
    const char *path = getenv("FAULT_MEASURE");
    if (path) measured = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static int in_file(const char *path, const char *text) {
    char bytes[65536];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, bytes, sizeof bytes);
    if (fd >= 0) close(fd);
    return length < 0 ? -1 : memmem(bytes, (size_t)length, text, strlen(text)) != NULL;
}

__attribute__((destructor)) static void end_measuring(void) {
    struct rusage usage;
    const char *secret = getenv("FAULT_SECRET");
    if (measured < 0 || getrusage(RUSAGE_SELF, &usage)) return;
    dprintf(measured, "%ld %d %d\n", usage.ru_maxrss, secret ? in_file("/proc/self/cmdline", secret) : 0,
            secret ? in_file("/proc/self/environ", secret) : 0);
}

/* A machine without a network: whoever asks for it dies. */
static void no_network(int domain) {
    if (getenv("FAULT_NO_NETWORK") && (domain == AF_INET || domain == AF_INET6)) abort();
}

int socket(int domain, int type, int protocol) {
    REAL(socket);
    no_network(domain);
    return real(domain, type, protocol);
}

/* Names are looked up in FAULT_NAMES alone, if that is set: "name=address,name=address,". */
static const char *address_of(const char *names, const char *name, char *address, size_t size) {
    size_t length = strlen(name);
    for (const char *at = names; *at; at = strchr(at, ',') + 1) {
        const char *value = at + length + 1, *end = strchr(at, ',');
        if (!end) break;
        if (strncmp(at, name, length) || at[length] != '=' || (size_t)(end - value) >= size) continue;
        memcpy(address, value, (size_t)(end - value));
        address[end - value] = 0;
        return address;
    }
    return NULL;
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
    REAL(getaddrinfo);
    char address[64];
    const char *names = getenv("FAULT_NAMES");
    no_network(AF_INET);
    if (!names || !node) return real(node, service, hints, found);
    node = address_of(names, node, address, sizeof address);
    return node ? real(node, service, hints, found) : EAI_NONAME;
}

/* A file system on which locks do nothing. */
int flock(int fd, int operation) {
    REAL(flock);
    if (getenv("FAULT_NO_LOCKS")) return 0;
    return real(fd, operation);
}
