/* ci-init: PID 1 of a job's container. It runs the job's command and keeps what it writes.
 *
 * Every byte of the command's stdout and stderr goes into a spool on disk first, and then, as
 * frames with offsets, to our own stdout, which the engine passes on to whoever is attached. What
 * nobody receives is read from the spool, of a running or of a stopped container. The engine keeps
 * no copy. docs/decisions/0023 says why; protocol.py in this directory reads what is written here.
 * Where the command is to have a terminal, it is on a pseudo-terminal: docs/decisions/0032.
 *
 * Files, in the directory of this program, which the job may not enter:
 *   config       in:  "KEY ATTEMPT UID GID SLOTS SLOT_BYTES TERMINAL\n"; KEY is 32 hexadecimal
 *                     digits, TERMINAL 1 for a command on a terminal and 0 for others
 *   in/          in:  messages, which are the names of empty files: "stored-OFFSET" says that what
 *                     lies before the offset is stored, and may be overwritten
 *   out               the FIFO that is the command's stdout and stderr, where no terminal is
 *   spool/NN     out: the bytes from offset k * SLOT_BYTES on, where k % SLOTS is NN
 *   state        out: 64 bytes, see write_state
 *
 * Frames on stdout: a header of 40 bytes, then `length` bytes; numbers are big-endian.
 *   0 key (16 bytes)  16 type (1)  17 version (1)  18 reserved (2)  20 attempt (4)
 *   24 offset (8)     32 length (4)                36 reserved (4)
 * The key, which the job does not know, marks where a frame begins for a reader that attaches
 * mid-stream.
 *
 * Linux and POSIX only; built static, so that it runs in any image.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum { HEADER = 40, PAYLOAD = 1 << 18, STATE = 64, MAX_SLOTS = 64 };
enum { PACKET = 4096 }; /* of a pipe in packet mode: what does not fit into a read is discarded */
enum { PIPE_BYTES = 1 << 18, LARGEST_PIPE_BYTES = 1 << 20, STDOUT_BYTES = 1 << 20 };
enum { DATA = 1, BEAT = 2, END = 3, REFUSED = 4 };            /* types of frames */
enum { RUNNING = 1, ENDED = 2, REFUSED_START = 3 };           /* phases of the state */
enum { KILL_JOB = SIGPWR, CANNOT_START = 125, VERSION = 1 };
enum { BEAT_MS = 1000, FILLING_MS = 100, FULL_MS = 10, RETRY_MS = 100 };
enum { UNREAD_MS = 300, REAP_MS = 1000, DRAIN_MS = 10000, INPUT_MS = 100, GATHER_MS = 5 };
enum { COLUMNS = 80, LINES = 24, LONGEST_LINE = 65535 };

struct buffer {
    unsigned char bytes[HEADER + PAYLOAD];
    size_t length, position;
};

static unsigned char key[16];
static unsigned attempt, uid, gid, slots, is_terminal;
static uint64_t slot_bytes, capacity, reserve;

static int source = -1; /* what the command writes comes out here: of the FIFO, or the terminal */
static int command_end = -1, state_file = -1, spool[MAX_SLOTS];
static uint64_t written, released, sent, lost;
static uint32_t phase, code, refusal;
static struct buffer buffers[2], *outgoing = &buffers[0], *incoming = &buffers[1];
static uint64_t taken_from; /* the offset of the first byte in `incoming` */
static size_t taken, kept;  /* bytes in it, and how many of them are in the spool */
static uint64_t look_at;    /* when messages are looked for again */
static uint64_t input_at;   /* when the terminal's input is */
static int stdout_is_gone, beat_is_due;
static pid_t command;

static uint64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void pause_ms(long ms) {
    struct timespec span = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&span, NULL);
}

/* No printf: it would be most of this program. */
static size_t join(char *into, size_t size, const char *one, const char *two, const char *three) {
    size_t length = 0;
    const char *parts[] = {one, two, three};
    for (int n = 0; n < 3; n++)
        for (const char *from = parts[n]; *from && length < size; from++) into[length++] = *from;
    return length;
}

