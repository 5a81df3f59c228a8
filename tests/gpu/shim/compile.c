/* compile.c: see shim.h. The compiler is $SHIM_CXX, or g++. What was compiled once is remembered in the process, and,
 * if the environment's SHIM_CACHE names a folder, on disk. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shim.h"

extern char **environ;

#ifndef SHIM_FOLDER
#error SHIM_FOLDER is where shim_cuda.h is
#endif

/* --- text
 * ---------------------------------------------------------------------------------------------------------------- */

struct text {
    char *data;
    size_t size, room;
};

static void add(struct text *text, const void *data, size_t size) {
    if (text->size + size + 1 > text->room) {
        size_t room = (text->size + size + 1) * 2;
        char *grown = realloc(text->data, room);
        if (!grown) abort(); /* a test's helper, of some kilobytes */
        text->data = grown;
        text->room = room;
    }
    memcpy(text->data + text->size, data, size);
    text->size += size;
    text->data[text->size] = 0;
}

static void add_text(struct text *text, const char *data) {
    add(text, data, strlen(data));
}

static bool is_name(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static const char *skip_space(const char *p) {
    return p + strspn(p, " \t\r\n");
}

/* The end of the brackets that begin at p. */
static const char *skip_brackets(const char *p) {
    int depth = 0;
    for (; *p; p++) {
        if (*p == '(') depth++;
        if (*p == ')' && !--depth) return p + 1;
    }
    return p;
}

/* Writes what the device is to know of each __global__ function. Comments must not hold that word with a function
 * behind it. */
static int describe_kernels(const char *source, struct text *out) {
    int n = 0;
    add_text(out, "\n#line 1 \"kernels\"\nstatic const struct shim_kernel shim_kernels[] = {\n");
    for (const char *p = source; (p = strstr(p, "__global__"));) {
        p += strlen("__global__");
        const char *bounds = NULL, *bounds_end = NULL, *name = NULL, *name_end = NULL;
        const char *q = p;
        for (;;) { /* words up to the parameter list */
            q = skip_space(q);
            const char *word = q;
            while (is_name(*q)) q++;
            if (q == word) break;
            const char *end = q, *after = skip_space(q);
            if (*after != '(') continue;
            bool launch_bounds = (size_t)(end - word) == strlen("__launch_bounds__") &&
                                 !strncmp(word, "__launch_bounds__", (size_t)(end - word));
            if (!launch_bounds && strncmp(word, "__attribute__", (size_t)(end - word)) != 0) {
                name = word, name_end = end;
                break;
            }
            q = skip_brackets(after);
            if (launch_bounds) {
                bounds = after + 1;
                bounds_end = bounds + strcspn(bounds, ",)");
            }
        }
        if (!name) continue;
        add_text(out, "    SHIM_KERNEL(");
        add(out, name, (size_t)(name_end - name));
        add_text(out, ", (");
        if (bounds)
            add(out, bounds, (size_t)(bounds_end - bounds));
        else
            add_text(out, "0");
        add_text(out, ")),\n");
        n++;
        p = name_end;
    }
    if (!n) add_text(out, "    {}\n");
    add_text(out, "};\nSHIM_MODULE\n");
    return n;
}

/* "extern __shared__ T name[];" is an array wherever the launch has it: T *const name. */
static void add_source(const char *source, struct text *out) {
    static const char mark[] = "extern __shared__ ";
    for (const char *at; (at = strstr(source, mark)); source = at) {
        add(out, source, (size_t)(at - source));
        at += sizeof mark - 1;
        const char *end = at + strcspn(at, "["), *name = end;
        while (name > at && is_name(name[-1])) name--;
        const int type_length = (int)(name - at), name_length = (int)(end - name);
        char text[300];
        snprintf(text, sizeof text, "%.*s *const %.*s = (%.*s *)shim_dynamic", type_length, at, name_length, name,
                 type_length, at);
        add_text(out, text);
        at = end + strcspn(end, ";");
    }
    add_text(out, source);
}

/* --- remembering
 * --------------------------------------------------------------------------------------------------------------- */

struct key {
    uint64_t a, b;
};

static void hash(struct key *key, const void *data, size_t size) {
    const unsigned char *p = data;
    for (size_t i = 0; i < size; i++) {
        key->a = (key->a ^ p[i]) * 0x100000001b3u;
        key->b = (key->b + p[i]) * 0x9e3779b97f4a7c15u;
        key->b ^= key->b >> 29;
    }
}

static bool read_file(const char *path, struct text *out) {
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return false;
    char part[16384];
    ssize_t n;
    while ((n = read(file, part, sizeof part)) > 0) add(out, part, (size_t)n);
    close(file);
    return n == 0;
}

static pthread_mutex_t memo_lock = PTHREAD_MUTEX_INITIALIZER;
static struct memo {
    struct memo *next;
    struct key key;
    size_t size;
    char *data;
} * memos[1024];

static void *copy_of(const void *data, size_t size) {
    void *copy = malloc(size ? size : 1);
    return copy ? memcpy(copy, data, size) : NULL;
}

static void *recall(struct key key, size_t *size) {
    void *found = NULL;
    pthread_mutex_lock(&memo_lock);
    for (struct memo *m = memos[key.a % 1024]; m && !found; m = m->next)
        if (m->key.a == key.a && m->key.b == key.b) found = copy_of(m->data, *size = m->size);
    pthread_mutex_unlock(&memo_lock);
    return found;
}

static void remember(struct key key, const void *data, size_t size) {
    struct memo *m = malloc(sizeof *m);
    if (!m) return;
    *m = (struct memo){NULL, key, size, copy_of(data, size)};
    if (!m->data) {
        free(m);
        return;
    }
    pthread_mutex_lock(&memo_lock);
    m->next = memos[key.a % 1024];
    memos[key.a % 1024] = m;
    pthread_mutex_unlock(&memo_lock);
}

__attribute__((destructor)) static void forget(void) {
    for (int i = 0; i < 1024; i++)
        while (memos[i]) {
            struct memo *m = memos[i];
            memos[i] = m->next;
            free(m->data);
            free(m);
        }
}

/* The name of a file of the cache. False: there is no cache. */
static bool cache_path(struct key key, const char *suffix, char path[600]) {
    const char *folder = getenv("SHIM_CACHE");
    if (!folder || !*folder) return false;
    return snprintf(path, 600, "%s/%016llx%016llx%s", folder, (unsigned long long)key.a, (unsigned long long)key.b,
                    suffix) < 600;
}

static void store(struct key key, const char *suffix, const void *data, size_t size) {
    char path[600], temporary[640];
    if (!cache_path(key, suffix, path)) return;
    snprintf(temporary, sizeof temporary, "%s.XXXXXX", path);
    int file = mkstemp(temporary);
    if (file < 0) return;
    bool ok = write(file, data, size) == (ssize_t)size;
    if (close(file) || !ok || rename(temporary, path)) unlink(temporary);
}

/* --- the compiler
 * ------------------------------------------------------------------------------------------------------------------ */

static const char *compiler(void) {
    const char *cxx = getenv("SHIM_CXX");
    return cxx && *cxx ? cxx : "g++";
}

/* Runs it with `input` as its standard input; what it says is added to `said`. */
static bool run(char **arguments, const struct text *input, struct text *said) {
    int in[2], out[2];
    if (pipe2(in, O_CLOEXEC)) return false;
    if (pipe2(out, O_CLOEXEC)) {
        close(in[0]), close(in[1]);
        return false;
    }
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], 0);
    posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    posix_spawn_file_actions_adddup2(&actions, out[1], 2);
    /* The compiler has nothing to do with the test's sanitizers and libraries. */
    size_t n = 0;
    while (environ[n]) n++;
    char **environment = calloc(n + 2, sizeof *environment);
    size_t kept = 0;
    for (size_t i = 0; environment && i < n; i++)
        if (strncmp(environ[i], "LD_PRELOAD=", 11) && strncmp(environ[i], "LD_LIBRARY_PATH=", 16) &&
            strncmp(environ[i], "LC_ALL=", 7))
            environment[kept++] = environ[i];
    pid_t child = -1;
    if (environment) {
        environment[kept++] = "LC_ALL=C";
        if (posix_spawnp(&child, arguments[0], &actions, NULL, arguments, environment)) child = -1;
    }
    free(environment);
    posix_spawn_file_actions_destroy(&actions);
    close(in[0]), close(out[1]);
    if (child < 0) {
        close(in[1]), close(out[0]);
        add_text(said, arguments[0]);
        add_text(said, " cannot be run\n");
        return false;
    }
    /* A compiler that stops early must not stop us. */
    sigset_t pipes, before;
    sigemptyset(&pipes);
    sigaddset(&pipes, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipes, &before);
    for (size_t done = 0; done < input->size;) {
        ssize_t k = write(in[1], input->data + done, input->size - done);
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0) break;
        done += (size_t)k;
    }
    close(in[1]);
    struct timespec none = {0};
    while (sigtimedwait(&pipes, NULL, &none) > 0) {
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    char part[4096];
    ssize_t k;
    while ((k = read(out[0], part, sizeof part)) > 0 || (k < 0 && errno == EINTR))
        if (k > 0) add(said, part, (size_t)k);
    close(out[0]);
    int status;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR) return false;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* g++'s "<stdin>:12:5: error: text" as NVRTC's "name(12): error: text". */
