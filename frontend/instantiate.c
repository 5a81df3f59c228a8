/* instantiate.c: one plan of a program, for one signature of inputs. */
#include "frontend/elab.h"
#include "frontend/resolve.h"

struct plan *frontend_instantiate(const struct frontend_program *program, struct arena *arena,
                                  const struct frontend_binding *bindings, struct diag_list *diags) {
    int before = diags->count;
    struct plan *plan = plan_new(arena);
    plan->fp = program->options->fp;
    plan->ulp = program->options->ulp == 1 ? 1 : 4;
    plan->has_effects = program->has_effects;
    struct elab elab = {.arena = arena,
                        .program = program,
                        .ast = program->ast,
                        .resolve = program->resolve,
                        .plan = plan,
                        .diags = diags};
    array_program(&elab, bindings);
    if (diags->count != before) return NULL;
    for (int i = 0; i < plan->n_outputs; i++)
        if (plan->output_slots[i] < 0) {
            diag_add(diags, DIAG_INTERNAL, (struct span){0, 0}, "output %d was not made, and no error says why", i);
            return NULL;
        }
    return plan;
}
