//! Programs run in a small interpreter of classic BPF, and are compared with what a profile says, read directly.

use super::{
    Error, INSTRUCTIONS_MAX, Kernel, Program,
    assembler::{AND, JUMP, LOAD, RETURN},
    compile,
    compile::{AUDIT_X86, AUDIT_X86_64, answer, unknown},
    numbers::{Abi, X32_BIT, x86_behind},
    parse, runtime_default,
};
use oci_spec::runtime::{
    Arch, Capabilities, Capability, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg,
    LinuxSeccompArgBuilder, LinuxSeccompBuilder, LinuxSeccompOperator, LinuxSyscall,
    LinuxSyscallBuilder,
};
use proptest::prelude::*;

const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
const KILL: u32 = libc::SECCOMP_RET_KILL_THREAD;
const EPERM: u32 = libc::SECCOMP_RET_ERRNO | 1;
const ENOSYS: u32 = libc::SECCOMP_RET_ERRNO | 38;

const NEW: Kernel = Kernel {
    major: 6,
    minor: 12,
};

/// The kernel's `struct seccomp_data`, without the instruction pointer.
#[derive(Debug, Clone, Copy)]
struct Call {
    architecture: u32,
    number: u32,
    arguments: [u64; 6],
}

/// What the kernel's interpreter would answer. Panics where the kernel would refuse the program.
fn run(program: &Program, call: &Call) -> u32 {
    let mut data = Vec::new();
    data.extend(call.number.to_le_bytes());
    data.extend(call.architecture.to_le_bytes());
    data.extend([0; 8]);
    for argument in call.arguments {
        data.extend(argument.to_le_bytes());
    }
    let mut word = 0;
    let mut at = 0;
    loop {
        let instruction = program.instructions[at];
        at += 1;
        let operand = instruction.operand;
        let jump = |holds| {
            usize::from(if holds {
                instruction.jump_true
            } else {
                instruction.jump_false
            })
        };
        match instruction.code {
            LOAD => {
                assert_eq!(operand % 4, 0);
                let from = operand as usize;
                word = u32::from_le_bytes(data[from..from + 4].try_into().expect("four bytes"));
            }
            AND => word &= operand,
            JUMP => at += operand as usize,
            RETURN => return operand,
            0x15 => at += jump(word == operand),
            0x25 => at += jump(word > operand),
            0x35 => at += jump(word >= operand),
            code => panic!("no instruction {code:#x}"),
        }
    }
}

/// The same by the profile's words.
fn direct(profile: &LinuxSeccomp, call: &Call) -> u32 {
    let default = answer(
        profile.default_action(),
        profile.default_errno_ret(),
        "default",
    )
    .expect("a known action");
    let has = |arch| {
        profile
            .architectures()
            .as_ref()
            .is_some_and(|all| all.contains(&arch))
    };
    let abi = match call.architecture {
        AUDIT_X86 if has(Arch::ScmpArchX86) => Abi::X86,
        AUDIT_X86_64 if call.number < X32_BIT => Abi::X86_64,
        AUDIT_X86_64 if has(Arch::ScmpArchX32) => Abi::X32,
        AUDIT_X86_64 if call.number == u32::MAX => return unknown(default),
        _ => return KILL,
    };
    let mut newest = None;
    let mut always = None;
    let mut sometimes = None;
    for rule in profile.syscalls().iter().flatten() {
        let answer = answer(rule.action(), rule.errno_ret(), "").expect("a known action");
        let args = rule.args().as_deref().unwrap_or_default();
        for name in rule.names() {
            let behind = x86_behind(name)
                .filter(|_| abi == Abi::X86)
                .map(|(behind, first)| (abi.number(behind).expect("it is there"), first));
            newest = newest
                .max(abi.number(name))
                .max(behind.map(|(number, _)| number));
            if answer == default {
                continue;
            }
            if args.is_empty()
                && behind == Some((call.number, call.arguments[0] & u64::from(u32::MAX)))
            {
                sometimes = sometimes.or(Some(answer));
            }
            if abi.number(name) != Some(call.number) {
                continue;
            }
            if args.is_empty() {
                always = always.or(Some(answer));
                continue;
            }
            let twice = (0..6).any(|at| args.iter().filter(|arg| arg.index() == at).count() > 1);
            let mut each = args.iter().map(|arg| holds(arg, call, abi));
            if if twice {
                each.any(|holds| holds)
            } else {
                each.all(|holds| holds)
            } {
                sometimes = sometimes.or(Some(answer));
            }
        }
    }
    if call.number > newest.unwrap_or(abi.newest()) {
        return unknown(default);
    }
    always.or(sometimes).unwrap_or(default)
}