static void translate(const char *said, const char *name, struct text *log) {
    int errors = 0;
    char part[200];
    for (const char *line = said; *line;) {
        size_t length = strcspn(line, "\n");
        int number, used = 0;
        if (sscanf(line, "<stdin>:%d:%*d: %n", &number, &used) == 1 && used) {
            if (!strncmp(line + used, "error", 5) || !strncmp(line + used, "fatal error", 11)) errors++;
            snprintf(part, sizeof part, "%s(%d): ", name, number);
            add_text(log, part);
            add(log, line + used, length - (size_t)used);
            add_text(log, "\n\n");
        } else if (!strstr(line, "<stdin>") || strstr(line, "<stdin>") > line + length) {
            add(log, line, length);
            add_text(log, "\n");
        }
        line += length + (line[length] == '\n');
    }
    snprintf(part, sizeof part, "%d error%s detected in the compilation of \"%s\".\n", errors, errors == 1 ? "" : "s",
             name);
    add_text(log, part);
}

/* Arithmetic as on the device: IEEE, integers wrap. The builtin spellings in shim_cuda.h are what may become
 * instructions. Compiling is most of the work in tests with thousands of small kernels, so it is not optimized unless
 * SHIM_OPTIMIZE says so. */
#define FLAGS                                                                                                          \
    "-pipe -x c++ -std=c++17 -fPIC -shared -nostdlib -fno-exceptions -fno-rtti -fno-builtin -fno-math-errno "          \
    "-fno-trapping-math -ffp-contract=off -fno-strict-aliasing -fvisibility=hidden -fno-gnu-unique "                   \
    "-fno-asynchronous-unwind-tables -fno-stack-protector -w -fno-diagnostics-show-caret " SANITIZED
