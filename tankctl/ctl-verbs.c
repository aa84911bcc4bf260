/* SPDX-License-Identifier: Apache-2.0 */

/* The verbs: what they take, what is told about them, what does them. */

#include "ctl.h"
#include "ctl-verbs.h"
#include "error.h"

#define FIELD(f) offsetof(Arguments, f)

#define OPTION_FILES \
        { \
                'f', "file", OPTION_LIST, FIELD(files), "FILE", "file, directory, or - for stdin" \
        }
#define OPTION_CONTAINER \
        { \
                'c', "container", OPTION_STRING, FIELD(container), "NAME", "which container" \
        }
#define OPTION_WAIT(what) \
        { \
                0, "wait", OPTION_FLAG, FIELD(wait), NULL, what \
        }
#define OPTION_TIMEOUT \
        { \
                0, "timeout", OPTION_STRING, FIELD(timeout), "SECONDS", \
                                "how long to wait (default: 60)" \
        }

static const Option apply_options[] = {
        OPTION_FILES,
        { 0, "dry-run", OPTION_FLAG, FIELD(dry_run), NULL, "only show what would change" },
        { 0, "create-namespace", OPTION_FLAG, FIELD(create_namespace), NULL,
                        "make the namespaces that are missing" },
        OPTION_WAIT("return when all pods run, or cannot"),
        OPTION_TIMEOUT,
        {},
};

static const Option validate_options[] = { OPTION_FILES, {} };

static const Option delete_options[] = {
        OPTION_FILES,
        { 0, "cascade", OPTION_FLAG, FIELD(cascade), NULL,
                        "a namespace: with all that stands in it" },
        OPTION_WAIT("return when nothing of them is left"),
        OPTION_TIMEOUT,
        {},
};

static const Option seed_options[] = {
        { 0, "follow", OPTION_NOT_YET, 0, NULL, "" },
        {},
};

static const Option get_options[] = {
        { 'l', "selector", OPTION_TERMS, FIELD(selector), "SELECTOR",
                        "by labels: KEY, KEY=VALUE, KEY!=VALUE, ..." },
        { 0, "fields", OPTION_TERMS, FIELD(fields), "SELECTOR",
                        "by fields: containers[*].image=/srv/web, ..." },
        { 'w', "watch", OPTION_FLAG, FIELD(watch), NULL, "go on with what changes" },
        { 0, "sort-by", OPTION_STRING, FIELD(sort_by), "COLUMN",
                        "by column or .path.of.field; -COLUMN: reversed" },
        { 0, "columns", OPTION_STRING, FIELD(columns), "COLUMNS",
                        "which ones: NAME,STATE,.meta.uid" },
        { 0, "limit", OPTION_STRING, FIELD(limit), "N", "only the first N" },
        { 0, "count", OPTION_FLAG, FIELD(count), NULL, "only how many there are" },
        {},
};

#define OPTION_NO_FOLLOW \
        { \
                0, "no-follow", OPTION_FLAG, FIELD(no_follow), NULL, \
                                "end after what is there already" \
        }

static const Option events_options[] = {
        { 0, "since", OPTION_STRING, FIELD(since), "TIME",
                        "what happened since: 10m, or 2026-01-31T12:00:00Z" },
        OPTION_NO_FOLLOW,
        {},
};

static const Option watch_options[] = {
        { 0, "since", OPTION_STRING, FIELD(since), "REVISION", "changes behind this revision" },
        { 'l', "selector", OPTION_TERMS, FIELD(selector), "SELECTOR",
                        "by labels: KEY, KEY=VALUE, KEY in (A,B)" },
        { 0, "prefix", OPTION_STRING, FIELD(name_prefix), "PREFIX", "names that begin so" },
        OPTION_NO_FOLLOW,
        {},
};

static const Option history_options[] = {
        { 0, "revision", OPTION_STRING, FIELD(revision), "REVISION", "one version in full" },
        { 0, "diff", OPTION_STRING, FIELD(diff), "FROM [TO]", "what changed between two versions" },
        {},
};

static const Option rollback_options[] = {
        { 0, "to", OPTION_STRING, FIELD(to), "REVISION", "the version to go back to" },
        { 0, "if-revision", OPTION_STRING, FIELD(if_revision), "REVISION",
                        "only if it stands there now" },
        OPTION_WAIT("return when the pod runs, or cannot"),
        OPTION_TIMEOUT,
        {},
};

