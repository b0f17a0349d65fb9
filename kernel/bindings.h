/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * Where C has the fields that Rust reads. bindgen 0.72 gives an empty structure no alignment, so that what follows one in
 * its Rust is elsewhere than in C: struct sched_statistics in a struct task_struct without CONFIG_SCHEDSTATS is such a
 * case. Whoever reads a field asserts that it is where C has it.
 */
#define OFFSET(structure, field) \
	const size_t RUST_CONST_HELPER_OFFSET_##structure##_##field = offsetof(struct structure, field)

OFFSET(perf_event, attr);
OFFSET(perf_event, parent);
OFFSET(perf_event, clock);
OFFSET(perf_event, ns);
OFFSET(perf_event, id);
OFFSET(ns_common, ops);
OFFSET(ns_common, inum);
OFFSET(dentry, d_sb);
OFFSET(super_block, s_dev);
OFFSET(perf_sample_data, sample_flags);

/* codec/examples/rust-for-linux */
OFFSET(task_struct, real_cred);
OFFSET(task_struct, nsproxy);
OFFSET(task_struct, alloc_lock);
OFFSET(cred, user_ns);
OFFSET(net, ns);
OFFSET(uts_namespace, ns);
OFFSET(ipc_namespace, ns);
OFFSET(pid_namespace, ns);
OFFSET(user_namespace, ns);
OFFSET(cgroup_namespace, ns);
OFFSET(time_namespace, ns);
OFFSET(vm_area_struct, vm_pgoff);
OFFSET(file, private_data);
OFFSET(pt_regs, ax);