fn holds(arg: &LinuxSeccompArg, call: &Call, abi: Abi) -> bool {
    let cut = |value| {
        if abi == Abi::X86_64 {
            value
        } else {
            value & u64::from(u32::MAX)
        }
    };
    let given = cut(call.arguments[arg.index()]);
    let value = cut(arg.value());
    match arg.op() {
        LinuxSeccompOperator::ScmpCmpNe => given != value,
        LinuxSeccompOperator::ScmpCmpLt => given < value,
        LinuxSeccompOperator::ScmpCmpLe => given <= value,
        LinuxSeccompOperator::ScmpCmpEq => given == value,
        LinuxSeccompOperator::ScmpCmpGe => given >= value,
        LinuxSeccompOperator::ScmpCmpGt => given > value,
        LinuxSeccompOperator::ScmpCmpMaskedEq => {
            given & value == cut(arg.value_two().unwrap_or_default()) & value
        }
    }
}

/// Few values, so that calls meet the ones of rules; with differences in one word only.
fn value() -> impl Strategy<Value = u64> {
    prop_oneof![
        0_u64..4,
        Just(0xffff_ffff),
        Just(0x1_0000_0000),
        Just(0x1_0000_0002),
        Just(0x8000_0000_8000_0000),
        Just(u64::MAX),
        any::<u64>(),
    ]
}

fn action() -> impl Strategy<Value = LinuxSeccompAction> {
    prop_oneof![
        Just(LinuxSeccompAction::ScmpActAllow),
        Just(LinuxSeccompAction::ScmpActErrno),
        Just(LinuxSeccompAction::ScmpActKill),
        Just(LinuxSeccompAction::ScmpActKillProcess),
        Just(LinuxSeccompAction::ScmpActTrap),
        Just(LinuxSeccompAction::ScmpActTrace),
        Just(LinuxSeccompAction::ScmpActLog),
    ]
}

fn operator() -> impl Strategy<Value = LinuxSeccompOperator> {
    prop_oneof![
        Just(LinuxSeccompOperator::ScmpCmpNe),
        Just(LinuxSeccompOperator::ScmpCmpLt),
        Just(LinuxSeccompOperator::ScmpCmpLe),
        Just(LinuxSeccompOperator::ScmpCmpEq),
        Just(LinuxSeccompOperator::ScmpCmpGe),
        Just(LinuxSeccompOperator::ScmpCmpGt),
        Just(LinuxSeccompOperator::ScmpCmpMaskedEq),
    ]
}

#[rustfmt::skip]
const NAMES: [&str; 24] = [
    "read", "write", "open", "close", "stat", "fstat", "lstat", "socket", "send", "connect", "semop",
    "ioctl", "execve", "clone", "clone3", "personality", "mount", "ptrace", "umount", "waitpid",
    "restart_syscall", "faccessat2", "file_setattr", "no_such_call",
];

fn rule() -> impl Strategy<Value = LinuxSyscall> {
    let args = proptest::collection::vec((0_usize..6, operator(), value(), value()), 0..4);
    let names = proptest::collection::vec(proptest::sample::select(&NAMES[..]), 1..6);
    (names, action(), proptest::option::of(0_u32..200), args).prop_map(
        |(names, action, errno, args)| {
            let args: Vec<_> = args
                .into_iter()
                .map(|(index, operator, value, second)| {
                    LinuxSeccompArgBuilder::default()
                        .index(index)
                        .op(operator)
                        .value(value)
                        .value_two(second)
                        .build()
                        .expect("complete")
                })
                .collect();
            let rule = LinuxSyscallBuilder::default()
                .names(names.into_iter().map(str::to_owned).collect::<Vec<_>>())
                .action(action)
                .args(args);
            match errno {
                Some(errno) => rule.errno_ret(errno),
                None => rule,
            }
            .build()
            .expect("complete")
        },
    )
}