static const Option secret_options[] = {
        { 0, "from-file", OPTION_LIST, FIELD(from_files), "[KEY=]FILE",
                        "a value: the bytes of a file, or - for stdin" },
        { 0, "from-literal", OPTION_SECRETS, FIELD(from_literals), "KEY=VALUE",
                        "a value as it is" },
        { 0, "type", OPTION_STRING, FIELD(type), "TYPE", "what it is for" },
        { 0, "create-namespace", OPTION_FLAG, FIELD(create_namespace), NULL,
                        "make the namespace if it is missing" },
        { 0, "reveal", OPTION_FLAG, FIELD(reveal), NULL, "get: yes, print the value" },
        {},
};

static const Option wait_options[] = {
        { 0, "for", OPTION_STRING, FIELD(condition), "STATE", "running, ready, exited or deleted" },
        OPTION_TIMEOUT,
        {},
};

static const Option restart_options[] = { OPTION_CONTAINER, {} };

static const Option kill_options[] = {
        { 's', "signal", OPTION_STRING, FIELD(signal), "SIGNAL",
                        "name or number (default: SIGTERM)" },
        OPTION_CONTAINER,
        {},
};

static const Option exec_options[] = {
        { 'i', "interactive", OPTION_FLAG, FIELD(interactive), NULL, "pass standard input on" },
        { 't', "tty", OPTION_FLAG, FIELD(terminal), NULL, "give the command a terminal" },
        { 'd', "detach", OPTION_FLAG, FIELD(detach), NULL,
                        "print the session's number and leave it" },
        { 0, "keep", OPTION_FLAG, FIELD(keep), NULL, "the command stays when we go" },
        { 0, "detach-keys", OPTION_STRING, FIELD(detach_keys), "KEYS",
                        "with --keep: what leaves it (default: none)" },
        { 'e', "env", OPTION_LIST, FIELD(environment), "KEY=VALUE", "set a variable" },
        { 'w', "workdir", OPTION_STRING, FIELD(working_dir), "DIR", "where to run the command" },
        { 'u', "user", OPTION_STRING, FIELD(user), "USER", "name, or uid[:gid]" },
        OPTION_CONTAINER,
        {},
};

static const Option attach_options[] = {
        { 0, "viewer", OPTION_FLAG, FIELD(viewer), NULL, "only look on; any number may" },
        { 0, "no-stdin", OPTION_FLAG, FIELD(viewer), NULL, "the same" },
        { 0, "no-scrollback", OPTION_FLAG, FIELD(no_scrollback), NULL,
                        "begin with what comes, not with what was" },
        { 0, "detach-keys", OPTION_STRING, FIELD(detach_keys), "KEYS",
                        "what detaches (default: ctrl-p,ctrl-q)" },
        OPTION_CONTAINER,
        {},
};

static const Option sessions_options[] = {
        { 's', "signal", OPTION_STRING, FIELD(signal), "SIGNAL",
                        "kill: name or number (default: SIGTERM)" },
        { 'i', "interactive", OPTION_FLAG, FIELD(interactive), NULL,
                        "wait: pass standard input on" },
        { 0, "detach-keys", OPTION_STRING, FIELD(detach_keys), "KEYS",
                        "wait: what leaves it (default: ctrl-p,ctrl-q)" },
        OPTION_CONTAINER,
        {},
};

static const Option logs_options[] = {
        { 'f', "follow", OPTION_FLAG, FIELD(follow), NULL, "go on until the pod runs no more" },
        { 0, "tail", OPTION_STRING, FIELD(tail), "N", "only the last N lines (0: all)" },
        { 0, "since", OPTION_STRING, FIELD(since), "TIME", "10m, or 2026-01-31T12:00:00Z" },
        { 0, "timestamps", OPTION_FLAG, FIELD(timestamps), NULL, "put its time before each line" },
        { 0, "prefix", OPTION_FLAG, FIELD(prefix), NULL, "put the container before each line" },
        { 0, "raw", OPTION_FLAG, FIELD(raw), NULL, "let a terminal obey what was written" },
        OPTION_CONTAINER,
        {},
};

static const Option doctor_options[] = {
        { 0, "accept-store", OPTION_FLAG, FIELD(accept_store), NULL,
                        "end Held: what the store says now is wanted" },
        { 0, "repair", OPTION_NOT_YET, 0, NULL, "" },
        {},
};