static void complain(int to, const char *one, const char *two) {
    char text[512];
    size_t length = join(text, sizeof text - 1, one, two, "");
    length += join(text + length, sizeof text - 1 - length, ": ", strerror(errno), "");
    text[length++] = '\n';
    if (write(to, text, length) < 0) return; /* there is nobody else to tell */
}

static void put(unsigned char *at, uint64_t number, int size) {
    while (size--) {
        at[size] = (unsigned char)number;
        number >>= 8;
    }
}

static uint32_t crc32(const unsigned char *bytes, size_t count) {
    uint32_t crc = ~0u;
    while (count--) {
        crc ^= *bytes++;
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return ~crc;
}

/* 0 magic (4)  4 phase (4)  8 written (8)  16 released (8)  24 exit code (4)  28 attempt (4)
 * 32 sent (8)  40 lost (8)  48 errno of a refusal (4)  52 zeros  60 CRC-32 of all before (4) */
static int write_state(void) {
    unsigned char bytes[STATE] = "CIO1";
    put(bytes + 4, phase, 4);
    put(bytes + 8, written, 8);
    put(bytes + 16, released, 8);
    put(bytes + 24, code, 4);
    put(bytes + 28, attempt, 4);
    put(bytes + 32, sent, 8);
    put(bytes + 40, lost, 8);
    put(bytes + 48, refusal, 4);
    put(bytes + 60, crc32(bytes, 60), 4);
    ssize_t count;
    while ((count = pwrite(state_file, bytes, STATE, 0)) < 0 && errno == EINTR) {}
    return count == STATE ? 0 : -1;
}

/* ------------------------------------------------------------------ frames */

static void frame(struct buffer *into, int type, uint64_t offset, size_t length) {
    unsigned char *header = into->bytes;
    memset(header, 0, HEADER);
    memcpy(header, key, sizeof key);
    header[16] = (unsigned char)type;
    header[17] = VERSION;
    put(header + 20, attempt, 4);
    put(header + 24, offset, 8);
    put(header + 32, length, 4);
    into->length = HEADER + length;
    into->position = 0;
}

/* Send on what is pending. Returns whether nothing is pending any more. */
static int flush(void) {
    while (outgoing->position < outgoing->length && !stdout_is_gone) {
        ssize_t count = write(1, outgoing->bytes + outgoing->position,
                              outgoing->length - outgoing->position);
        if (count >= 0) outgoing->position += (size_t)count;
        else if (errno == EAGAIN) return 0;
        else if (errno != EINTR) stdout_is_gone = 1; /* the spool has it all */
    }
    outgoing->length = outgoing->position = 0;
    return 1;
}

static uint64_t least(uint64_t one, uint64_t other) { return one < other ? one : other; }

/* Make a frame of what was spooled and not sent; returns 0 when there is none. */
static int frame_from_spool(void) {
    if (sent == written) return 0;
    if (sent < released) sent = released; /* it is stored: nobody needs it from us */
    uint64_t within = sent % slot_bytes;
    size_t want = (size_t)least(least(PAYLOAD, written - sent), slot_bytes - within);
    if (!want) return 0;
    ssize_t count = pread(spool[sent / slot_bytes % slots], outgoing->bytes + HEADER, want,
                          (off_t)within);
    if (count <= 0) {
        sent = written; /* the next frame's offset tells that something is missing */
        return 0;
    }
    frame(outgoing, DATA, sent, (size_t)count);
    sent += (uint64_t)count;
    return 1;
}

static int has_to_send(void) {
    return !stdout_is_gone && (outgoing->length || sent < written);
}

/* One frame at most, so that reading the command's output is not held up. */
static void send_some(void) {
    if (stdout_is_gone || !flush()) return;
    if (frame_from_spool()) flush();
    else if (beat_is_due) {
        frame(outgoing, BEAT, written, 0);
        flush();
        beat_is_due = 0;
    }
}

/* ------------------------------------------------------------------ the spool */

/* Never what came with the image under this name. */
static int open_new(const char *name) {
    unlink(name);
    return open(name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
}

static int open_spool(void) {
    const unsigned char *zeros = outgoing->bytes; /* nothing is in it yet */
    char name[32];
    struct stat facts;
    if (mkdir("spool", 0700) < 0 && errno != EEXIST) return -1;
    if (lstat("spool", &facts)) return -1;
    errno = EPERM; /* one that came with the image may be the job's */
    if (!S_ISDIR(facts.st_mode) || facts.st_uid != geteuid() || chmod("spool", 0700)) return -1;
    for (unsigned n = 0; n < slots; n++) {
        char digits[] = {(char)('0' + n / 10), (char)('0' + n % 10), 0};
        name[join(name, sizeof name - 1, "spool/", digits, "")] = 0;
        spool[n] = open_new(name);
        if (spool[n] < 0) return -1;
        if (!fallocate(spool[n], FALLOC_FL_KEEP_SIZE, 0, (off_t)slot_bytes)) continue;
        if (errno != EOPNOTSUPP && errno != ENOSYS && errno != EINVAL) return -1;
        if (!fallocate(spool[n], 0, 0, (off_t)slot_bytes)) continue;
        if (errno != EOPNOTSUPP && errno != ENOSYS && errno != EINVAL) return -1;
        for (uint64_t at = 0; at < slot_bytes; at += PAYLOAD)
            if (pwrite(spool[n], zeros, PAYLOAD, (off_t)at) != PAYLOAD) return -1;
    }
    return 0;
}

/* The server's word on what it has stored. A name is there whole or not at all, as the content of a
 * file is not. gVisor shows what comes from outside only once the directory was changed inside. */
static void read_messages(void) {
    static const char prefix[] = "stored-";
    uint64_t offset = released;
    int changed = open("in/.look", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (changed >= 0) close(changed);
    unlink("in/.look");
    DIR *directory = opendir("in");
    if (!directory) return;
    if (fchdir(dirfd(directory))) {
        closedir(directory);
        return;
    }
    for (struct dirent *entry; (entry = readdir(directory));) {
        if (strncmp(entry->d_name, prefix, sizeof prefix - 1)) continue;
        uint64_t stored = strtoull(entry->d_name + sizeof prefix - 1, NULL, 10);
        if (stored > offset && stored <= written) offset = stored;
        unlink(entry->d_name);
    }
    closedir(directory);
    if (chdir("..")) return;
    if (offset > released) {
        released = offset;
        write_state();
    }
}

/* Put what was taken at the end of the spool. Returns 0 when the disk does not take it all now. */
static int keep(void) {
    while (kept < taken) {
        uint64_t within = written % slot_bytes;
        size_t part = (size_t)least(taken - kept, slot_bytes - within);
        ssize_t done = pwrite(spool[written / slot_bytes % slots],
                              incoming->bytes + HEADER + kept, part, (off_t)within);
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0) return 0;
        written += (uint64_t)done;
        kept += (size_t)done;
    }
    write_state();
    return 1;
}

/* Read what the command wrote. A terminal gives a few kilobytes at a time, and a frame costs the
 * engine more than its bytes, so that more is waited for, for a moment. */
static size_t read_output(size_t want) {
    struct pollfd more = {source, POLLIN, 0};
    uint64_t until = is_terminal ? now_ms() + GATHER_MS : 0;
    size_t got = 0;
    for (;;) {
        ssize_t count = read(source, incoming->bytes + HEADER + got, want - got);
        if (count > 0) got += (size_t)count;
        if (!is_terminal || !got || got == want || now_ms() > until) return got;
        if (count <= 0 && poll(&more, 1, 1) <= 0) return got;
    }
}

/* Take what the command wrote, as far as there is room, after what is left of the last time.
 * Returns whether there was anything, and the disk took it. */
static int take(uint64_t room) {
    if (kept == taken) {
        size_t want = room < PACKET ? 0 : (size_t)least(room, PAYLOAD);
        size_t count = want ? read_output(want) : 0;
        if (!count) return 0;
        taken_from = written;
        taken = count;
        kept = 0;
    }
    if (!keep()) return 0;
    if (sent == taken_from && !outgoing->length) {
        struct buffer *filled = incoming; /* send it from here: it need not be read again */
        incoming = outgoing;
        outgoing = filled;
        frame(outgoing, DATA, taken_from, taken);
        sent = written;
    }
    return 1;
}

/* At the end, when nobody waits for the disk: take the rest, or count what is lost. */
static void take_the_rest(void) {
    uint64_t until = now_ms() + DRAIN_MS;
    int left = 0;
    for (;;) {
        if (take(capacity - (written - released))) {
            send_some();
            continue;
        }
        if (kept == taken) break; /* nothing more, or no room */
        if (now_ms() > until) {
            lost += taken - kept;
            break;
        }
        pause_ms(RETRY_MS);
    }
    if (!ioctl(source, FIONREAD, &left) && left > 0) lost += (uint64_t)left;
}

/* ------------------------------------------------------------------ the command */

/* Become what the terminal's signals are for. In the background, whoever reads from it or changes
 * it is to get an error: nobody would bring it to the foreground again. */
static int own_terminal(void) {
    signal(SIGTTIN, SIG_IGN);
    signal(SIGTTOU, SIG_IGN);
    return setsid() < 0 || ioctl(command_end, TIOCSCTTY, 0) || dup2(command_end, 0) < 0 ? -1 : 0;
}

static void run_command(int directory, char **argv) {
    sigset_t none;
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct nothing[2] = {{0, 0, 0}, {0, 0, 0}};
    int failed = is_terminal ? own_terminal() : setpgid(0, 0);
    dup2(command_end, 1);
    dup2(command_end, 2);
    if (is_terminal && failed) {
        complain(2, "ci-init: cannot own the terminal", "");
        _exit(CANNOT_START);
    }
    signal(SIGPIPE, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (setgroups(0, NULL) || setgid(gid) || setuid(uid) || syscall(SYS_capset, &header, nothing)) {
        complain(2, "ci-init: cannot become the job's user", "");
        _exit(CANNOT_START);
    }
    if (fchdir(directory)) {
        complain(2, "ci-init: cannot enter the working directory", "");
        _exit(CANNOT_START);
    }
    execvp(argv[0], argv);
    int status = errno == ENOENT ? 127 : 126;
    complain(2, "ci-init: cannot run ", argv[0]);
    _exit(status);
}

/* Reap whoever ended. Returns whether the command is among them. */
static int reap(void) {
    int status, ended = 0;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        if (pid == command) {
            code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
            ended = 1;
        }
    return ended;
}

/* To the command's process group, or, before it has made one, to the command. */
static void pass_on(int signal) {
    if (kill(-command, signal)) kill(command, signal);
}

/* Returns whether the command has ended. */
static int handle_signals(int signals) {
    struct signalfd_siginfo info;
    int ended = 0;
    while (read(signals, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGCHLD) ended |= reap();
        else if (info.ssi_signo == KILL_JOB) kill(-1, SIGKILL);
        else pass_on((int)info.ssi_signo);
    }
    return ended;
}

/* What the command left running ends with it; only then has everything been written. */
static void end_the_others(void) {
    uint64_t until = now_ms() + REAP_MS;
    kill(-1, SIGKILL);
    while (now_ms() < until) {
        pid_t pid = waitpid(-1, NULL, WNOHANG);
        if (pid < 0 && errno == ECHILD) return;
        if (pid == 0) {
            kill(-1, SIGKILL);
            pause_ms(1);
        }
    }
}

/* Nobody types: whoever waits for input is to be at its end, as with Ctrl-D. A program may discard
 * what it has not read, so this is repeated whenever there is nothing for it to read. */
static void end_input(void) {
    struct pollfd input = {command_end, POLLIN, 0};
    struct termios modes;
    if (now_ms() < input_at) return;
    input_at = now_ms() + INPUT_MS;
    if (poll(&input, 1, 0) || tcgetattr(command_end, &modes)) return;
    if (write(source, &modes.c_cc[VEOF], 1) < 0) return; /* next time */
}

/* ------------------------------------------------------------------ start, loop, end */

static void send_the_rest(int type, const unsigned char *payload, size_t length) {
    uint64_t until = now_ms() + UNREAD_MS;
    int closed = 0;
    while (!stdout_is_gone && now_ms() < until) {
        uint64_t before = sent + outgoing->position;
        if (flush()) {
            if (closed) return;
            if (!frame_from_spool()) {
                frame(outgoing, type, written, length);
                memcpy(outgoing->bytes + HEADER, payload, length);
                closed = 1;
            }
            continue;
        }
        struct pollfd out = {1, POLLOUT, 0};
        poll(&out, 1, UNREAD_MS);
        if (sent + outgoing->position != before || out.revents & POLLOUT)
            until = now_ms() + UNREAD_MS;
    }
}

static int refuse(const char *what) {
    char text[256];
    refusal = (uint32_t)errno;
    size_t length = join(text, sizeof text, what, ": ", strerror(errno));
    phase = REFUSED_START;
    code = CANNOT_START;
    if (state_file >= 0) write_state();
    send_the_rest(REFUSED, (const unsigned char *)text, length);
    return CANNOT_START;
}

static int finish(void) {
    unsigned char payload[12];
    end_the_others();
    take_the_rest();
    phase = ENDED;
    write_state();
    put(payload, code, 4);
    put(payload + 4, lost, 8);
    send_the_rest(END, payload, sizeof payload);
    return (int)code;
}

static int loop(int signals) {
    uint64_t beat_at = now_ms() + BEAT_MS;
    for (;;) {
        uint64_t held = written - released;
        uint64_t room = held < capacity - reserve ? capacity - reserve - held : 0;
        int wait_ms = held > capacity / 4 ? FILLING_MS : BEAT_MS;
        if (held > capacity / 4 * 3) wait_ms = FULL_MS;
        if (kept < taken) wait_ms = RETRY_MS; /* the disk is full, or fails */
        if (is_terminal) {
            end_input();
            if (wait_ms > INPUT_MS) wait_ms = INPUT_MS;
        }
        struct pollfd watched[] = {
            {signals, POLLIN, 0},
            {room >= PACKET && kept == taken ? source : -1, POLLIN, 0},
            {has_to_send() ? 1 : -1, POLLOUT, 0},
        };
        poll(watched, 3, wait_ms);
        if (watched[1].revents || kept < taken) take(room);
        send_some();
        if (watched[0].revents && handle_signals(signals)) return finish();
        if (written - released > capacity / 4 && now_ms() >= look_at) {
            look_at = now_ms() + FULL_MS;
            read_messages();
        }
        if (now_ms() >= beat_at) {
            beat_at = now_ms() + BEAT_MS;
            beat_is_due = 1;
            read_messages();
            send_some();
        }
    }
}

static int hexadecimal(char digit) {
    if (digit >= '0' && digit <= '9') return digit - '0';
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

static int read_config(void) {
    char text[256] = "", *at = text + 32;
    uint64_t numbers[6];
    int file = open("config", O_RDONLY | O_CLOEXEC);
    if (file < 0 || read(file, text, sizeof text - 1) < 0) return -1;
    close(file);
    errno = EINVAL;
    for (int n = 0; n < 16; n++) {
        int high = hexadecimal(text[2 * n]), low = hexadecimal(text[2 * n + 1]);
        if (high < 0 || low < 0) return -1;
        key[n] = (unsigned char)(high << 4 | low);
    }
    for (int n = 0; n < 6; n++) {
        if (*at != ' ') return -1;
        numbers[n] = strtoull(at + 1, &at, 10);
    }
    attempt = (unsigned)numbers[0];
    uid = (unsigned)numbers[1];
    gid = (unsigned)numbers[2];
    slots = (unsigned)numbers[3];
    slot_bytes = numbers[4];
    is_terminal = numbers[5] == 1;
    capacity = slots * slot_bytes;
    errno = EINVAL;
    return slots >= 2 && slots <= MAX_SLOTS && slot_bytes >= 2 * PIPE_BYTES ? 0 : -1;
}

/* A directory that came with the image is the job's own, perhaps, and no place for its output. */
static int enter_directory(char *program) {
    struct stat facts;
    char *slash = strrchr(program, '/');
    if (!slash) return -1;
    *slash = 0;
    int failed = lstat(program, &facts) || chdir(program);
    *slash = '/';
    if (failed) return -1;
    errno = EPERM;
    if (!S_ISDIR(facts.st_mode) || facts.st_uid != geteuid()) return -1;
    return chmod(".", 0700);
}

static int open_fifo(void) {
    unlink("out");
    if (mkfifo("out", 0666) || chmod("out", 0666)) return -1;
    /* Both ways, so that it never ends: not when the command closes its output and goes on. */
    source = open("out", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    command_end = open("out", O_WRONLY | O_CLOEXEC);
    if (source < 0 || command_end < 0) return -1;
    fcntl(source, F_SETPIPE_SZ, PIPE_BYTES);
    int size = fcntl(source, F_GETPIPE_SZ);
    /* What may be in it at the command's end, when the spool is full and nobody there to read. The
     * command may make it as large as an unprivileged process can. */
    reserve = size > LARGEST_PIPE_BYTES ? (uint64_t)size : LARGEST_PIPE_BYTES;
    if (reserve > capacity / 2) reserve = capacity / 2;
    return 0;
}

static unsigned short size_of(const char *variable, unsigned short otherwise) {
    const char *text = getenv(variable);
    unsigned long size = text ? strtoul(text, NULL, 10) : 0;
    return size > 0 && size <= LONGEST_LINE ? (unsigned short)size : otherwise;
}

/* As the command's user, whose it is then: `> /dev/stderr` opens it again. */
static int open_both_ends(void) {
    char name[32] = "/dev/pts/", digits[12] = "";
    char *first = digits + sizeof digits - 1;
    int locked = 0;
    unsigned number;
    source = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (source < 0 || ioctl(source, TIOCSPTLCK, &locked) || ioctl(source, TIOCGPTN, &number))
        return -1;
    do *--first = (char)('0' + number % 10);
    while (number /= 10);
    join(name + strlen(name), sizeof name - 1 - strlen(name), first, "", "");
    command_end = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    return command_end < 0 ? -1 : 0;
}

static int open_terminal(void) {
    struct winsize size = {size_of("LINES", LINES), size_of("COLUMNS", COLUMNS), 0, 0};
    struct termios modes;
    if (seteuid(uid)) return -1;
    int failed = open_both_ends();
    if (seteuid(0) || failed) return -1;
    if (ioctl(source, TIOCSWINSZ, &size) || tcgetattr(command_end, &modes)) return -1;
    modes.c_lflag &= ~(tcflag_t)ECHO; /* of an input that nobody typed */
    reserve = least(LARGEST_PIPE_BYTES, capacity / 2);
    return tcsetattr(command_end, TCSANOW, &modes);
}

int main(int count, char **argv) {
    sigset_t handled;
    int directory, signals;
    /* At the end all processes that we see are killed: in a container, those of the job. */
    if (count < 2 || getpid() != 1) return CANNOT_START;
    signal(SIGPIPE, SIG_IGN);
    sigfillset(&handled);
    static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGPIPE};
    for (size_t n = 0; n < sizeof own / sizeof *own; n++) sigdelset(&handled, own[n]);
    sigprocmask(SIG_SETMASK, &handled, NULL);
    fcntl(1, F_SETFL, fcntl(1, F_GETFL) | O_NONBLOCK);
    fcntl(1, F_SETPIPE_SZ, STDOUT_BYTES); /* fewer switches between us and the engine */
    directory = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0 || enter_directory(argv[0])) return CANNOT_START;
    if (read_config()) return refuse("the init process's configuration cannot be read");
    state_file = open_new("state");
    if (state_file < 0 || write_state()) return refuse("the state of the output cannot be written");
    if (open_spool()) return refuse("no disk space for the spool of the output");
    if (is_terminal && open_terminal()) return refuse("no pseudo-terminal can be had");
    if (!is_terminal && open_fifo()) return refuse("the pipe for the output cannot be made");
    signals = signalfd(-1, &handled, SFD_NONBLOCK | SFD_CLOEXEC);
    if (signals < 0) return refuse("signalfd failed");
    phase = RUNNING;
    write_state();
    command = fork();
    if (command < 0) return refuse("the command cannot be started");
    if (command == 0) run_command(directory, argv + 1);
    if (!is_terminal) { /* whose end is kept: without any, the master has neither output nor end */
        setpgid(command, command);
        close(command_end);
    }
    close(directory);
    return loop(signals);
}
