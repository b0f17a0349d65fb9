// SPDX-License-Identifier: MIT OR GPL-2.0
/*
 * The kernel's side of src/lib.rs: when a task's namespaces are new, what they are, and a device whose readers map a
 * ring each, laid out as that of a perf event (perf_event_open(2), "MMAP layout").
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cgroup.h>
#include <linux/cred.h>
#include <linux/fs.h>
#include <linux/ipc_namespace.h>
#include <linux/kdev_t.h>
#include <linux/kprobes.h>
#include <linux/list.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/namei.h>
#include <linux/perf_event.h>
#include <linux/nsproxy.h>
#include <linux/pid_namespace.h>
#include <linux/poll.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/tracepoint.h>
#include <linux/user_namespace.h>
#include <linux/utsname.h>
#include <linux/vmalloc.h>
#include <net/net_namespace.h>

#define RING_BYTES (1 << 20)
#define EVENT_SIZE 512

/* src/lib.rs */
bool nsscope_open(void *at, u64 id, const void *pid_ns, void *base, size_t len, size_t page);
void nsscope_close(void *at);
bool nsscope_wanted(void);
void nsscope_emit(const struct task_struct *task);

/* What src/lib.rs asks. */
const struct task_struct *shim_current(void);
u32 shim_tgid(struct task_struct *task, struct pid_namespace *ns);
u32 shim_tid(struct task_struct *task, struct pid_namespace *ns);
bool shim_get(struct task_struct *task, u32 kind, u64 *dev, u64 *ino);
void shim_put(struct task_struct *task);
u64 shim_now(void);
u32 shim_cpu(void);
void *shim_next(void *event);

/* A reader. */
struct reader {
	u8 event[EVENT_SIZE] __aligned(16); /* src/lib.rs's, first: the list is walked by it */
	struct list_head list;
	struct pid_namespace *pid_ns;
	void *ring;
};

static LIST_HEAD(readers);
static DEFINE_SPINLOCK(readers_lock);
static DECLARE_WAIT_QUEUE_HEAD(written);
static u64 next_id = 1;
static u64 nsfs_dev;

const struct task_struct *shim_current(void)
{
	return current;
}

u32 shim_tgid(struct task_struct *task, struct pid_namespace *ns)
{
	return task_tgid_nr_ns(task, ns);
}

u32 shim_tid(struct task_struct *task, struct pid_namespace *ns)
{
	return task_pid_nr_ns(task, ns);
}

u64 shim_now(void)
{
	return ktime_get_mono_fast_ns();
}

u32 shim_cpu(void)
{
	return raw_smp_processor_id();
}

void *shim_next(void *event)
{
	struct reader *reader = event;
	struct list_head *at = reader ? reader->list.next : readers.next;

	return at == &readers ? NULL : list_entry(at, struct reader, list);
}

/* A task's nsproxy is its own to change and does not go away under its lock. */
bool shim_get(struct task_struct *task, u32 kind, u64 *dev, u64 *ino)
{
	const struct ns_common *ns = NULL;
	const struct nsproxy *proxy;

	task_lock(task);
	proxy = task->nsproxy;
	rcu_read_lock();
	switch (proxy ? kind : ~0U) {
	case 0:
		ns = &proxy->net_ns->ns;
		break;
	case 1:
		ns = &proxy->uts_ns->ns;
		break;
	case 2:
		ns = &proxy->ipc_ns->ns;
		break;
	case 3:
		ns = &task_active_pid_ns(task)->ns;
		break;
	case 4:
		ns = &__task_cred(task)->user_ns->ns;
		break;
	case 5:
		/* Its first member, in a header that modules do not have (fs/mount.h). */
		ns = (const struct ns_common *)proxy->mnt_ns;
		break;
	case 6:
		ns = &proxy->cgroup_ns->ns;
		break;
	}
	if (ns) {
		*dev = nsfs_dev;
		*ino = ns->inum;
	}
	rcu_read_unlock();
	if (!ns)
		task_unlock(task);
	return ns;
}

void shim_put(struct task_struct *task)
{
	task_unlock(task);
}

static void emit(struct task_struct *task)
{
	if (!nsscope_wanted())
		return;
	spin_lock(&readers_lock);
	nsscope_emit(task);
	spin_unlock(&readers_lock);
	wake_up_interruptible(&written);
}

/* A new task, which does not run yet: behind perf_event_fork() in kernel/fork.c. */
static void on_newtask(void *data, struct task_struct *task, unsigned long clone_flags)
{
	emit(task);
}

