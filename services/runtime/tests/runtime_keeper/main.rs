//! The keeper with real containers: their ends, logs, processes of exec, and what is left when it is asked to forget them.
//!
//! They need root. The containers' root is the host's own /usr, read-only.
#![allow(missing_docs, clippy::unwrap_used)] // names say what is shown; a failed unwrap is a failed test

mod place;

use orlop_runtime::{
    executor::keeper::client::KeeperCallError,
    planner::keeper::frames::{Event, Streams},
};
use place::Place;
use rustix::fd::AsFd as _;
use std::{fs, io::Read as _, time::Duration};

/// Ten times what anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

fn logged(place: &Place, id: &str) -> Vec<(String, String, String)> {
    let text = fs::read_to_string(place.log(id)).unwrap();
    text.lines()
        .map(|line| {
            let mut words = line.splitn(4, ' ');
            let time = words.next().unwrap();
            assert!(time.ends_with('Z') && time.len() == 30, "{line}");
            let mut next = || words.next().unwrap().to_owned();
            (next(), next(), next())
        })
        .collect()
}

fn entry(stream: &str, text: &str) -> (String, String, String) {
    (stream.to_owned(), "F".to_owned(), text.to_owned())
}

#[tokio::test]
async fn a_container_runs_writes_and_ends() {
    let place = Place::new().await;
    let events = place.keeper.events().await.unwrap();
    let running = place
        .run(
            "one",
            &["sh", "-c", "echo out; echo error >&2; exit 7"],
            |_| {},
        )
        .await
        .unwrap();
    assert!(running.pid > 1);
    let Event::Exited { id, exit } = tokio::time::timeout(PATIENCE, events.next())
        .await
        .unwrap()
        .unwrap();
    assert_eq!((id.as_str(), exit.code), ("one", 7));
    let mut log = logged(&place, "one");
    log.sort();
    assert_eq!(log, [entry("stderr", "error"), entry("stdout", "out")]);
    let known = place.keeper.list().await.unwrap();
    assert_eq!(known.len(), 1);
    assert_eq!(known[0].exit.unwrap().code, 7);
    place.keeper.delete("one").await.unwrap();
    assert!(place.keeper.list().await.unwrap().is_empty());
    place.nothing_is_left();
}

#[tokio::test]
async fn what_cannot_start_says_why_and_leaves_nothing() {
    let place = Place::new().await;
    let refusal = |result: Result<_, KeeperCallError>| match result {
        Err(KeeperCallError::Refused(reason)) => reason,
        other => panic!("{other:?}"),
    };
    let reason = refusal(place.run("one", &["no-such-program"], |_| {}).await);
    assert!(
        reason.contains("exec: \"no-such-program\": executable file not found in $PATH"),
        "{reason}"
    );
    let reason = refusal(place.run("one", &["/no/such"], |_| {}).await);
    assert!(reason.contains("no such file or directory"), "{reason}");
    let reason = refusal(place.run("one", &["/usr"], |_| {}).await);
    assert!(reason.contains("is a directory"), "{reason}");
    fs::write(place.bundle("one").join("config.json"), "{").unwrap();
    let again = place
        .keeper
        .run("one", &place.bundle("one"), place.streams("one"))
        .await;
    refusal(again.map(|_| unreachable!("it cannot be read")));
    assert!(place.keeper.list().await.unwrap().is_empty());
    place.nothing_is_left();
    // And then it can.
    place.run("one", &["true"], |_| {}).await.unwrap();
    assert_eq!(place.ended("one").await.code, 0);
}

