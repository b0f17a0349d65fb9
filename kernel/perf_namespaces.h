/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * What kernel/events/core.c and perf_namespaces.rs have of one another.
 */
#ifndef _PERF_NAMESPACES_H
#define _PERF_NAMESPACES_H

#include <linux/perf_event.h>

/* perf_namespaces.rs */
void perf_namespaces_account(const struct perf_event *event);
void perf_namespaces_unaccount(const struct perf_event *event);
int perf_namespaces_permission(const struct perf_event_attr *attr);
int perf_namespaces_init(void);

/* What perf_namespaces.rs cannot reach: static and inline functions, and macros. */
void perf_namespaces_iterate(void (*output)(struct perf_event *event, void *data), void *data);
unsigned int perf_namespaces_cpu(void);
bool perf_namespaces_capable(void);
bool perf_namespaces_alive(const struct task_struct *task);

#endif
