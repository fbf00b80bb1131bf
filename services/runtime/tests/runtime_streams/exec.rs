//! kubectl exec and cp.

use crate::{
    front::{BOTH, Front, Over, Terminal, finish},
    node::{Node, PATIENCE},
    processes,
};
use std::{
    fs,
    io::Read as _,
    process::{Child, Stdio},
    time::Instant,
};

async fn pod() -> (Node, Front, String) {
    let mut node = Node::new().await;
    let sandbox = node.run_sandbox("pod").await;
    let id = node
        .run(&sandbox, "pod", "main", &["sleep", "1000000"])
        .await;
    let front = Front::new(&node, &sandbox, &id, false).await;
    (node, front, id)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_and_codes() {
    let (_node, front, _) = pod().await;
    for over in BOTH {
        let script = "echo out; echo bad >&2; exit 7";
        let ran = front
            .run(over, &["exec", "pod", "--", "sh", "-c", script], Vec::new())
            .await;
        assert_eq!(text(&ran.stdout), "out\n", "{over:?} {}", text(&ran.stderr));
        let complaints = text(&ran.stderr);
        assert!(
            complaints.starts_with("bad\n")
                && complaints.contains("command terminated with exit code 7"),
            "{complaints}"
        );
        assert_eq!(ran.status.code(), Some(7));
        let ran = front
            .run(over, &["exec", "pod", "--", "true"], Vec::new())
            .await;
        assert_eq!(
            (ran.status.code(), text(&ran.stderr)),
            (Some(0), String::new())
        );
        let ran = front
            .run(
                over,
                &["exec", "pod", "--", "sh", "-c", "kill -9 $$"],
                Vec::new(),
            )
            .await;
        assert_eq!(ran.status.code(), Some(137));
        let ran = front
            .run(over, &["exec", "pod", "--", "nope"], Vec::new())
            .await;
        assert_eq!(ran.status.code(), Some(1));
        assert!(
            text(&ran.stderr)
                .contains("error executing command in container: failed to exec in container")
                && text(&ran.stderr).contains("executable file not found in $PATH"),
            "{}",
            text(&ran.stderr)
        );
    }
    let agreed = front.agreed.lock().unwrap().clone();
    assert_eq!(agreed[0], "v5.channel.k8s.io");
    assert_eq!(agreed.last().unwrap(), "v4.channel.k8s.io");
}

#[tokio::test(flavor = "multi_thread")]
async fn much_goes_both_ways_unchanged_and_ends() {
    let (_node, front, _) = pod().await;
    let mut bytes = vec![0; 50 * 1024 * 1024];
    fs::File::open("/dev/urandom")
        .unwrap()
        .read_exact(&mut bytes)
        .unwrap();
    for over in BOTH {
        // `cat` ends by the end of its standard input.
        let ran = front
            .run(over, &["exec", "-i", "pod", "--", "cat"], bytes.clone())
            .await;
        assert_eq!(ran.status.code(), Some(0), "{over:?} {}", text(&ran.stderr));
        assert!(ran.stdout == bytes, "{over:?} {} bytes", ran.stdout.len());
        // Who reads only some of it is not held up by the rest.
        let ran = front
            .run(
                over,
                &["exec", "-i", "pod", "--", "head", "-c", "3"],
                bytes.clone(),
            )
            .await;
        assert_eq!(ran.status.code(), Some(0));
        assert_eq!(ran.stdout, bytes[..3]);
        // The answer comes behind the end.
        let ran = front
            .run(
                over,
                &["exec", "-i", "pod", "--", "sh", "-c", "wc -c"],
                bytes.clone(),
            )
            .await;
        assert_eq!(text(&ran.stdout).trim(), bytes.len().to_string());
    }
}

/// By which a process is told from those of other runs.
fn mark(over: Over) -> i32 {
    let id = i32::try_from(std::process::id() % 10_000).unwrap();
    2 * id + i32::from(over as u8)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_holds_up_the_writer_and_loses_nothing() {
    let (_node, front, _) = pod().await;
    for over in BOTH {
        let last = 3_000_000 + mark(over);
        let script = format!("seq -f %.0f 1 {last}; echo done >&2");
        let mut child = front
            .kubectl(over, &["exec", "pod", "--", "sh", "-c", &script])
            .spawn()
            .unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let mut first = [0; 2];
        stdout.read_exact(&mut first).unwrap();
        assert_eq!(&first, b"1\n");
        let read = std::thread::spawn(move || {
            let mut complaints = String::new();
            stderr.read_to_string(&mut complaints).unwrap();
            complaints
        });
        // Nobody reads, and so it waits, with the rest unwritten.
        let writer = processes::found(&format!("seq -f %.0f 1 {last}")).await;
        let written = processes::waits_to_write(writer).await;
        assert!(written < 20_000_000, "{written}");
        assert!(!read.is_finished());
        let mut expected = 2;
        let mut rest = Vec::new();
        crate::front::blocking(move || {
            stdout.read_to_end(&mut rest).unwrap();
            for line in text(&rest).lines() {
                assert_eq!(line, expected.to_string());
                expected += 1;
            }
            assert_eq!(expected, last + 1);
            assert_eq!(read.join().unwrap(), "done\n");
            assert!(finish(child).status.success());
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_after_the_end_gets_all_of_it() {
    let (_node, front, _) = pod().await;
    for over in BOTH {
        let last = 70_000 + mark(over);
        let script = format!("seq -f %.0f 1 {last}; exit 7");
        let mut child = front
            .kubectl(over, &["exec", "pod", "--", "sh", "-c", &script])
            .spawn()
            .unwrap();
        let mut first = [0; 2];
        let stdout = child.stdout.as_mut().unwrap();
        stdout.read_exact(&mut first).unwrap();
        assert_eq!(&first, b"1\n");
        // kubectl has it too.
        let own = format!("sh -c seq -f %.0f 1 {last}; exit 7");
        crate::front::until(
            || processes::find(&own).is_none_or(|pid| Some(pid) == i32::try_from(child.id()).ok()),
            || "it does not end".to_owned(),
        )
        .await;
        // Longer than the client takes to read all that it reads while its own reader waits, and the end behind it.
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        let ran = crate::front::blocking(move || finish(child)).await;
        let expected: String = (2..=last).map(|number| format!("{number}\n")).collect();
        assert!(
            ran.stdout == expected.as_bytes(),
            "{over:?} {} bytes of {}",
            ran.stdout.len(),
            expected.len()
        );
        assert_eq!(ran.status.code(), Some(7), "{}", text(&ran.stderr));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn at_a_terminal() {
    let (_node, front, _) = pod().await;
    for over in BOTH {
        let args = ["exec", "-it", "pod", "--", "sh"];
        let mut terminal = Terminal::new(&front, over, &args, (97, 31));
        terminal.type_in("tty; echo $TERM; stty size\n");
        terminal.sees("/dev/pts/").await;
        terminal.sees("xterm").await;
        terminal.sees("31 97").await;
        terminal.resize((123, 45));
        terminal.type_in("trap 'stty size' WINCH; while [ \"$(stty size)\" != '45 123' ]; do :; done; echo gro''wn\n");
        terminal.sees("grown").await;
        // What is interrupted is in the container, not kubectl.
        terminal.type_in("echo sle''eping; sleep 1000000\n");
        terminal.sees("sleeping\r\n").await;
        terminal.type_in("\u{3}");
        terminal.sees("^C\r\n$ ").await;
        terminal.type_in("echo al''ive; exit 3\n");
        terminal.sees("alive").await;
        assert_eq!(
            terminal.ended().await.code(),
            Some(3),
            "{}",
            terminal.text()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_killed_closes_pipes_and_hangs_up_terminals() {
    let (mut node, front, id) = pod().await;
    for over in BOTH {
        // A reader meets the end, a shell at a terminal is hung up, and what wants neither goes on.
        let mut reader = begun(
            &front,
            over,
            &[
                "exec",
                "-i",
                "pod",
                "--",
                "sh",
                "-c",
                "echo begun; exec cat -",
            ],
        );
        let mut job = begun(
            &front,
            over,
            &[
                "exec",
                "pod",
                "--",
                "sh",
                "-c",
                "echo begun; exec sleep 424242",
            ],
        );
        let args = ["exec", "-it", "pod", "--", "sh", "-i"];
        let mut shell = Terminal::new(&front, over, &args, (80, 24));
        shell.type_in("echo be''gun\n");
        shell.sees("begun").await;
        for child in [&mut reader, &mut shell.child, &mut job] {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        drop(shell);
        let begun = Instant::now();
        loop {
            let lines = "for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline; echo; done";
            let ran = node.exec(&id, &["sh", "-c", lines]).await.unwrap();
            let running = text(&ran.stdout);
            let runs = |command: &str| running.lines().any(|line| line == command);
            assert!(runs("sleep 424242 "), "{running}");
            if !runs("cat - ") && !runs("sh -i ") {
                break;
            }
            assert!(begun.elapsed() < PATIENCE, "{running}");
        }
        let end = "for p in /proc/[0-9]*; do case $(tr '\\0' ' ' < $p/cmdline) in 'sleep 424242 ') kill -9 ${p#/proc/};; esac; done";
        let ran = node.exec(&id, &["sh", "-c", end]).await.unwrap();
        assert_eq!(ran.exit_code, 0, "{}", text(&ran.stderr));
    }
}

/// kubectl, whose command has said "begun".
fn begun(front: &Front, over: Over, args: &[&str]) -> Child {
    let mut child = front
        .kubectl(over, args)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut begun = [0; 6];
    let stdout = child.stdout.as_mut().unwrap();
    stdout.read_exact(&mut begun).unwrap();
    assert_eq!(&begun, b"begun\n");
    child
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_copied() {
    let (node, front, _) = pod().await;
    let from = node.path("from");
    let mut bytes = vec![0; 3 * 1024 * 1024 + 1];
    fs::File::open("/dev/urandom")
        .unwrap()
        .read_exact(&mut bytes)
        .unwrap();
    fs::write(&from, &bytes).unwrap();
    for over in BOTH {
        let back = node.path(&format!("back-{over:?}"));
        let (from, back) = (from.to_str().unwrap(), back.to_str().unwrap());
        let ran = front
            .run(over, &["cp", from, "pod:/tmp/there"], Vec::new())
            .await;
        assert!(ran.status.success(), "{}", text(&ran.stderr));
        let ran = front
            .run(over, &["cp", "pod:/tmp/there", back], Vec::new())
            .await;
        assert!(ran.status.success(), "{}", text(&ran.stderr));
        assert!(fs::read(back).unwrap() == bytes);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once() {
    let (_node, front, _) = pod().await;
    let runs = (0..24).map(|number| {
        let over = if number % 2 == 0 {
            Over::Spdy
        } else {
            Over::WebSocket
        };
        let word = number.to_string();
        let front = &front;
        async move {
            let args = ["exec", "-i", "pod", "--", "sh", "-c", "cat; exit $0", &word];
            let ran = front.run(over, &args, word.clone().into_bytes()).await;
            assert_eq!(text(&ran.stdout), word);
            assert_eq!(ran.status.code(), Some(number));
        }
    });
    futures_util::future::join_all(runs).await;
}