#[tokio::test]
async fn signals_exec_and_input() {
    let place = Place::new().await;
    let streams = Streams {
        stdin: true,
        ..place.streams("one")
    };
    place
        .run_with(
            "one",
            &["sh", "-c", "read line; echo got $line; exec sleep 1000"],
            streams,
            |_| {},
        )
        .await
        .unwrap();
    let input = place.keeper.input("one").await.unwrap();
    rustix::io::write(&input, b"hello\n").unwrap();
    drop(input);
    place.wait_for_log("one", "got hello").await;

    // A process beside it, in its namespaces.
    let (read, written) = rustix::pipe::pipe().unwrap();
    let null = fs::File::open("/dev/null").unwrap();
    let process = place.process(
        "one",
        1,
        &["sh", "-c", "cat /proc/1/cmdline | tr '\\0' ' '; exit 3"],
    );
    let streams = [null.as_fd(), written.as_fd(), written.as_fd()];
    let exec = place
        .keeper
        .exec("one", &process, None, &streams)
        .await
        .unwrap();
    drop(written);
    let exit = tokio::time::timeout(PATIENCE, exec.ended())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(exit.code, 3);
    let mut text = String::new();
    fs::File::from(read).read_to_string(&mut text).unwrap();
    assert_eq!(text, "sleep 1000 ");
    let process = place.process("one", 2, &["nothing-there"]);
    let failed = place
        .keeper
        .exec("one", &process, None, &streams_of(&null))
        .await;
    assert!(
        matches!(failed, Err(KeeperCallError::Refused(_))),
        "{failed:?}"
    );

    let early = place.keeper.delete("one").await;
    assert!(matches!(early, Err(KeeperCallError::Busy)), "{early:?}");
    place.keeper.signal("one", 9).await.unwrap();
    assert_eq!(place.ended("one").await.code, 128 + 9);
    assert!(matches!(
        place.keeper.signal("one", 9).await,
        Err(KeeperCallError::Unknown)
    ));
    place.keeper.delete("one").await.unwrap();
    place.nothing_is_left();
}

fn streams_of(null: &fs::File) -> [rustix::fd::BorrowedFd<'_>; 3] {
    [null.as_fd(), null.as_fd(), null.as_fd()]
}

#[tokio::test]
async fn a_terminal_is_one() {
    let place = Place::new().await;
    let streams = Streams {
        terminal: true,
        stdin: true,
        ..place.streams("one")
    };
    place
        .run_with(
            "one",
            &[
                "sh",
                "-c",
                "test -t 0 && test -t 1 && test -t 2 && echo a terminal; read word; echo $word",
            ],
            streams,
            |process| {
                process.set_terminal(Some(true));
            },
        )
        .await
        .unwrap();
    place.wait_for_log("one", "a terminal").await;
    let master = place.keeper.input("one").await.unwrap();
    rustix::io::write(&master, b"word\n").unwrap();
    assert_eq!(place.ended("one").await.code, 0);
    let log = logged(&place, "one");
    assert_eq!(log.last(), Some(&entry("stdout", "word")));
    place.keeper.delete("one").await.unwrap();
    place.nothing_is_left();
}

#[tokio::test]
async fn many_at_once() {
    let place = Place::new().await;
    let mut all = Vec::new();
    for number in 0..50 {
        let place = place.clone();
        all.push(tokio::spawn(async move {
            let id = format!("container-{number}");
            let code = number.to_string();
            let script = format!(
                "for i in 1 2 3 4 5 6 7 8 9 10; do echo line $i of {number}; done; exit {code}"
            );
            place
                .run(&id, &["sh", "-c", &script], |_| {})
                .await
                .unwrap();
            assert_eq!(place.ended(&id).await.code, number);
            let lines = logged(&place, &id);
            assert_eq!(lines.len(), 10, "{id}");
            assert_eq!(lines[9], entry("stdout", &format!("line 10 of {number}")));
            place.keeper.delete(&id).await.unwrap();
        }));
    }
    for one in all {
        one.await.unwrap();
    }
    assert!(place.keeper.list().await.unwrap().is_empty());
    place.nothing_is_left();
}

#[tokio::test]
async fn a_filter_and_capabilities_hold() {
    let place = Place::new().await;
    let filter = place::deny_mkdir();
    place
        .run_filtered("one", &["sh", "-c", "grep CapEff /proc/self/status; grep CapBnd /proc/self/status; grep Seccomp: /proc/self/status; mkdir /tmp/x || echo denied"], &filter)
        .await
        .unwrap();
    assert_eq!(place.ended("one").await.code, 0);
    let texts: Vec<String> = logged(&place, "one")
        .into_iter()
        .map(|(_, _, text)| text)
        .collect();
    // chown and kill, as the spec has them, and neither the filter's nor the bounding set's own.
    assert!(
        texts.contains(&"CapEff:\t0000000000000021".to_owned()),
        "{texts:?}"
    );
    assert!(
        texts.contains(&"CapBnd:\t0000000000000021".to_owned()),
        "{texts:?}"
    );
    assert!(texts.contains(&"Seccomp:\t2".to_owned()), "{texts:?}");
    assert!(texts.contains(&"denied".to_owned()), "{texts:?}");
}
