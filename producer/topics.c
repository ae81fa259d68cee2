/*
 * Topics: what several commands have in common, explained once.
 *
 * Thread: any.
 */
#include "producer/topics.h"

#include <string.h>

static const char exit_codes[] =
    "Exit codes of belt\n"
    "\n"
    "    0  ok\n"
    "    1  the outcome asked for is negative: not there, not done, in use\n"
    "   64  usage: unknown command, flag or value\n"
    "   65  bad input: no valid JSON, bad lines, too big\n"
    "   66  an input file cannot be opened\n"
    "   69  Redis is unreachable, or a program belt needs is missing\n"
    "   70  Redis answered something unexpected\n"
    "   73  belt dev: its directory cannot be made; queues purge --export: "
    "the\n"
    "       file is there already\n"
    "   74  input cannot be read, or output cannot be written\n"
    "   75  try again: the queue is full; Redis is out of memory, loading,\n"
    "       read-only; or the outcome is unknown because the connection was\n"
    "       lost meanwhile\n"
    "   77  no permission: NOAUTH, WRONGPASS, NOPERM\n"
    "   78  the queue is of a newer format than this program\n"
    "  124  wait, push --wait, run --wait, cancel --wait: the time is over\n"
    "  130  interrupted (128 + number of the signal)\n"
    "\n"
    "belt wait, push --wait and run --wait end with the exit code of the one "
    "job\n"
    "that they wait for.\n"
    "\"outcome unknown\" says that the job may or may not be in the queue.\n"
    "Pushing it again may run it twice. In a handler, 75 means \"retry me\".\n";

static const char env[] =
    "Environment of belt\n"
    "\n"
    "  BELT_REDIS_URL  where Redis is, if there is no -u\n"
    "  REDIS_URL       the same, looked at next; else redis://127.0.0.1:6379\n"
    "  REDISCLI_AUTH   password, if the URL has none\n"
    "  BELT_NAMESPACE  prefix of all keys, if there is no --namespace\n"
    "  BELT_CONTROL_FD set by a worker for its handlers: where belt progress,\n"
    "                  log and emit write\n"
    "  NO_COLOR        if not empty, nothing is bold\n";

static const char payload[] =
    "The payload of a job: any JSON value, carried byte for byte\n"
    "\n"
    "  belt push TYPE                       null\n"
    "  belt push TYPE '{\"user\":42}'         JSON; white space around it "
    "goes\n"
    "  belt push TYPE -                     JSON from stdin\n"
    "  belt push TYPE @FILE                 JSON from a file\n"
    "  belt push TYPE name=Ada age:=36      {\"name\":\"Ada\",\"age\":36}\n"
    "\n"
    "key=value is a string, key:=json is JSON. What begins with { [ or \" is\n"
    "JSON as a whole. A JSON string needs its quotes: '\"text\"'.\n"
    "\n"
    "Many jobs: belt push --ndjson [FILE] reads one envelope a line, as in\n"
    "  {\"type\":\"mail\",\"payload\":{\"user\":42}}\n"
    "and with --type T one bare payload a line.\n";

const struct topic topics[] = {
    {"commands", "what belt can do", NULL},
    {"exit-codes", "what the exit status says", exit_codes},
    {"env", "environment variables", env},
    {"payload", "the forms of a payload", payload},
    {0},
};

const struct topic *topic_find(const char *name)
{
    for (const struct topic *t = topics; t->name; t++) {
        if (strcmp(t->name, name) == 0)
            return t;
    }
    return NULL;
}
