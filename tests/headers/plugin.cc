// A plugin in C++: it is only compiled.
#include <belt/plugin.h>

#include <string>

static int init(const belt_host *, const char *args, void **state, char *,
                size_t)
{
    *state = new std::string(args);
    return 0;
}

static int run(belt_run *run, void *state)
{
    const std::string *text = static_cast<std::string *>(state);

    if (belt_should_stop(run) != BELT_GO_ON)
        return belt_dead(run, "input", "%s", text->c_str());
    belt_log(run, BELT_INFO, "done");
    return belt_result(run, text->data(), text->size()) == BELT_OK ? BELT_DONE
                                                                  : BELT_RETRY;
}

static void fini(void *state)
{
    delete static_cast<std::string *>(state);
}

BELT_PLUGIN("c++", "1", init, run, fini)
