//! Filters that the kernel takes, and what processes see under them.
//!
//! A filter is installed for one thread, or in a process of its own where it kills: this program again, told by a
//! variable what to do.

use orlop_runtime::planner::seccomp::{Kernel, Program, compile, parse, runtime_default};
use rustix::{
    fs::{SeekFrom, seek},
    io::Errno,
    net::{AddressFamily, SocketType, socket},
};
use seccompiler::sock_filter;
use std::{
    collections::HashSet,
    env,
    fs::File,
    os::unix::process::ExitStatusExt as _,
    process::{Command, exit},
    thread,
};

const TOLD: &str = "RUNTIME_SECCOMP_CHILD";

fn kernel() -> Kernel {
    rustix::system::uname()
        .release()
        .to_string_lossy()
        .parse()
        .expect("a kernel's release")
}

fn install(program: &Program) {
    let filter: Vec<sock_filter> = program
        .instructions
        .iter()
        .map(|one| sock_filter {
            code: one.code,
            jt: one.jump_true,
            jf: one.jump_false,
            k: one.operand,
        })
        .collect();
    seccompiler::apply_filter(&filter).expect("the kernel takes the filter");
}

fn of_text(text: &str) -> Program {
    let profile = parse(text.as_bytes(), &HashSet::new(), kernel()).expect("a readable profile");
    compile(&profile).expect("it compiles")
}

/// In a thread under the filter.
fn under<T: Send + 'static>(program: Program, work: impl FnOnce() -> T + Send + 'static) -> T {
    thread::spawn(move || {
        install(&program);
        work()
    })
    .join()
    .expect("the thread lives")
}

#[test]
fn under_the_default_profile() {
    let program = compile(&runtime_default(&HashSet::new(), kernel())).expect("it compiles");
    under(program, || {
        let denied = socket(AddressFamily::VSOCK, SocketType::STREAM, None);
        assert_eq!(denied.err(), Some(Errno::PERM));
        socket(AddressFamily::UNIX, SocketType::STREAM, None).expect("a socket");
        let denied = nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWUTS);
        assert_eq!(denied, Err(nix::errno::Errno::EPERM));
        // A new thread and a new process: clone3 fails with ENOSYS, and libc takes clone.
        thread::spawn(|| ()).join().expect("a thread of its own");
        let child = Command::new("/bin/true").status().expect("a process");
        assert!(child.success());
    });
}

#[test]
fn arguments_are_compared_by_all_their_bits() {
    let program = of_text(
        r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["lseek"], "action": "SCMP_ACT_ERRNO", "errnoRet": 71, "args": [
                {"index": 1, "value": 4294967297, "op": "SCMP_CMP_GT"}]},
            {"names": ["lseek"], "action": "SCMP_ACT_ERRNO", "errnoRet": 72, "args": [
                {"index": 1, "value": 4095, "valueTwo": 7, "op": "SCMP_CMP_MASKED_EQ"}]}]}"#,
    );
    under(program, || {
        let file = File::open("/dev/zero").expect("it is there");
        let check = |to, expect: Option<i32>| {
            let error = seek(&file, SeekFrom::Start(to)).err();
            assert_eq!(error.map(Errno::raw_os_error), expect, "{to:#x}");
        };
        check(0, None);
        check(0xffff_fff0, None);
        check(0x1_0000_0001, None);
        check(0x1_0000_0002, Some(71));
        check(0x1007, Some(72));
        check(0x1008, None);
    });
}

/// Each as a child of its own: `RUNTIME_SECCOMP_CHILD` says by which action uname(2) ends it.
#[test]
fn a_process_is_killed_by_a_forbidden_call() {
    if let Ok(action) = env::var(TOLD) {
        install(&of_text(&format!(
            r#"{{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{{"names": ["uname"], "action": "{action}"}}]}}"#
        )));
        let _ = rustix::system::uname();
        exit(7);
    }
    let check = |action: &str, signal: Option<i32>, code: Option<i32>| {
        let child = Command::new(env::current_exe().expect("this program"))
            .args(["--exact", "a_process_is_killed_by_a_forbidden_call"])
            .env(TOLD, action)
            .output()
            .expect("a child");
        assert_eq!(child.status.signal(), signal, "{action}: {child:?}");
        assert_eq!(child.status.code(), code, "{action}: {child:?}");
    };
    check("SCMP_ACT_KILL_PROCESS", Some(libc::SIGSYS), None);
    check("SCMP_ACT_TRAP", Some(libc::SIGSYS), None);
    check("SCMP_ACT_LOG", None, Some(7));
    check("SCMP_ACT_ERRNO", None, Some(7));
}

#[test]
fn the_largest_filter_is_taken() {
    let rules: Vec<String> = (0..330)
        .filter(|rule| rule % 3 == 0)
        .flat_map(|rule| {
            (1..9).map(move |value| {
                format!(
                    r#"{{"names": ["keyctl"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5, "args": [
                        {{"index": 4, "value": {}, "op": "SCMP_CMP_EQ"}}]}}"#,
                    rule * 100 + value
                )
            })
        })
        .collect();
    let program = of_text(&format!(
        r#"{{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{}]}}"#,
        rules.join(",")
    ));
    assert!(program.instructions.len() > 3500);
    under(program, || {
        assert!(File::open("/dev/null").is_ok());
    });
}
