//! Tasks over time, from records made for each case: what the kernel sends, and what it sends when records are lost.

use nsscope_codec::encode::{Comm, Encode, Exit, Fork, Namespaces, TaskIds};
use nsscope_codec::perf_data::{Decoder, PIPE_HEADER_SIZE, Session, Visitor};
use nsscope_codec::wire::attr::{ATTR_SIZE_VER0, Attr, AttrFlags, CONFIG_DUMMY, TYPE_SOFTWARE};
use nsscope_codec::wire::header::{MISC_COMM_EXEC, MISC_FORK_EXEC};
use nsscope_codec::wire::namespaces::NsId;
use nsscope_codec::wire::sample_id::{SampleId, SampleIdLayout, SampleType};
use nsscope_codec::{Error, LittleEndian, Order, RawRecord};
use nsscope_timeline::{Definition, Timeline};
use zerocopy::IntoBytes;

const LAYOUT: SampleIdLayout = SampleIdLayout::new(SampleType(SampleType::TID.0 | SampleType::TIME.0));

/// The host's namespaces: the kernel's own numbers.
const HOST: [u64; 7] =
    [4_026_531_833, 4_026_531_838, 4_026_531_839, 4_026_531_836, 4_026_531_837, 4_026_531_832, 4_026_531_835];

struct Scene {
    session: Session,
    timeline: Timeline,
    time: u64,
}

struct Nothing;

impl Visitor for Nothing {
    fn record<O: Order>(&mut self, _: &Session, _: RawRecord<'_, O>) {}

    fn fault(&mut self, error: Error) {
        panic!("{error}");
    }
}

impl Scene {
    fn new(timeline: Timeline) -> Self {
        let mut attr = Attr::<LittleEndian>::new(TYPE_SOFTWARE, CONFIG_DUMMY);
        attr.sample_type.set(LAYOUT.fields().0);
        attr.set_flags(AttrFlags::SAMPLE_ID_ALL | AttrFlags::NAMESPACES);
        attr.size.set(ATTR_SIZE_VER0 as u32);
        let mut stream = b"PERFILE2".to_vec();
        stream.extend(PIPE_HEADER_SIZE.to_le_bytes());
        stream.extend(64u32.to_le_bytes());
        stream.extend(0u16.to_le_bytes());
        stream.extend((8 + ATTR_SIZE_VER0 as u16).to_le_bytes());
        stream.extend(&attr.as_bytes()[..ATTR_SIZE_VER0]);
        let mut decoder = Decoder::new();
        decoder.push(&stream, &mut Nothing).unwrap();
        let mut scene = Self { session: decoder.session().clone(), timeline, time: 100 };
        scene.namespaces(1, 1, HOST);
        scene
    }

    /// The next moment's record.
    fn put(&mut self, record: &impl Encode, misc: u16) {
        self.time += 1;
        let id = SampleId { pid: Some(7), tid: Some(7), time: Some(self.time), ..SampleId::default() };
        let mut buf = [0u8; 512];
        let size = record.encode::<LittleEndian>(misc, LAYOUT, &id, &mut buf).unwrap();
        let (raw, _) = RawRecord::<LittleEndian>::split(&buf[..size], 0).unwrap();
        self.timeline.push(&self.session, &raw);
    }

    fn fork(&mut self, parent: (u32, u32), child: (u32, u32)) {
        let ids = TaskIds { pid: child.0, tid: child.1, ppid: parent.0, ptid: parent.1, time: self.time };
        self.put(&Fork(ids), 0);
    }

    fn exit(&mut self, pid: u32, tid: u32) {
        self.put(&Exit(TaskIds { pid, tid, ..TaskIds::default() }), 0);
    }

    fn comm(&mut self, pid: u32, tid: u32, comm: &str, exec: bool) {
        self.put(&Comm { pid, tid, comm: comm.as_bytes() }, if exec { MISC_COMM_EXEC } else { 0 });
    }

    fn namespaces(&mut self, pid: u32, tid: u32, set: [u64; 7]) {
        let links = set.map(|ino| NsId { dev: 4, ino });
        self.put(&Namespaces { pid, tid, links: &links }, 0);
    }