static const Option store_options[] = {
        OPTION_FILES,
        { 0, "dry-run", OPTION_FLAG, FIELD(dry_run), NULL, "import: only tell what it would do" },
        { 0, "reveal", OPTION_FLAG, FIELD(reveal), NULL,
                        "export: the values of secrets in the clear" },
        { 0, "type", OPTION_STRING, FIELD(type), "TYPE", "export: only of this type" },
        { 0, "revision", OPTION_STRING, FIELD(revision), "REVISION",
                        "compact: only up to this one" },
        { 0, "versions", OPTION_STRING, FIELD(versions), "N",
                        "retention: of each thing; or all, default" },
        { 0, "age", OPTION_STRING, FIELD(age), "DURATION",
                        "retention: since replaced; or forever, default" },
        { 0, "log-rows", OPTION_STRING, FIELD(log_rows), "N",
                        "retention: changes in the log; or all" },
        { 0, "log-size", OPTION_STRING, FIELD(log_size), "SIZE",
                        "retention: bytes of the log; or all" },
        { 0, "output-file", OPTION_STRING, FIELD(output_file), "FILE",
                        "metrics: replace this file instead of printing" },
        {},
};

static const Option kv_options[] = {
        { 0, "ttl", OPTION_STRING, FIELD(ttl), "DURATION", "set: the key is gone behind that" },
        { 0, "if-revision", OPTION_STRING, FIELD(if_revision), "REVISION",
                        "only if the key stands there now; 0: is not there" },
        { 0, "from-file", OPTION_STRING, FIELD(from_file), "FILE",
                        "set: the bytes of a file are the value" },
        { 0, "no-wait", OPTION_FLAG, FIELD(no_wait), NULL,
                        "return when it is accepted, not when it is durable" },
        { 0, "timeout", OPTION_STRING, FIELD(timeout), "SECONDS",
                        "how long to wait until it is durable" },
        { 0, "prefix", OPTION_STRING, FIELD(key_prefix), "PREFIX",
                        "list: only keys that begin so" },
        { 0, "from-pepr", OPTION_STRING, FIELD(from_pepr), "FILE",
                        "import: a PeprStore object as JSON" },
        { 0, "capability", OPTION_LIST, FIELD(capabilities), "NAME",
                        "import: one that has data in it" },
        { 0, "dry-run", OPTION_FLAG, FIELD(dry_run), NULL, "import: only show what would be set" },
        {},
};

