//! Logs that are moved away while containers write.

use crate::node::{Node, PATIENCE};
use cri_proto::runtime::{ContainerState, ReopenContainerLogRequest};
use std::{fs, time::Instant};

const LINES: usize = 20_000;

/// As a kubelet rotates them: renamed, and then reopened.
#[tokio::test(flavor = "multi_thread")]
async fn no_line_is_lost_or_doubled() {
    let mut node = Node::new().await;
    let sandbox = node.run_sandbox("rotated").await;
    let script = format!("i=0; while [ $i -lt {LINES} ]; do echo line $i; i=$((i+1)); done");
    let id = node
        .run(&sandbox, "rotated", "busy", &["/bin/sh", "-c", &script])
        .await;
    let log = node.path("logs/rotated/busy.log");
    let begun = Instant::now();
    let mut moved = Vec::new();
    while node.status(&id).await.state == i32::from(ContainerState::ContainerRunning) {
        assert!(begun.elapsed() < PATIENCE, "it does not end");
        let to = log.with_extension(format!("log.{}", moved.len()));
        fs::rename(&log, &to).unwrap();
        moved.push(to);
        let request = ReopenContainerLogRequest {
            container_id: id.clone(),
        };
        // It may have ended in between: then nobody writes any more, and there is no log to go on with.
        if let Err(error) = node.runtime_client.reopen_container_log(request).await {
            assert_eq!(error.code(), tonic::Code::FailedPrecondition, "{error}");
            break;
        }
        assert!(log.exists(), "a reopened log is there at once");
    }
    assert_eq!(node.exited(&id).await.exit_code, 0);
    assert!(moved.len() > 3, "it was rotated {} times only", moved.len());
    if log.exists() {
        moved.push(log);
    }
    let written: Vec<String> = moved
        .iter()
        .flat_map(|path| {
            let text = fs::read_to_string(path).unwrap();
            let lines = text
                .lines()
                .map(|line| line.splitn(4, ' ').nth(3).unwrap().to_owned());
            lines.collect::<Vec<_>>()
        })
        .collect();
    let expected: Vec<String> = (0..LINES).map(|number| format!("line {number}")).collect();
    assert!(written == expected, "{} lines of {LINES}", written.len());
}
