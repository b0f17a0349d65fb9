/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * A part of kernel/events/core.c, where the functions are that this one calls: the rest of what writes
 * PERF_RECORD_NAMESPACES is perf_namespaces.rs.
 */

void perf_namespaces_iterate(void (*output)(struct perf_event *event, void *data), void *data)
{
	perf_iterate_sb(output, data, NULL);
}

unsigned int perf_namespaces_cpu(void)
{
	return raw_smp_processor_id();
}

bool perf_namespaces_capable(void)
{
	return perfmon_capable();
}

bool perf_namespaces_alive(const struct task_struct *task)
{
	return pid_alive(task);
}

late_initcall(perf_namespaces_init);