/* SHIM_UBSAN: the tests are built with -fsanitize=undefined. What C++ leaves undefined is so in CUDA C, too. */
#if SHIM_ASAN && defined(SHIM_UBSAN)
#define SANITIZED "-fsanitize=address,undefined -fno-sanitize=vptr -fno-sanitize-recover=all -g1"
#elif SHIM_ASAN
#define SANITIZED "-fsanitize=address -fwrapv -g1"
#else
#define SANITIZED "-fwrapv -s"
#endif

enum { ARGUMENTS = 48 };

struct command {
    char flags[sizeof FLAGS];
    char *arguments[ARGUMENTS];
    int n;
};

static void begin_command(struct command *command) {
    char *rest = NULL, *optimize = getenv("SHIM_OPTIMIZE");
    memcpy(command->flags, FLAGS, sizeof FLAGS);
    command->n = 0;
    command->arguments[command->n++] = (char *)compiler();
    command->arguments[command->n++] = optimize && *optimize ? optimize : "-O0";
    for (char *flag = strtok_r(command->flags, " ", &rest); flag; flag = strtok_r(NULL, " ", &rest))
        command->arguments[command->n++] = flag;
}

static void end_command(struct command *command, char *const *arguments) {
    for (; *arguments; arguments++) command->arguments[command->n++] = *arguments;
    command->arguments[command->n] = NULL;
}