fn profile() -> impl Strategy<Value = LinuxSeccomp> {
    let architectures = proptest::sample::subsequence(
        vec![
            Arch::ScmpArchX86_64,
            Arch::ScmpArchX86,
            Arch::ScmpArchX32,
            Arch::ScmpArchAarch64,
        ],
        0..=4,
    );
    (
        action(),
        proptest::option::of(0_u32..200),
        architectures,
        proptest::collection::vec(rule(), 0..24),
    )
        .prop_map(|(action, errno, architectures, rules)| {
            let profile = LinuxSeccompBuilder::default()
                .default_action(action)
                .architectures(architectures)
                .syscalls(rules);
            match errno {
                Some(errno) => profile.default_errno_ret(errno),
                None => profile,
            }
            .build()
            .expect("complete")
        })
}

fn call() -> impl Strategy<Value = Call> {
    let named = (proptest::sample::select(&NAMES[..]), 0_u32..3, 0_usize..3).prop_map(
        |(name, around, abi)| {
            let abi = [Abi::X86_64, Abi::X32, Abi::X86][abi];
            (abi.number(name).unwrap_or_default() + around).saturating_sub(1)
        },
    );
    let number = prop_oneof![
        named,
        0_u32..600,
        X32_BIT - 1..X32_BIT + 600,
        Just(u32::MAX),
        Just(u32::MAX - 1),
        any::<u32>(),
    ];
    let architecture = prop_oneof![
        4 => Just(AUDIT_X86_64),
        4 => Just(AUDIT_X86),
        1 => any::<u32>(),
    ];
    (architecture, number, proptest::array::uniform6(value())).prop_map(
        |(architecture, number, arguments)| Call {
            architecture,
            number,
            arguments,
        },
    )
}

