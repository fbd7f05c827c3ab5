/* Alarms: an engine is stopped at a moment, by one thread of the process that runs no Python.
 *
 * Most runs that a script makes are short, and a thread of Python's that watches over a run costs more than they do: it
 * must be started, and wants the interpreter's lock. So a run begins with an alarm, and has its thread when that has come.
 * This thread sleeps until the earliest alarm it knew of, also where that has been taken back since: a later one need not
 * wake it.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <time.h>
#include "shim.h"

static pthread_mutex_t changing = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t earlier;
static struct engine *watched;
static uint64_t asleep_until; /* UINT64_MAX: until it is woken */
static bool has_thread, is_prepared;

enum { NS = 1000000000, LINGER = 1000000 };

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NS + (uint64_t)t.tv_nsec;
}

/* What is due rings; when the next one is, UINT64_MAX where there is none. */
static uint64_t ring(uint64_t moment)
{
    uint64_t next = UINT64_MAX;
    for (struct engine *e = watched; e; e = e->next_watched) {
        if (e->samples_by_clock && e->next_sample <= moment) {
            e->next_sample = moment + e->samples_by_clock;
            atomic_store(&e->is_sample_due, 1);
            stop_run(e);
        }
        if (e->samples_by_clock && e->next_sample < next) next = e->next_sample;
        if (!e->alarm) continue;
        if (e->alarm <= moment) {
            e->alarm = 0;
            e->has_alarmed = true;
            shim_request_stop(e);
        } else if (e->alarm < next) {
            next = e->alarm;
        }
    }
    return next;
}

static void *watch(void *unused)
{
    bool was_wanted = true;
    (void)unused;
    pthread_mutex_lock(&changing);
    for (;;) {
        uint64_t moment = now(), next = ring(moment);
        bool is_wanted = next != UINT64_MAX;
        /* Where alarms were just taken back the next is not far: it need not wake this thread, if it sleeps no longer. */
        asleep_until = !is_wanted && was_wanted ? moment + LINGER : next;
        was_wanted = is_wanted;
        if (asleep_until == UINT64_MAX) {
            pthread_cond_wait(&earlier, &changing);
            was_wanted = true;
            continue;
        }
        struct timespec until = {(time_t)(asleep_until / NS), (long)(asleep_until % NS)};
        pthread_cond_timedwait(&earlier, &changing, &until);
    }
    return NULL;
}

/* A forked process has no such thread, and whatever state the lock was in. */
static void begin_anew(void)
{
    pthread_mutex_init(&changing, NULL);
    has_thread = is_prepared = false;
    for (struct engine *e = watched; e; e = e->next_watched) e->alarm = 0;
}

static void prepare(void)
{
    static bool hears_of_forks;
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&earlier, &attributes);
    pthread_condattr_destroy(&attributes);
    if (!hears_of_forks) hears_of_forks = !pthread_atfork(NULL, NULL, begin_anew);
    is_prepared = true;
}

/* Signals are for the threads that wait for them. */
static bool start(void)
{
    pthread_t thread;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool has_started = !pthread_create(&thread, NULL, watch, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (has_started) pthread_detach(thread);
    return has_started;
}

/* The engine has something to be woken for at `moment`, 0: nothing more. 0 where there can be no thread for it; with the
 * lock taken.
 */
static int expect(struct engine *e, uint64_t moment)
{
    if (!is_prepared) prepare();
    if (!e->is_watched) {
        e->is_watched = true;
        e->next_watched = watched;
        watched = e;
    }
    if (moment && !has_thread) {
        asleep_until = 0; /* it looks before it sleeps */
        has_thread = start();
    } else if (moment && moment < asleep_until) {
        pthread_cond_signal(&earlier);
    }
    return has_thread || !moment;
}

/* Have the engine's run end at a moment, ns of CLOCK_MONOTONIC; 0: not. 0 where there can be no thread for it. */
EXPORT int shim_alarm(struct engine *e, uint64_t moment)
{
    pthread_mutex_lock(&changing);
    e->alarm = moment;
    int is_set = expect(e, moment);
    pthread_mutex_unlock(&changing);
    return is_set;
}

/* A sample is due every `ns` of the host's clock; 0: no more. Without a thread there are none. */
void sample_by_clock(struct engine *e, uint64_t ns)
{
    pthread_mutex_lock(&changing);
    e->samples_by_clock = ns;
    e->next_sample = now() + ns;
    expect(e, ns ? e->next_sample : 0);
    pthread_mutex_unlock(&changing);
}

/* Has an alarm ended a run since this was asked last? */
EXPORT int shim_take_alarm(struct engine *e)
{
    pthread_mutex_lock(&changing);
    bool has_alarmed = e->has_alarmed;
    e->has_alarmed = false;
    pthread_mutex_unlock(&changing);
    return has_alarmed;
}

/* The engine is about to be freed. */
void forget_alarm(struct engine *e)
{
    if (!e->is_watched) return;
    pthread_mutex_lock(&changing);
    struct engine **link = &watched;
    while (*link != e) link = &(*link)->next_watched;
    *link = e->next_watched;
    pthread_mutex_unlock(&changing);
}