/* Runs a command that writes a file, at *path; a file of that name is there afterwards. */
static bool make_file(char path[500], const char *folder, struct command *command, const struct text *input,
                      struct text *said) {
    snprintf(path, 500, "%s/weft-shim-XXXXXX", folder);
    int file = mkstemp(path);
    if (file < 0) {
        add_text(said, "no temporary file\n");
        path[0] = 0;
        return false;
    }
    close(file);
    end_command(command, (char *[]){"-o", path, NULL});
    return run(command->arguments, input, said);
}

/* What every kernel depends on: the compiler, its flags, the header. */
static struct key common_key(const struct command *command) {
    static const char *const parts[] = {SHIM_FOLDER "/shim_cuda.h", SHIM_FOLDER "/abi.h", SHIM_FOLDER "/functions.def"};
    struct key key = {0xcbf29ce484222325u, 1};
    struct text text = {0};
    for (int i = 0; i < command->n; i++) hash(&key, command->arguments[i], strlen(command->arguments[i]) + 1);
    for (int i = 0; i < 3; i++) read_file(parts[i], &text);
    hash(&key, text.data ? text.data : "", text.size);
    free(text.data);
    return key;
}

/* Where the header is, precompiled if there is a folder to keep it in. */
static void find_header(struct key key, char path[600]) {
    static pthread_mutex_t making = PTHREAD_MUTEX_INITIALIZER;
    char compiled[640], temporary[500], line[] = "#include \"" SHIM_FOLDER "/shim_cuda.h\"\n";
    if (!cache_path(key, ".h", path)) {
        snprintf(path, 600, "%s", SHIM_FOLDER "/shim_cuda.h");
        return;
    }
    snprintf(compiled, sizeof compiled, "%s.gch", path);
    pthread_mutex_lock(&making);
    if (access(compiled, R_OK)) {
        struct command command;
        struct text said = {0}, nothing = {0};
        store(key, ".h", line, strlen(line));
        begin_command(&command);
        end_command(&command, (char *[]){"-x", "c++-header", path, NULL});
        if (!make_file(temporary, getenv("SHIM_CACHE"), &command, &nothing, &said) || rename(temporary, compiled))
            unlink(temporary);
        free(said.data);
    }
    pthread_mutex_unlock(&making);
}

void *shim_compile(const char *source, const char *name, int arch, size_t *size, char **log) {
    struct text input = {0}, said = {0}, image = {0};
    char text[100], path[600], output[500];
    snprintf(text, sizeof text, "#define SHIM_ARCH %d\n#line 1 \"<stdin>\"\n", arch);
    add_text(&input, text);
    add_source(source, &input);
    describe_kernels(source, &input);

    struct command command;
    begin_command(&command);
    struct key common = common_key(&command), key = common;
    hash(&key, input.data, input.size);
    void *result = recall(key, size);
    if (!result && cache_path(key, ".so", path) && read_file(path, &image) && image.size) {
        *size = image.size;
        remember(key, image.data, image.size);
        result = copy_of(image.data, image.size);
    }
    if (!result) {
        const char *folder = getenv("TMPDIR");
        find_header(common, path);
        end_command(&command, (char *[]){"-include", path, "-", "-Wl,--build-id=none,--as-needed", "-lgcc",
                                         "-l:libm.so.6", NULL});
        image.size = 0;
        if (make_file(output, folder && *folder ? folder : "/tmp", &command, &input, &said) &&
            read_file(output, &image) && image.size) {
            *size = image.size;
            remember(key, image.data, image.size);
            store(key, ".so", image.data, image.size);
            result = copy_of(image.data, image.size);
        }
        if (output[0]) unlink(output);
    }
    if (log) {
        struct text translated = {0};
        if (!result) translate(said.data ? said.data : "", name, &translated);
        *log = translated.data;
    }
    free(image.data);
    free(said.data);
    free(input.data);
    return result;
}
