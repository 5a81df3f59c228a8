/* tools_info.c: the text of `weft info`. */
#include <string.h>

#include "runtime/cuda/cuda.h"
#include "runtime/runtime.h"
#include "runtime/tools_text.h"

/* cuda_describe's lines, "driver: …", "compiler: …", "cuda:0: …", in columns like the others. */
static void write_gpus(struct strbuf *out) {
    struct strbuf lines;
    strbuf_init(&lines, out->arena);
    cuda_describe(&lines);
    for (const char *line = strbuf_text(&lines); *line;) {
        int length = (int)strcspn(line, "\n");
        const char *colon = strstr(line, ": ");
        int label = colon && colon < line + length ? (int)(colon - line) : 0;
        bool device = !strncmp(line, "cuda", 4);
        const char *text = label ? colon + 2 : line;
        strbuf_printf(out, "%s%-*.*s%.*s\n", label && !device ? "GPU " : "", label && !device ? 10 : 14, label, line,
                      (int)(line + length - text), text);
        line += length + (line[length] == '\n');
    }
}

static bool write_info(void *argument, struct strbuf *out) {
    const jit_context *context = argument;
    struct cpu_info info;
    cpu_engine_info(context->engine, &info);
    static const char *const fps[] = {[FP_STRICT] = "strict", [FP_CONTRACT] = "contract", [FP_FAST] = "fast"};
    strbuf_printf(out, "weft          %s\n", JIT_VERSION);
    strbuf_printf(out, "LLVM          %s\n", info.llvm_version);
    strbuf_printf(out, "CPU           %s\n", info.cpu);
    strbuf_printf(out, "features      %s\n", info.features);
    strbuf_printf(out, "vectors       %s, %d bytes\n", info.isa, info.vector_bytes);
    strbuf_printf(out, "vector math   %s\n", info.vector_math);
    strbuf_printf(out, "threads       %d\n", context->threads);
    strbuf_printf(out, "arithmetic    --fp=%s --ulp=%d\n", fps[context->fp], context->ulp);
    write_gpus(out);
    return true;
}

char *jit_info(jit_context *context) {
    if (!context) return NULL;
    fork_hold(); /* it opens the driver and NVRTC */
    char *text = tools_text_write(write_info, context);
    fork_allow();
    return text;
}