proptest! {
    #[test]
    fn a_filter_answers_as_its_profile_reads(
        profile in profile(),
        calls in proptest::collection::vec(call(), 1..64),
    ) {
        let program = compile(&profile).expect("a short profile");
        is_what_the_kernel_takes(&program);
        for call in calls {
            prop_assert_eq!(run(&program, &call), direct(&profile, &call), "{:?}", call);
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in proptest::collection::vec(any::<u8>(), 0..256)) {
        let _ = parse(&text, &Capabilities::new(), NEW);
    }
}

/// The checks of the kernel's verifier (`bpf_check_classic`, `seccomp_check_filter`).
fn is_what_the_kernel_takes(program: &Program) {
    let length = program.instructions.len();
    assert!((1..=INSTRUCTIONS_MAX).contains(&length));
    for (at, instruction) in program.instructions.iter().enumerate() {
        let furthest = match instruction.code {
            LOAD => {
                assert!(instruction.operand % 4 == 0 && instruction.operand < 64);
                0
            }
            JUMP => instruction.operand as usize,
            AND | RETURN => 0,
            _ => usize::from(instruction.jump_true.max(instruction.jump_false)),
        };
        if instruction.code == RETURN {
            continue;
        }
        assert!(at + 1 + furthest < length, "instruction {at}");
    }
    assert_eq!(
        program.instructions.last().map(|last| last.code),
        Some(RETURN)
    );
}

fn number(name: &str) -> u32 {
    Abi::X86_64.number(name).expect("a call of x86-64")
}

#[test]
fn every_call_under_the_default_profile() {
    for capabilities in [
        vec![],
        vec![Capability::SysAdmin],
        vec![
            Capability::SysPtrace,
            Capability::SysTime,
            Capability::SysNice,
        ],
    ] {
        let profile = runtime_default(&capabilities.into_iter().collect(), NEW);
        let program = compile(&profile).expect("it compiles");
        is_what_the_kernel_takes(&program);
        for architecture in [AUDIT_X86_64, AUDIT_X86] {
            for number in (0..700).chain(X32_BIT..X32_BIT + 700) {
                for first in [0, 8, 40, 0x2000_0000, 0xffff_ffff, 0x1_0000_0028] {
                    let call = Call {
                        architecture,
                        number,
                        arguments: [first, 0, 0, 0, 0, 0],
                    };
                    assert_eq!(run(&program, &call), direct(&profile, &call), "{call:?}");
                }
            }
        }
    }
}

#[test]
fn the_default_profile_answers_as_people_know_it() {
    let check_with = |capabilities: &[Capability], kernel, name: &str, first: u64, expect| {
        let capabilities = capabilities.iter().copied().collect();
        let program = compile(&runtime_default(&capabilities, kernel)).expect("it compiles");
        let call = Call {
            architecture: AUDIT_X86_64,
            number: number(name),
            arguments: [first, 0, 0, 0, 0, 0],
        };
        assert_eq!(run(&program, &call), expect, "{name}({first:#x})");
    };
    let check = |name, first, expect| check_with(&[], NEW, name, first, expect);
    check("read", 0, ALLOW);
    check("openat2", 0, ALLOW);
    check("mount", 0, EPERM);
    check("unshare", 0, EPERM);
    check("bpf", 0, EPERM);
    check("io_uring_setup", 0, EPERM);
    check("keyctl", 0, EPERM);
    check("socket", 1, ALLOW);
    check("socket", 40, EPERM);
    check("personality", 0x2_0008, ALLOW);
    check("personality", 4, EPERM);
    check("clone", 0x11, ALLOW);
    check("clone", 0x1000_0000, EPERM);
    check("clone3", 0, ENOSYS);
    check("ptrace", 0, ALLOW);
    // Newer than the newest that the profile has a word about, removexattrat.
    check("open_tree_attr", 0, ENOSYS);

    let admin = [Capability::SysAdmin];
    check_with(&admin, NEW, "mount", 0, ALLOW);
    check_with(&admin, NEW, "clone", 0x1000_0000, ALLOW);
    check_with(&admin, NEW, "clone3", 0, ALLOW);
    check_with(&admin, NEW, "reboot", 0, EPERM);
    check_with(&[Capability::SysTime], NEW, "settimeofday", 0, ALLOW);
    let old = Kernel { major: 4, minor: 7 };
    check_with(&[], old, "ptrace", 0, EPERM);
    check_with(&[Capability::SysPtrace], old, "ptrace", 0, ALLOW);
}

/// The answer of a profile's text to one call of x86-64.
fn check_text(text: &str, capabilities: &[Capability], name: &str, arguments: &[u64], expect: u32) {
    let capabilities = capabilities.iter().copied().collect();
    let profile = parse(text.as_bytes(), &capabilities, NEW).expect("a readable profile");
    let mut call = Call {
        architecture: AUDIT_X86_64,
        number: number(name),
        arguments: [0; 6],
    };
    call.arguments[..arguments.len()].copy_from_slice(arguments);
    let program = compile(&profile).expect("a profile that compiles");
    assert_eq!(run(&program, &call), expect, "{name}{arguments:?}");
}

#[test]
fn profiles_of_localhost() {
    let text = r#"{
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 38,
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_AARCH64"],
        "syscalls": [
            {"names": ["read", "of_another_machine"], "action": "SCMP_ACT_ALLOW", "args": null},
            {"names": ["write"], "action": "SCMP_ACT_ALLOW", "args": [
                {"index": 2, "value": 4294967296, "op": "SCMP_CMP_LT"},
                {"index": 0, "value": 1, "valueTwo": 0, "op": "SCMP_CMP_EQ"}]},
            {"names": ["write"], "action": "SCMP_ACT_LOG", "args": [
                {"index": 0, "value": 2, "op": "SCMP_CMP_EQ"}]},
            {"names": ["lseek"], "action": "SCMP_ACT_ALLOW", "args": [
                {"index": 2, "value": 0, "op": "SCMP_CMP_EQ"},
                {"index": 2, "value": 1, "op": "SCMP_CMP_EQ"}]},
            {"names": ["fcntl"], "action": "SCMP_ACT_ALLOW", "args": [
                {"index": 1, "value": 18446744069414584320, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]},
            {"names": ["uname"], "action": "SCMP_ACT_KILL_PROCESS"},
            {"names": ["getpid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13},
            {"names": ["getpid"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["statmount"], "action": "SCMP_ACT_TRAP"}
        ],
        "aFieldOfNextYear": 1
    }"#;
    let check = |name, arguments, expect| check_text(text, &[], name, arguments, expect);
    check("read", &[], ALLOW);
    check("open", &[], ENOSYS);
    check("write", &[1, 0, 0xffff_ffff], ALLOW);
    check("write", &[1, 0, 0x1_0000_0000], ENOSYS);
    check("write", &[2, 0, u64::MAX], libc::SECCOMP_RET_LOG);
    check("lseek", &[0, 0, 1], ALLOW);
    check("lseek", &[0, 0, 2], ENOSYS);
    check("fcntl", &[0, 0xffff_ffff], ALLOW);
    check("fcntl", &[0, 0x1_0000_0000], ENOSYS);
    check("uname", &[], libc::SECCOMP_RET_KILL_PROCESS);
    check("getpid", &[], libc::SECCOMP_RET_ERRNO | 13);
    check("statmount", &[], libc::SECCOMP_RET_TRAP);
}

#[test]
fn profiles_in_dockers_form() {
    let text = r#"{
        "defaultAction": "SCMP_ACT_ERRNO",
        "archMap": [
            {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]},
            {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
        "syscalls": [
            {"name": "read", "action": "SCMP_ACT_ALLOW"},
            {"names": ["write"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
            {"names": ["open"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "99.0"}},
            {"names": ["close"], "action": "SCMP_ACT_ALLOW", "excludes": {"minKernel": "4.8"}},
            {"names": ["arch_prctl"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["amd64", "x32"]}},
            {"names": ["stat"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["arm64"]}},
            {"names": ["fstat"], "action": "SCMP_ACT_ALLOW", "excludes": {"arches": ["s390x"]}},
            {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
            {"names": ["bpf"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN", "CAP_BPF"]}},
            {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38, "excludes": {"caps": ["CAP_SYS_ADMIN"]}}
        ]
    }"#;
    let check = |name, expect| check_text(text, &[], name, &[], expect);
    check("read", ALLOW);
    check("write", ALLOW);
    check("open", EPERM);
    check("close", EPERM);
    check("arch_prctl", ALLOW);
    check("stat", EPERM);
    check("fstat", ALLOW);
    check("mount", EPERM);
    check("clone3", ENOSYS);
    let admin = [Capability::SysAdmin];
    check_text(text, &admin, "mount", &[], ALLOW);
    // The rules that are left name nothing newer than mount.
    check_text(text, &admin, "bpf", &[], ENOSYS);
    let both = [Capability::SysAdmin, Capability::Bpf];
    check_text(text, &both, "bpf", &[], ALLOW);
}

#[test]
fn what_is_refused() {
    let check = |text: &str, expect: &str| {
        let error = match parse(text.as_bytes(), &Capabilities::new(), NEW) {
            Ok(profile) => compile(&profile).expect_err("it is refused"),
            Err(error) => error,
        };
        assert_eq!(error.to_string(), expect);
    };
    check("", "seccomp profile is not readable");
    check(
        r#"{"defaultAction": "SCMP_ACT_SHRUG"}"#,
        "seccomp profile is not readable",
    );
    check(
        r#"{"defaultAction": "SCMP_ACT_NOTIFY"}"#,
        "seccomp action SCMP_ACT_NOTIFY (default) is not supported",
    );
    check(
        r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mount"], "action": "SCMP_ACT_NOTIFY"}]}"#,
        "seccomp action SCMP_ACT_NOTIFY (mount) is not supported",
    );
    check(
        r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_TRAP",
            "args": [{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]}]}"#,
        "seccomp rule for read has argument 6, above 5",
    );
    check(
        r#"{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 65536}"#,
        "errnoRet 65536 (default) of a seccomp profile is above 65535",
    );
    check(
        r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"], "name": "write", "action": "SCMP_ACT_LOG"}]}"#,
        r#"seccomp profile has both "name" and "names""#,
    );
    check(
        r#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86"],
            "archMap": [{"architecture": "SCMP_ARCH_X86_64"}]}"#,
        r#"seccomp profile has both "architectures" and "archMap""#,
    );
    check(
        r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_LOG",
            "includes": {"minKernel": "new"}}]}"#,
        r#"minKernel "new" of a seccomp profile is no version"#,
    );
    let long = " ".repeat(super::TEXT_MAX + 1);
    check(
        &long,
        "seccomp profile has 1048577 bytes, more than 1048576",
    );
}

/// A rule with arguments for each of the first calls, all different.
fn many(calls: usize) -> LinuxSeccomp {
    let names: Vec<_> = (0..334)
        .filter_map(syscalls::x86_64::Sysno::new)
        .map(|call| call.name().to_owned())
        .collect();
    let rules = (0..calls)
        .map(|at| {
            LinuxSyscallBuilder::default()
                .names(vec![names[at % names.len()].clone()])
                .action(LinuxSeccompAction::ScmpActErrno)
                .errno_ret(u32::try_from(at % 4096).expect("it is small"))
                .args(vec![
                    LinuxSeccompArgBuilder::default()
                        .index(at % 6)
                        .op(LinuxSeccompOperator::ScmpCmpEq)
                        .value(at as u64)
                        .build()
                        .expect("complete"),
                ])
                .build()
                .expect("complete")
        })
        .collect::<Vec<_>>();
    LinuxSeccompBuilder::default()
        .default_action(LinuxSeccompAction::ScmpActAllow)
        .syscalls(rules)
        .build()
        .expect("complete")
}

#[test]
fn jumps_over_more_than_255_instructions() {
    let profile = many(600);
    let program = compile(&profile).expect("it fits");
    is_what_the_kernel_takes(&program);
    assert!(program.instructions.iter().any(|one| one.code == JUMP));
    for number in 0..400 {
        for first in [0, 1, 7, 299, 599] {
            let call = Call {
                architecture: AUDIT_X86_64,
                number,
                arguments: [first; 6],
            };
            assert_eq!(run(&program, &call), direct(&profile, &call), "{call:?}");
        }
    }
}

#[test]
fn a_filter_has_at_most_4096_instructions() {
    let fits = (600..1200)
        .take_while(|rules| compile(&many(*rules)).is_ok())
        .last()
        .expect("600 fit");
    let program = compile(&many(fits)).expect("it fits");
    assert!(program.instructions.len() > INSTRUCTIONS_MAX - 16);
    assert!(matches!(
        compile(&many(fits + 1)),
        Err(Error::TooLong(length)) if length > INSTRUCTIONS_MAX
    ));
}

#[test]
fn numbers_and_flags_as_the_kernel_has_them() {
    assert_eq!(Abi::X86_64.number("openat2"), Some(437));
    assert_eq!(Abi::X86.number("socketcall"), Some(102));
    assert_eq!(Abi::X86_64.number("socketcall"), None);
    assert_eq!(Abi::X32.number("read"), Some(0x4000_0000));
    assert_eq!(Abi::X32.number("execve"), Some(0x4000_0000 | 520));
    assert_eq!(Abi::X32.number("pwritev2"), Some(0x4000_0000 | 547));
    let flags = |text: &str| {
        let profile =
            parse(text.as_bytes(), &Capabilities::new(), NEW).expect("a readable profile");
        compile(&profile).expect("it compiles").flags
    };
    assert_eq!(flags(r#"{"defaultAction": "SCMP_ACT_ALLOW"}"#), 4);
    assert_eq!(
        flags(r#"{"defaultAction": "SCMP_ACT_ALLOW", "flags": []}"#),
        0
    );
    assert_eq!(
        flags(
            r#"{"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_TSYNC"]}"#
        ),
        2
    );
}

#[test]
fn kernels_by_their_release() {
    let check = |release: &str, expect| {
        assert_eq!(
            release
                .parse::<Kernel>()
                .ok()
                .map(|kernel| (kernel.major, kernel.minor)),
            expect
        );
    };
    check("6.12.63-cloud-amd64", Some((6, 12)));
    check("4.8", Some((4, 8)));
    check("7.0-rc1", Some((7, 0)));
    check("6", None);
    check("", None);
}

#[test]
fn bytes_are_the_kernels_struct() {
    let program = compile(&runtime_default(&Capabilities::new(), NEW)).expect("it compiles");
    let bytes = program.to_bytes();
    assert_eq!(bytes.len(), program.instructions.len() * 8);
    // ld [4]: the architecture.
    assert_eq!(bytes[..8], [0x20, 0, 0, 0, 4, 0, 0, 0]);
}
