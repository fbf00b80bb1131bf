//! kubectl attach.

use crate::{
    front::{BOTH, Front, Terminal, finish, until},
    node::Node,
};
use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    process::{Child, Stdio},
    sync::{Arc, Mutex},
};

const ANSWERS: &str =
    "echo first; while read line; do echo \"got $line\"; echo \"heard $line\" >&2; done; echo over";

async fn container(node: &mut Node, script: &str, stdin_once: bool, tty: bool) -> (String, String) {
    let sandbox = node.run_sandbox("pod").await;
    let mut config = node.container_config("main", &["sh", "-c", script]);
    (config.stdin, config.stdin_once, config.tty) = (true, stdin_once, tty);
    let id = node.create(&sandbox, "pod", config).await.unwrap();
    node.start_container(&id).await.unwrap();
    (sandbox, id)
}

/// What one has seen until now.
struct Looks {
    child: Child,
    seen: Arc<Mutex<String>>,
}

impl Looks {
    fn begin(mut child: Child) -> Self {
        let seen = Arc::<Mutex<String>>::default();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        // Who complains must not wait until it is read.
        let mut complaints = child.stderr.take().unwrap();
        std::thread::spawn(move || std::io::copy(&mut complaints, &mut std::io::sink()));
        let to = Arc::clone(&seen);
        std::thread::spawn(move || {
            let mut line = String::new();
            while lines.read_line(&mut line).unwrap() > 0 {
                to.lock().unwrap().push_str(&line);
                line.clear();
            }
        });
        Self { child, seen }
    }

    async fn sees(&self, what: &str) {
        let seen = || self.seen.lock().unwrap().clone();
        until(|| seen().contains(what), || format!("{what} in {}", seen())).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_look_on_and_leave_and_the_container_goes_on() {
    for over in BOTH {
        let mut node = Node::new().await;
        let (sandbox, id) = container(&mut node, ANSWERS, false, false).await;
        let front = Front::new(&node, &sandbox, &id, false).await;
        let mut writer = front.kubectl(over, &["attach", "-i", "pod"]);
        let mut writer = Looks::begin(writer.stdin(Stdio::piped()).spawn().unwrap());
        let looks = || Looks::begin(front.kubectl(over, &["attach", "pod"]).spawn().unwrap());
        let (mut one, two) = (looks(), looks());
        let mut input = writer.child.stdin.take().unwrap();
        // An onlooker sees what comes after he has come: so it is said until he does.
        let mut number = 0;
        until(
            || {
                number += 1;
                writeln!(input, "a{number}").unwrap();
                [&writer, &one, &two]
                    .iter()
                    .all(|looks| looks.seen.lock().unwrap().contains("got a"))
            },
            || "not all see it".to_owned(),
        )
        .await;
        // One goes without a word; the others stay.
        one.child.kill().unwrap();
        one.child.wait().unwrap();
        writeln!(input, "b").unwrap();
        writer.sees("got b").await;
        two.sees("got b").await;
        // Who writes goes too, and the container's input stays open for the next.
        drop(input);
        writer.child.kill().unwrap();
        writer.child.wait().unwrap();
        let mut next = front.kubectl(over, &["attach", "-i", "pod"]);
        let mut next = Looks::begin(next.stdin(Stdio::piped()).spawn().unwrap());
        let mut input = next.child.stdin.take().unwrap();
        writeln!(input, "c").unwrap();
        two.sees("got c").await;
        assert!(!two.seen.lock().unwrap().contains("over"));
        let running = node.status(&id).await;
        assert_eq!(running.finished_at, 0);
        drop(input);
        for mut looks in [next, two] {
            looks.child.kill().unwrap();
            looks.child.wait().unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_the_first_writer_is_the_end_of_input() {
    for over in BOTH {
        let mut node = Node::new().await;
        let (sandbox, id) = container(&mut node, ANSWERS, true, false).await;
        let front = Front::new(&node, &sandbox, &id, false).await;
        let ran = front
            .run(over, &["attach", "-i", "pod"], b"a\nb\n".to_vec())
            .await;
        let (out, complaints) = (ran.stdout, String::from_utf8(ran.stderr).unwrap());
        let out = String::from_utf8(out).unwrap();
        assert!(
            out.ends_with("got a\ngot b\nover\n"),
            "{over:?} {out} {complaints}"
        );
        assert!(complaints.contains("heard a\nheard b\n"), "{complaints}");
        assert!(ran.status.success());
        assert_eq!(node.exited(&id).await.exit_code, 0);
        // The log has it too.
        let logged = node.logged("pod", "main", "stdout");
        assert_eq!(logged, ["first", "got a", "got b", "over"]);
        let ran = front.run(over, &["attach", "pod"], Vec::new()).await;
        let complaints = String::from_utf8(ran.stderr).unwrap();
        assert!(
            complaints.contains("container is in CONTAINER_EXITED state"),
            "{complaints}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn at_a_terminal() {
    for over in BOTH {
        let mut node = Node::new().await;
        let (sandbox, id) = container(&mut node, "exec sh -i", false, true).await;
        let front = Front::new(&node, &sandbox, &id, true).await;
        let mut terminal = Terminal::new(&front, over, &["attach", "-it", "pod"], (91, 33));
        terminal.type_in("while [ \"$(stty size)\" != '33 91' ]; do :; done; echo si''zed\n");
        terminal.sees("sized").await;
        terminal.resize((120, 40));
        terminal.type_in("while [ \"$(stty size)\" != '40 120' ]; do :; done; echo gro''wn\n");
        terminal.sees("grown").await;
        terminal.type_in("echo by''e; exit 4\n");
        terminal.sees("bye").await;
        assert!(terminal.ended().await.success());
        assert_eq!(node.exited(&id).await.exit_code, 4);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_too_slow_is_told_and_holds_up_nobody() {
    const LINES: usize = 2_000_000;
    for over in BOTH {
        let mut node = Node::new().await;
        let script = format!("read go; seq 1 {LINES}; read end");
        let (sandbox, id) = container(&mut node, &script, false, false).await;
        let front = Front::new(&node, &sandbox, &id, false).await;
        let mut slow = front.kubectl(over, &["attach", "-i", "pod"]);
        let mut slow = slow.stdin(Stdio::piped()).spawn().unwrap();
        writeln!(slow.stdin.as_mut().unwrap(), "go").unwrap();
        // All is in the log, though nobody reads at the client.
        let path = node.path("logs/pod/main.log");
        let last = format!(" F {LINES}\n");
        until(
            || {
                std::fs::read_to_string(&path)
                    .unwrap_or_default()
                    .ends_with(&last)
            },
            || "the log is not whole".to_owned(),
        )
        .await;
        let mut first = [0; 2];
        slow.stdout
            .as_mut()
            .unwrap()
            .read_exact(&mut first)
            .unwrap();
        assert_eq!(&first, b"1\n");
        let ran = crate::front::blocking(move || finish(slow)).await;
        let complaints = String::from_utf8(ran.stderr).unwrap();
        assert!(complaints.contains("too slow"), "{over:?} {complaints}");
        assert!(!ran.status.success());
        // What he saw is what was written, without a hole.
        let seen = String::from_utf8(ran.stdout).unwrap();
        let lines: Vec<&str> = seen.split('\n').collect();
        let (_, whole) = lines.split_last().unwrap();
        for (at, line) in whole.iter().enumerate() {
            assert_eq!(*line, (at + 2).to_string());
        }
        assert!(whole.len() < LINES);
        assert_eq!(node.status(&id).await.finished_at, 0);
    }
}