const Verb ctl_verbs[] = {
        { "apply", "-f FILE…", "declare what files say",
                        "Stores the documents of the files, all of them or none; the machine then\n"
                        "follows. A document that says what is stored already changes nothing.\n"
                        "meta.revision, when it is there, must be the revision that is stored.",
                        apply_options, VERB_NAMESPACE, OUTPUTS_NONE, 0, 0, EXIT_CODE_USAGE,
                        verb_apply },
        { "validate", "-f FILE…", "check files, offline",
                        "Checks the documents of the files and stores nothing. Needs no daemon.",
                        validate_options, VERB_NAMESPACE, OUTPUTS_NONE, 0, 0, EXIT_CODE_USAGE,
                        verb_validate },
        { "diff", "-f FILE…", "show what apply would change",
                        "Shows, place by place, what apply would change. Exits with 1 if there is\n"
                        "anything, with 0 if there is not.",
                        validate_options, VERB_NAMESPACE, OUTPUTS_NONE, 0, 0, EXIT_CODE_USAGE,
                        verb_diff },
        { "get", "[TYPE [NAME]]", "list things, or show one",
                        "Shows pods, or things of another TYPE: what is declared, and how it is. "
                        "With\n"
                        "-o json a NAME gives an object, no NAME a list; -o yaml gives "
                        "declarations\n"
                        "that can be applied again. With -w what has changed is shown again, until "
                        "the\n"
                        "command is ended; -o json then gives an object on a line of its own for "
                        "each\n"
                        "change.",
                        get_options, VERB_NAMESPACE | VERB_ALL_NAMESPACES, OUTPUTS_ALL, 0, 2,
                        EXIT_CODE_USAGE, verb_get },
        { "describe", "TYPE NAME", "tell everything about one thing",
                        "Tells the declaration, the state, the last five ends of each container, "
                        "and, in\n"
                        "one line, why a pod does not run.",
                        NULL, VERB_NAMESPACE, OUTPUTS_NONE, 1, 2, EXIT_CODE_USAGE, verb_describe },
        { "events", "[POD]", "follow what happens to pods",
                        "Shows what happens to pods from now on, or since a TIME: applied, "
                        "starting,\n"
                        "running, ready, refused, backing-off, exited, failed, deleted. The "
                        "machine\n"
                        "keeps at least the last megabyte of that until it is switched off;\n"
                        "--no-follow without --since shows all of it. Restarts of tank's daemons\n"
                        "leave no gap; a gap that a full /run made is an event, too: lost. With\n"
                        "-o json each event is an object on a line of its own.",
                        events_options, VERB_NAMESPACE | VERB_ALL_NAMESPACES,
                        OUTPUTS_NONE | OUTPUT_BIT(OUTPUT_WIDE) | OUTPUT_BIT(OUTPUT_JSON), 0, 1,
                        EXIT_CODE_USAGE, verb_events },
        { "watch", "[TYPE]", "follow what is declared",
                        "Shows what is declared, \"synced\" when that is all, and then each change "
                        "of it:\n"
                        "created, updated, deleted. With --since only the changes behind that "
                        "REVISION.\n"
                        "Restarts of the store leave no gap. When it cannot go on from where it "
                        "was, as\n"
                        "changes are compacted or the database is another one, \"resync\" says so "
                        "and all\n"
                        "is shown anew; with --since that is the end, if it is so at the "
                        "beginning. With\n"
                        "-o json each event is an object on a line of its own, with the document, "
                        "the\n"
                        "last one of what is deleted. What begins to match SELECTOR is created, "
                        "what\n"
                        "ceases to is deleted.",
                        watch_options, VERB_NAMESPACE | VERB_ALL_NAMESPACES,
                        OUTPUTS_NAME | OUTPUT_BIT(OUTPUT_JSON), 0, 2, EXIT_CODE_USAGE, verb_watch },
        { "history", "TYPE NAME", "list what it was",
                        "Lists the versions of a thing, the newest first: what was done, when and "
                        "by\n"
                        "whom; also of one that is deleted. --revision prints a version as it was\n"
                        "declared, with -o json as it was stored. --diff shows, place by place, "
                        "what\n"
                        "changed from one version to another, or to what stands now.",
                        history_options, VERB_NAMESPACE,
                        OUTPUTS_NONE | OUTPUT_BIT(OUTPUT_WIDE) | OUTPUT_BIT(OUTPUT_JSON) |
                                        OUTPUT_BIT(OUTPUT_YAML),
                        1, 3, EXIT_CODE_USAGE, verb_history },
        { "rollback", "TYPE NAME --to REVISION", "declare an earlier version",
                        "Declares what an earlier version declared; that makes a new version. "
                        "Brings\n"
                        "back what was deleted, too. Exits with 4 when the thing does not stand "
                        "where\n"
                        "--if-revision says, and with 3 when there is no such version.",
                        rollback_options, VERB_NAMESPACE, OUTPUTS_NONE, 1, 2, EXIT_CODE_USAGE,
                        verb_rollback },
        { "delete", "TYPE NAME | -f FILE…", "declare nothing any more",
                        "Removes declarations, all of them or none; what runs because of them is\n"
                        "stopped. Deleting what is not there succeeds.",
                        delete_options, VERB_NAMESPACE, OUTPUTS_NONE, 0, 2, EXIT_CODE_USAGE,
                        verb_delete },
        { "wait", "POD --for=STATE", "wait until a pod is in a state",
                        "Returns when all containers of the pod run (running), are ready (ready) "
                        "or have\n"
                        "ended (exited; of a pod that restarts, its next end), or when nothing of "
                        "it is\n"
                        "left (deleted). Exits with 1 when a pod that has ended will not run, 3 "
                        "when it\n"
                        "is not declared, 5 when the time is over.",
                        wait_options, VERB_NAMESPACE, OUTPUTS_NONE, 1, 1, EXIT_CODE_USAGE,
                        verb_wait },
        { "restart", "POD[/CONTAINER]", "stop and start anew",
                        "Stops and starts the pod or the container. Restart counts and waiting "
                        "times\n"
                        "begin anew; what had ended for good runs again.",
                        restart_options, VERB_NAMESPACE, OUTPUTS_NONE, 1, 1, EXIT_CODE_USAGE,
                        verb_restart },
        { "kill", "POD[/CONTAINER]", "send a signal",
                        "Sends a signal to the first process of the pod's containers, or of one. "
                        "What\n"
                        "then becomes of them is up to the pod's restart policy.",
                        kill_options, VERB_NAMESPACE, OUTPUTS_NONE, 1, 1, EXIT_CODE_USAGE,
                        verb_kill },
        { "exec", "[OPTIONS] POD[/CONTAINER] [--] COMMAND…", "run a command inside",
                        "Runs a command in a running container and passes its exit code on, 128+N "
                        "when\n"
                        "signal N ended it. 125: it was not run; 126: it cannot be executed; 127: "
                        "there\n"
                        "is no such command. Everything behind POD belongs to the command. With -d "
                        "it\n"
                        "is left alone, with --keep it stays when we go; \"tankctl help "
                        "sessions\" tells\n"
                        "how to get back to it. Without, all that it started ends with us.",
                        exec_options, VERB_NAMESPACE | VERB_STOPS_AT_WORD, OUTPUTS_NONE, 2,
                        SIZE_MAX, EXIT_CODE_REFUSED, verb_exec },
        { "attach", "[OPTIONS] POD[/CONTAINER]", "join a container's terminal",
                        "Joins the terminal of a container that has one (tty: true): shows what "
                        "came out\n"
                        "of it last, then what comes, and types what is typed here. One can type, "
                        "others\n"
                        "can look on with --viewer. Ctrl-P Ctrl-Q detaches and leaves it running; "
                        "exits\n"
                        "with 0 then, and with the container's own code, or 128+N, when that has "
                        "ended;\n"
                        "125: not attached. KEYS are single characters or ctrl-X, with commas "
                        "between\n"
                        "them; \"\" for none. A key that may begin them waits for the next one.",
                        attach_options, VERB_NAMESPACE, OUTPUTS_NONE, 1, 1, EXIT_CODE_REFUSED,
                        verb_attach },
        { "sessions", "[list|kill|wait] [POD[/CONTAINER]] [SESSION…]", "exec's commands",
                        "list shows the commands that exec runs, in a pod or in all of them. kill "
                        "signals\n"
                        "all processes of some. wait prints what one that was started with -d or "
                        "--keep\n"
                        "wrote, goes on with what it writes, and exits as exec does; of what was "
                        "written\n"
                        "before, the newest 64 KiB are held. Once waited for, one that has ended "
                        "is\n"
                        "forgotten.",
                        sessions_options, VERB_NAMESPACE | VERB_ALL_NAMESPACES | VERB_WAIT_PASSES,
                        OUTPUTS_NONE | OUTPUT_BIT(OUTPUT_WIDE) | OUTPUT_BIT(OUTPUT_JSON), 0,
                        SIZE_MAX, EXIT_CODE_USAGE, verb_sessions },
        { "logs", "POD[/CONTAINER]", "show what a container wrote",
                        "Prints what the container wrote, byte by byte: its standard output to "
                        "standard\n"
                        "output, its standard error to standard error. Without -c or /CONTAINER it "
                        "is\n"
                        "what all containers of the pod wrote, in the order of time.",
                        logs_options, VERB_NAMESPACE, OUTPUTS_NONE, 1, 1, EXIT_CODE_USAGE,
                        verb_logs },
        { "secret", "create|set|get|list|delete|rotate-key [NAME [KEY]]",
                        "keep and show values that are secret",
                        "create makes a secret of values, set makes or replaces one: all its "
                        "values,\n"
                        "while its labels stay. get NAME KEY --reveal prints one value, byte by "
                        "byte.\n"
                        "list and delete are those of every type. rotate-key seals everything "
                        "with a\n"
                        "new key. What is given with --from-literal stays in the history of the "
                        "shell:\n"
                        "--from-file KEY=- reads it from standard input.",
                        secret_options, VERB_NAMESPACE | VERB_ALL_NAMESPACES, OUTPUTS_ALL, 1,
                        SIZE_MAX, EXIT_CODE_USAGE, verb_secret },
        { "seed", "DIRECTORY…", "declare what is not there yet",
                        "Stores those documents of the files whose names are not taken, and leaves "
                        "all\n"
                        "others as they are. A bad document is told and skipped.",
                        seed_options, VERB_NAMESPACE, OUTPUTS_NONE, 1, SIZE_MAX, EXIT_CODE_USAGE,
                        verb_seed },
        { "kv", "get|set|rm|list|clear|watch|stores|import [STORE [KEY [VALUE]]]",
                        "keep keys and values",
                        "Keeps values under keys, in stores that know nothing of each other. get "
                        "prints\n"
                        "the value's bytes and nothing else, and exits with 3 when there is no "
                        "such key;\n"
                        "set takes VALUE, - for standard input, or --from-file; rm removes a key, "
                        "there\n"
                        "or not; list shows all, clear removes all; stores shows which stores "
                        "there are.\n"
                        "watch shows what a store holds, \"ready\", and then each change; with "
                        "-o json as\n"
                        "an object on a line of its own, with the old and the new value. In JSON, "
                        "bytes\n"
                        "that are no text are {\"base64\": …}. import brings the data of a "
                        "PeprStore into\n"
                        "a store for each capability: all of it or nothing, and once.",
                        kv_options, 0, OUTPUTS_NAME | OUTPUT_BIT(OUTPUT_JSON), 1, 4,
                        EXIT_CODE_USAGE, verb_kv },
        { "doctor", "", "look after the daemons",
                        "Shows the state of both daemons, and what is wrong with the database. "
                        "Exits\n"
                        "with 1 when something is not well. When the reconciler is held, because "
                        "the\n"
                        "store is not the one it knew, --accept-store tells it to go on with this "
                        "one:\n"
                        "pods that it does not name are stopped.",
                        doctor_options, 0, OUTPUTS_NONE, 0, 0, EXIT_CODE_USAGE, verb_doctor },
        { "completion", "bash|words [WORD…]", "complete words in a shell",
                        "\"completion bash\" prints a script for bash: source <(tankctl "
                        "completion bash).\n"
                        "\"completion words WORD…\" is what that script calls: it prints what may "
                        "stand in\n"
                        "place of the last WORD of a command line, one a line; \":files\" means "
                        "names of\n"
                        "files. Names of pods and containers come from the bus.",
                        NULL, VERB_STOPS_AT_WORD, OUTPUTS_NONE, 1, SIZE_MAX, EXIT_CODE_USAGE,
                        verb_completion },
        { "store", "backup|compact|export|import|metrics|restore|retention|verify [WORD]",
                        "look after the store",
                        "backup FILE, DIRECTORY or - copies all of it as it is at one moment, "
                        "while "
                        "it is\n"
                        "used; restore FILE tells how that becomes a store again. export [FILE] "
                        "prints\n"
                        "what is declared, a line of JSON for each thing, or as YAML with -o yaml; "
                        "import\n"
                        "-f FILE declares what such a file says, or nothing where a line is bad. "
                        "verify\n"
                        "reads everything and tells what is wrong. compact gives up what is old: "
                        "the\n"
                        "changes up to now, and versions beyond what retention keeps. retention "
                        "shows\n"
                        "that, or sets it, for a TYPE or for all others. metrics prints what the "
                        "store\n"
                        "counts, as OpenMetrics text; with --output-file it replaces a file that\n"
                        "node_exporter's textfile collector reads.",
                        store_options, VERB_NAMESPACE,
                        OUTPUTS_NONE | OUTPUT_BIT(OUTPUT_JSON) | OUTPUT_BIT(OUTPUT_YAML), 1,
                        SIZE_MAX, EXIT_CODE_USAGE, verb_store },
        { "version", "", "show the version", "Shows the version.", NULL, 0, OUTPUTS_NONE, 0, 0,
                        EXIT_CODE_USAGE, verb_version },
        { "help", "[VERB]", "show help", "Shows all verbs, or all about one.", NULL, 0,
                        OUTPUTS_NONE, 0, 1, EXIT_CODE_USAGE, verb_help },
        {},
};

const char *const ctl_verbs_not_yet[] = { "stats", "top", "pause", "resume", "cp", "hold", "image",
        "volume", "network", "bug-report", "upgrade-shims", NULL };

int verb_help(const Arguments *a)
{
        const Verb *v;

        if (!a->words) {
                ctl_print_help(stdout);
                return 0;
        }
        v = verb_find(a->words[0]);
        if (!v)
                return verb_unknown(a->words[0]);
        verb_print_help(stdout, v);
        return 0;
}