    fn containers(&self) -> Vec<nsscope_timeline::Container> {
        self.timeline.containers(&Definition::auto())
    }
}

/// The host's namespaces, but these of its own: net, uts, ipc, pid, user, mnt, cgroup.
fn own(changes: &[(usize, u64)]) -> [u64; 7] {
    let mut set = HOST;
    for &(kind, ino) in changes {
        set[kind] = ino;
    }
    set
}

#[test]
fn a_pid_that_is_used_again_is_another_task() {
    let mut scene = Scene::new(Timeline::new());
    for (round, name) in ["a", "b"].into_iter().enumerate() {
        scene.fork((1, 1), (50, 50));
        scene.comm(50, 50, name, true);
        if round == 0 {
            scene.exit(50, 50);
        }
    }
    // The third one's FORK comes although the second's EXIT was lost.
    scene.fork((1, 1), (50, 50));
    let mut tasks: Vec<_> = scene.timeline.tasks().map(|(_, task)| task).filter(|task| task.tid == 50).collect();
    tasks.sort_by_key(|task| task.start);
    let lives: Vec<_> = tasks.iter().map(|task| (task.start_exact, task.end.is_some())).collect();
    assert_eq!(lives, [(true, true), (true, true), (true, false)]);
    let names: Vec<_> = tasks.iter().map(|task| scene.timeline.last_name(task)).collect();
    assert_eq!(names[..2], [Some("a".into()), Some("b".into())]);
}

#[test]
fn a_sample_of_a_thread_that_has_just_ended_is_of_that_thread() {
    let mut scene = Scene::new(Timeline::new());
    scene.fork((1, 1), (50, 50));
    scene.namespaces(50, 50, own(&[(3, 40), (5, 60)]));
    scene.comm(50, 50, "sh", true);
    scene.exit(50, 50);
    // PERF_RECORD_SAMPLE: header, pid and tid, time.
    scene.time += 1;
    let mut sample = 9u32.to_le_bytes().to_vec();
    sample.extend([0, 0, 24, 0, 50, 0, 0, 0, 50, 0, 0, 0]);
    sample.extend(scene.time.to_le_bytes());
    let (raw, _) = RawRecord::<LittleEndian>::split(&sample, 0).unwrap();
    scene.timeline.push(&scene.session, &raw);
    assert_eq!(scene.timeline.tasks().filter(|(_, task)| task.tid == 50).count(), 1);
    let containers = scene.containers();
    assert_eq!((containers[0].samples, containers[0].threads), (1, 1));
    assert_eq!(scene.timeline.title_of(&containers[0].key), "sh:50");
}

#[test]
fn a_task_whose_fork_was_lost_was_already_there() {
    let mut scene = Scene::new(Timeline::new());
    scene.comm(60, 60, "late", false);
    let (_, task) = scene.timeline.task_of_tid(60).unwrap();
    assert!(!task.start_exact && task.ppid.is_none());
    // A record for it after its end is of a new one.
    scene.exit(60, 60);
    scene.comm(60, 60, "again", false);
    assert_eq!(scene.timeline.tasks().filter(|(_, task)| task.tid == 60).count(), 2);
    // Its end tells whose child it was.
    scene.comm(61, 61, "brief", false);
    scene.put(&Exit(TaskIds { pid: 61, tid: 61, ppid: 50, ptid: 50, time: 0 }), 0);
    let ppids: Vec<_> = scene.timeline.tasks().filter(|(_, task)| task.tid == 61).map(|(_, task)| task.ppid).collect();
    assert_eq!(ppids, [Some(50)]);
    // A synthesized FORK only tells the parent of a known task.
    let ids = TaskIds { pid: 60, tid: 60, ppid: 1, ptid: 1, time: 0 };
    scene.put(&Fork(ids), MISC_FORK_EXEC);
    assert_eq!(scene.timeline.task_of_tid(60).unwrap().1.ppid, Some(1));
    assert_eq!(scene.timeline.tasks().filter(|(_, task)| task.tid == 60).count(), 2);
}

/// `de_thread`: the leader is told to end, the thread that calls exec takes its id, and of that thread no EXIT comes.
#[test]
fn exec_by_a_thread_that_does_not_lead_leaves_one_thread() {
    let mut scene = Scene::new(Timeline::new());
    scene.fork((1, 1), (70, 70));
    scene.fork((70, 70), (70, 71));
    scene.fork((70, 70), (70, 72));
    scene.exit(70, 72);
    scene.exit(70, 70);
    scene.comm(70, 70, "new", true);
    let of = |scene: &Scene, tid: u32| scene.timeline.task_of_tid(tid).map(|(_, task)| (task.start_exact, task.end));
    assert_eq!(of(&scene, 70), Some((true, None)), "the process goes on, from its own beginning");
    assert!(of(&scene, 71).unwrap().1.is_some(), "the thread is the leader now");
    let processes = scene.timeline.processes(scene.timeline.tasks().map(|(index, _)| index));
    assert_eq!(processes.iter().filter(|process| process.pid == 70 && process.end.is_none()).count(), 1);
}

#[test]
fn threads_of_one_process_may_be_in_different_namespaces() {
    let mut scene = Scene::new(Timeline::new());
    scene.fork((1, 1), (80, 80));
    scene.namespaces(80, 80, HOST);
    scene.fork((80, 80), (80, 81));
    scene.namespaces(80, 81, own(&[(0, 900)]));
    let by_net = scene.timeline.containers(&"by:net".parse().unwrap());
    assert_eq!(by_net.len(), 1);
    assert_eq!((by_net[0].threads, by_net[0].processes), (1, 1));
    assert_eq!(by_net[0].id(), "net:[900]");
}

#[test]
fn namespaces_are_inherited_and_setns_moves_out_again() {
    let mut scene = Scene::new(Timeline::new());
    let inside = own(&[(3, 901), (5, 902)]);
    scene.fork((1, 1), (90, 90));
    scene.namespaces(90, 90, inside);
    // The record after this fork was lost: the parent's namespaces hold until another says otherwise.
    scene.fork((90, 90), (91, 91));
    assert_eq!(scene.containers()[0].processes, 2);
    scene.namespaces(91, 91, HOST);
    scene.exit(90, 90);
    let container = &scene.containers()[0];
    assert_eq!((container.processes, container.peak_processes), (2, 2));
    assert!(container.end.is_some(), "one left, the other ended");
}

#[test]
fn each_definition_draws_its_own_lines() {
    let mut scene = Scene::new(Timeline::new());
    // Two containers of one pod, a task with a network namespace alone, one with a cgroup namespace alone.
    let (net, ipc) = ((0, 910), (2, 911));
    for (pid, set) in [
        (101, own(&[net, ipc, (3, 912), (5, 913)])),
        (102, own(&[net, ipc, (3, 914), (5, 915)])),
        (103, own(&[(0, 916)])),
        (104, own(&[(6, 917)])),
    ] {
        scene.fork((1, 1), (pid, pid));
        scene.namespaces(pid, pid, set);
    }
    let ids = |rule: &str| -> Vec<String> {
        scene.timeline.containers(&rule.parse().unwrap()).iter().map(nsscope_timeline::Container::id).collect()
    };
    assert_eq!(ids("auto"), ["pid:[912]", "pid:[914]"]);
    assert_eq!(ids("runtime"), [""; 0]);
    assert_eq!(ids("by:net"), ["net:[910]", "net:[916]"]);
    assert_eq!(ids("by:net,cgroup").len(), 3);
    assert_eq!(ids("perf"), ["cgroup:[4026531835]", "cgroup:[917]"]);
    let containers = scene.containers();
    let groups = scene.timeline.groups(&containers);
    assert_eq!((groups.len(), &groups[0].containers), (1, &vec![0, 1]));
    assert_eq!((groups[0].kind, groups[0].id.as_str()), ("pod", "net:[910]"));
    assert_eq!(containers[0].why[0], "its processes share pid:[912], not the host's");
}

/// The kernel gives a namespace's number again once it is free.
#[test]
fn a_number_that_is_used_again_is_another_container() {
    let mut scene = Scene::new(Timeline::new());
    for pid in [110, 111] {
        scene.fork((1, 1), (pid, pid));
        scene.namespaces(pid, pid, own(&[(0, 920), (2, 921), (3, 922), (5, 923)]));
        scene.exit(pid, pid);
    }
    let containers = scene.containers();
    assert_eq!(containers.len(), 2);
    assert!(containers[0].end.unwrap() < containers[1].start);
    // Nor are they a pod: nothing held the network namespace in between.
    assert_eq!(scene.timeline.groups(&containers), []);
}

/// What already ran is described after the recording has begun, and children of it may have come and gone by then.
#[test]
fn a_container_that_already_ran_is_one_whenever_its_init_is_seen() {
    let mut scene = Scene::new(Timeline::new());
    let set = own(&[(3, 932), (5, 933)]);
    scene.fork((120, 120), (121, 121));
    scene.namespaces(121, 121, set);
    scene.exit(121, 121);
    scene.put(&Fork(TaskIds { pid: 120, tid: 120, ppid: 1, ptid: 1, time: 0 }), MISC_FORK_EXEC);
    // A recorder dates all that it finds of a task to one moment.
    scene.time -= 1;
    scene.namespaces(120, 120, set);
    let containers = scene.containers();
    assert_eq!((containers.len(), containers[0].processes, containers[0].end), (1, 2, None));
}

/// What is only counted adds up with what is kept, whatever the limit.
#[test]
fn counts_are_the_same_however_few_tasks_are_kept() {
    let play = |timeline: Timeline| {
        let mut scene = Scene::new(timeline);
        for container in 0..3u64 {
            let set = own(&[(3, 1000 + container), (5, 2000 + container)]);
            let init = 200 + container as u32;
            scene.fork((1, 1), (init, init));
            scene.namespaces(init, init, set);
            for child in 0..3000u32 {
                let pid = 1000 + child;
                scene.fork((init, init), (pid, pid));
                scene.namespaces(pid, pid, set);
                scene.comm(pid, pid, ["sh", "ls", "ps"][child as usize % 3], true);
                // A thread besides, and now and then one that moves out to the host.
                scene.fork((pid, pid), (pid, 50_000));
                if child % 10 == 0 {
                    scene.namespaces(pid, pid, HOST);
                }
                scene.exit(pid, 50_000);
                scene.exit(pid, pid);
            }
        }
        scene
    };
    let facts = |scene: &Scene| -> Vec<_> {
        let containers = scene.containers();
        let fact = |c: &nsscope_timeline::Container| {
            let mut commands = c.commands.clone();
            commands.sort();
            (c.id(), c.threads, c.processes, c.peak_processes, c.start, c.start_exact, c.end, commands)
        };
        containers.iter().map(fact).collect()
    };
    let (all, few) = (play(Timeline::new()), play(Timeline::with_ended_limit(10)));
    assert_eq!(facts(&few), facts(&all));
    assert_eq!(facts(&all)[0].1, 6001);
    assert_eq!(few.timeline.threads_seen(), all.timeline.threads_seen());
    assert!(few.timeline.tasks().count() < 1100 && few.timeline.threads_not_kept() > 15_000);
}

#[test]
fn threads_of_one_process_end_in_any_order() {
    const THREADS: u32 = 50_000;
    let mut scene = Scene::new(Timeline::new());
    scene.fork((1, 1), (10, 10));
    for tid in 11..11 + THREADS {
        scene.fork((10, 10), (10, tid));
    }
    // The last, the first, and from the middle outwards: each of them is found at once.
    let middle = 11 + THREADS / 2;
    let order = [11 + THREADS - 1, 11].into_iter().chain((12..middle).rev()).chain(middle..11 + THREADS - 3);
    for tid in order {
        scene.exit(10, tid);
    }
    let living = |scene: &Scene| -> Vec<u32> {
        let tasks = scene.timeline.tasks().filter(|(_, task)| task.pid == 10 && task.end.is_none());
        tasks.map(|(_, task)| task.tid).collect()
    };
    assert_eq!(living(&scene), [10, 11 + THREADS - 3, 11 + THREADS - 2]);
    // One of the two that are left runs a program: it is the leader then, and alone.
    scene.exit(10, 10);
    scene.comm(10, 10, "sh", true);
    assert_eq!(living(&scene), [10]);
    let processes = scene.timeline.processes(scene.timeline.tasks().map(|(index, _)| index));
    assert_eq!(
        processes.iter().map(|process| (process.pid, process.threads.len())).collect::<Vec<_>>(),
        [(1, 1), (10, THREADS as usize + 1)]
    );
}