/* unshare(2) or setns(2) has ended: where perf_event_namespaces() was called, if it succeeded. */
static int on_return(struct kretprobe_instance *instance, struct pt_regs *regs)
{
	if (!regs_return_value(regs))
		emit(current);
	return 0;
}

static struct kretprobe unshare_probe = { .kp.symbol_name = "ksys_unshare", .handler = on_return };
static struct kretprobe setns_probe = { .kp.symbol_name = "__x64_sys_setns", .handler = on_return };
static struct kretprobe *probes[] = { &unshare_probe, &setns_probe };
static struct tracepoint *newtask;

static void find_newtask(struct tracepoint *tracepoint, void *data)
{
	if (!strcmp(tracepoint->name, "task_newtask"))
		newtask = tracepoint;
}

static int device_open(struct inode *inode, struct file *file)
{
	struct reader *reader;
	bool made;

	if (!perfmon_capable())
		return -EACCES;
	reader = kzalloc(sizeof(*reader), GFP_KERNEL);
	if (!reader)
		return -ENOMEM;
	reader->ring = vmalloc_user(PAGE_SIZE + RING_BYTES);
	if (!reader->ring) {
		kfree(reader);
		return -ENOMEM;
	}
	reader->pid_ns = get_pid_ns(task_active_pid_ns(current));
	spin_lock(&readers_lock);
	made = nsscope_open(reader->event, next_id++, reader->pid_ns, reader->ring, PAGE_SIZE + RING_BYTES, PAGE_SIZE);
	if (made)
		list_add_tail(&reader->list, &readers);
	spin_unlock(&readers_lock);
	if (!made) {
		put_pid_ns(reader->pid_ns);
		vfree(reader->ring);
		kfree(reader);
		return -EINVAL;
	}
	file->private_data = reader;
	return 0;
}

static int device_release(struct inode *inode, struct file *file)
{
	struct reader *reader = file->private_data;

	spin_lock(&readers_lock);
	list_del(&reader->list);
	nsscope_close(reader->event);
	spin_unlock(&readers_lock);
	put_pid_ns(reader->pid_ns);
	vfree(reader->ring);
	kfree(reader);
	return 0;
}

static int device_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct reader *reader = file->private_data;

	return remap_vmalloc_range(vma, reader->ring, vma->vm_pgoff);
}

static __poll_t device_poll(struct file *file, poll_table *wait)
{
	struct reader *reader = file->private_data;
	struct perf_event_mmap_page *page = reader->ring;
	u64 head;

	poll_wait(file, &written, wait);
	head = smp_load_acquire(&page->data_head);
	return head == READ_ONCE(page->data_tail) ? 0 : EPOLLIN | EPOLLRDNORM;
}

static const struct file_operations operations = {
	.owner = THIS_MODULE,
	.open = device_open,
	.release = device_release,
	.mmap = device_mmap,
	.poll = device_poll,
};

static struct miscdevice device = { .minor = MISC_DYNAMIC_MINOR, .name = "nsscope", .fops = &operations, .mode = 0600 };

/* The device that all namespaces' files are on. */
static int find_nsfs(void)
{
	struct path path;
	int error = kern_path("/proc/self/ns/uts", LOOKUP_FOLLOW, &path);

	if (error)
		return error;
	nsfs_dev = new_encode_dev(path.dentry->d_sb->s_dev);
	path_put(&path);
	return 0;
}

static int __init nsscope_init(void)
{
	int error = find_nsfs();

	if (error)
		return error;
	for_each_kernel_tracepoint(find_newtask, NULL);
	if (!newtask)
		return -ENOENT;
	error = tracepoint_probe_register(newtask, on_newtask, NULL);
	if (error)
		return error;
	error = register_kretprobes(probes, ARRAY_SIZE(probes));
	if (error)
		goto no_probes;
	error = misc_register(&device);
	if (error)
		goto no_device;
	return 0;

no_device:
	unregister_kretprobes(probes, ARRAY_SIZE(probes));
no_probes:
	tracepoint_probe_unregister(newtask, on_newtask, NULL);
	tracepoint_synchronize_unregister();
	return error;
}

static void __exit nsscope_exit(void)
{
	misc_deregister(&device);
	unregister_kretprobes(probes, ARRAY_SIZE(probes));
	tracepoint_probe_unregister(newtask, on_newtask, NULL);
	tracepoint_synchronize_unregister();
}

module_init(nsscope_init);
module_exit(nsscope_exit);
MODULE_DESCRIPTION("PERF_RECORD_NAMESPACES from a module, by nsscope-codec");
MODULE_LICENSE("Dual MIT/GPL");
