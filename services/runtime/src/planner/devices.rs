//! Which devices a container may open or make, as a program that the kernel asks (cgroup v2 has no files for it).
//!
//! ```text
//!   rules, in their order ──compile──> instructions of BPF ──> the kernel: BPF_PROG_TYPE_CGROUP_DEVICE
//!
//!   r1 ──> { access << 16 | kind, major, minor }        struct bpf_cgroup_dev_ctx
//!   r2  what is asked and not granted yet               r3 kind   r4 major   r5 minor
//!
//!   devices with rules of their own: a tree by kind, major and minor; at its leaves 1 where all that is asked is allowed, else 0
//!
//!   other devices: from the last rule to the first, for one that fits:
//!     allow   r2 loses the rule's bits; none is left: 1, it may
//!     deny    r2 has one of the rule's bits: 0, it may not
//!   at the end: what the last rule for everything says, else 0
//! ```
//!
//! So of each of reading, writing and making, the last rule that fits decides, and all that is asked must be allowed. That is
//! what the OCI runtime spec's list means; cgroup v1 knows one more thing, that rules cannot be put together for one
//! request, which nobody relies on. Without any rule nothing is allowed.
//!
//! It knows nothing of cgroups or files. Sources: linux/bpf.h, and the kernel's "eBPF Instruction Set Specification".

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType};
use std::collections::BTreeMap;

/// Rules of a program: as many devices as a container can be given, and some for all.
pub const RULES_MAX: usize = 4096 + 64;
/// Rules for more than one device. Each makes the kernel's work on the program longer for each major number in it.
const GENERAL_MAX: usize = 32;
/// One instruction, as the kernel reads it: `struct bpf_insn`.
pub const INSTRUCTION_BYTES: usize = 8;

/// Making a node: `BPF_DEVCG_ACC_MKNOD`.
const MAKE: i32 = 1;
/// `BPF_DEVCG_ACC_READ`.
const READ: i32 = 2;
/// `BPF_DEVCG_ACC_WRITE`.
const WRITE: i32 = 4;
const ALL: i32 = MAKE | READ | WRITE;
/// `BPF_DEVCG_DEV_BLOCK`.
const BLOCK: i32 = 1;
/// `BPF_DEVCG_DEV_CHAR`.
const CHARACTER: i32 = 2;

/// What cannot be asked of the kernel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// More rules than a container has.
    #[error("{0} rules for devices are more than {RULES_MAX}")]
    TooMany(usize),
    /// A number that no device has.
    #[error("device number {0} is none")]
    Number(i64),
    /// No kind of device.
    #[error("rules for devices are of a, b or c")]
    Kind,
    /// No access.
    #[error("access {0:?} to devices is not some of r, w and m")]
    Access(String),
}

/// A program. It has no loops and calls nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program(Vec<Instruction>);

impl Program {
    /// As the kernel of this machine reads them.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0
            .iter()
            .flat_map(|instruction| {
                let [low, high] = instruction.offset.to_ne_bytes();
                let [a, b, c, d] = instruction.immediate.to_ne_bytes();
                [
                    instruction.code,
                    instruction.registers,
                    low,
                    high,
                    a,
                    b,
                    c,
                    d,
                ]
            })
            .collect()
    }
}

/// `struct bpf_insn`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Instruction {
    code: u8,
    /// Source in the upper half, destination in the lower: little-endian machines'.
    registers: u8,
    /// Of a jump, in instructions from the next one; of a load, in bytes.
    offset: i16,
    immediate: i32,
}

/// The few that are needed. 32-bit arithmetic clears the upper half.
mod code {
    /// destination = *(u32 *)(source + offset)
    pub(super) const LOAD: u8 = 0x61;
    /// destination = immediate
    pub(super) const MOVE: u8 = 0xb4;
    /// destination = source
    pub(super) const COPY: u8 = 0xbc;
    /// destination &= immediate
    pub(super) const AND: u8 = 0x54;
    /// destination >>= immediate
    pub(super) const SHIFT: u8 = 0x74;
    /// Jumps.
    pub(super) const JUMP: u8 = 0x05;
    /// Jumps if they differ, of 32 bits.
    pub(super) const UNEQUAL: u8 = 0x56;
    /// Jumps if they have a bit in common, of 32 bits.
    pub(super) const COMMON: u8 = 0x46;
    /// The answer is r0.
    pub(super) const EXIT: u8 = 0x95;
}

const ANSWER: u8 = 0;
const CONTEXT: u8 = 1;
const ASKED: u8 = 2;
const KIND: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;

/// A rule whose parts are what the kernel gives a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rule {
    allow: bool,
    kind: Option<i32>,
    major: Option<i32>,
    minor: Option<i32>,
    access: i32,
}

impl Rule {
    /// The one device that it is about.
    fn device(self) -> Option<(i32, i32, i32)> {
        Some((self.kind?, self.major?, self.minor?))
    }

    /// It decides about everything.
    const fn is_last_word(self) -> bool {
        self.kind.is_none() && self.major.is_none() && self.minor.is_none() && self.access == ALL
    }
}

/// The program for some rules. None: everything is allowed, and nobody need be asked.
///
/// # Errors
/// One for the first rule that is none.
pub fn compile(rules: &[LinuxDeviceCgroup]) -> Result<Option<Program>, Error> {
    if rules.len() > RULES_MAX {
        return Err(Error::TooMany(rules.len()));
    }
    let rules = rules.iter().map(rule).collect::<Result<Vec<_>, _>>()?;
    // What comes before a rule for everything decides nothing, and the kernel takes no instruction that is never reached.
    let (default, rules) = match rules.iter().rposition(|rule| rule.is_last_word()) {
        Some(at) => (rules[at].allow, &rules[at + 1..]),
        None => (false, &rules[..]),
    };
    if default && rules.is_empty() {
        return Ok(None);
    }
    let general: Vec<Rule> = rules
        .iter()
        .filter(|rule| rule.device().is_none())
        .copied()
        .collect();
    if general.len() > GENERAL_MAX {
        return Err(Error::TooMany(general.len()));
    }
    let mut program = vec![
        load(KIND, 0),
        copy(ASKED, KIND),
        immediate(code::AND, KIND, 0xffff),
        immediate(code::SHIFT, ASKED, 16),
        load(MAJOR, 4),
        load(MINOR, 8),
    ];
    program.extend(single(rules, default)?);
    for rule in general.iter().rev() {
        program.extend(block(*rule));
    }
    program.extend(answer(default));
    Ok(Some(Program(program)))
}

/// Devices that have rules of their own, each with all that the rules come to for it. They are a tree, for the kernel follows each way through a
/// program: one after the other, it would go through all that follow with each that it knows, and give up at some thousands.
fn single(rules: &[Rule], default: bool) -> Result<Vec<Instruction>, Error> {
    let mut kinds: BTreeMap<i32, BTreeMap<i32, BTreeMap<i32, i32>>> = BTreeMap::new();
    for (kind, major, minor) in rules.iter().filter_map(|rule| rule.device()) {
        let minors = kinds.entry(kind).or_default().entry(major).or_default();
        minors
            .entry(minor)
            .or_insert_with(|| allowed(rules, default, (kind, major, minor)));
    }
    let too_long = |_| Error::TooMany(rules.len());
    let mut all = Vec::new();
    let (mut to_verdict, mut to_general, mut of_kinds) = (Vec::new(), Vec::new(), Vec::new());
    for (kind, majors) in kinds {
        let of_kind = all.len();
        all.push(jump(code::UNEQUAL, KIND, kind, 0));
        for (major, minors) in majors {
            let of_major = all.len();
            all.push(jump(code::UNEQUAL, MAJOR, major, 0));
            for (minor, allowed) in minors {
                all.push(jump(code::UNEQUAL, MINOR, minor, 2));
                all.push(immediate(code::AND, ASKED, ALL & !allowed));
                to_verdict.push(all.len());
                all.push(jump(code::JUMP, 0, 0, 0));
            }
            to_general.push(all.len());
            all.push(jump(code::JUMP, 0, 0, 0));
            let past = i16::try_from(all.len() - of_major - 1).map_err(too_long)?;
            all[of_major].offset = past;
        }
        to_general.push(all.len());
        all.push(jump(code::JUMP, 0, 0, 0));
        // The next kind, or past the verdict.
        of_kinds.push((of_kind, all.len()));
    }
    if all.is_empty() {
        return Ok(all);
    }
    let verdict = all.len();
    all.extend([
        immediate(code::MOVE, ANSWER, 0),
        jump(code::UNEQUAL, ASKED, 0, 1),
        immediate(code::MOVE, ANSWER, 1),
        jump(code::EXIT, 0, 0, 0),
    ]);
    let general = all.len();
    for (at, next) in of_kinds {
        let next = if next == verdict { general } else { next };
        all[at].offset = i16::try_from(next - at - 1).map_err(too_long)?;
    }
    for (places, end) in [(to_verdict, verdict), (to_general, general)] {
        for at in places {
            all[at].offset = i16::try_from(end - at - 1).map_err(too_long)?;
        }
    }
    Ok(all)
}

/// What may be done with one device.
fn allowed(rules: &[Rule], default: bool, (kind, major, minor): (i32, i32, i32)) -> i32 {
    let fits = |rule: &&Rule| {
        rule.kind.is_none_or(|wanted| wanted == kind)
            && rule.major.is_none_or(|wanted| wanted == major)
            && rule.minor.is_none_or(|wanted| wanted == minor)
    };
    let (mut allowed, mut left) = (0, ALL);
    for rule in rules.iter().rev().filter(fits) {
        if rule.allow {
            allowed |= left & rule.access;
        }
        left &= !rule.access;
    }
    if default { allowed | left } else { allowed }
}

fn block(rule: Rule) -> Vec<Instruction> {
    let act: Vec<Instruction> = if rule.allow {
        let left = immediate(code::AND, ASKED, ALL & !rule.access);
        let some_left = jump(code::UNEQUAL, ASKED, 0, 2);
        [left, some_left].into_iter().chain(answer(true)).collect()
    } else {
        let denied = jump(code::COMMON, ASKED, rule.access, 1);
        let other = jump(code::JUMP, 0, 0, 2);
        [denied, other].into_iter().chain(answer(false)).collect()
    };
    let tests: Vec<(u8, i32)> = [(KIND, rule.kind), (MAJOR, rule.major), (MINOR, rule.minor)]
        .into_iter()
        .filter_map(|(register, wanted)| Some((register, wanted?)))
        .collect();
    let mut all = Vec::new();
    // Each goes past the rest of this rule: a few instructions, whatever there is.
    let mut rest = i16::try_from(tests.len() + act.len()).unwrap_or(i16::MAX);
    for (register, wanted) in tests {
        rest -= 1;
        all.push(jump(code::UNEQUAL, register, wanted, rest));
    }
    all.extend(act);
    all
}

fn answer(allow: bool) -> [Instruction; 2] {
    [
        immediate(code::MOVE, ANSWER, i32::from(allow)),
        jump(code::EXIT, 0, 0, 0),
    ]
}

const fn load(register: u8, offset: i16) -> Instruction {
    Instruction {
        code: code::LOAD,
        registers: (CONTEXT << 4) | register,
        offset,
        immediate: 0,
    }
}

const fn copy(to: u8, from: u8) -> Instruction {
    Instruction {
        code: code::COPY,
        registers: (from << 4) | to,
        offset: 0,
        immediate: 0,
    }
}

const fn immediate(code: u8, register: u8, immediate: i32) -> Instruction {
    Instruction {
        code,
        registers: register,
        offset: 0,
        immediate,
    }
}

const fn jump(code: u8, register: u8, immediate: i32, offset: i16) -> Instruction {
    Instruction {
        code,
        registers: register,
        offset,
        immediate,
    }
}

fn rule(rule: &LinuxDeviceCgroup) -> Result<Rule, Error> {
    let number = |number: Option<i64>| {
        number
            // Before there was a word for it in the spec, -1 meant any.
            .filter(|number| *number != -1)
            .map(|number| {
                i32::try_from(number)
                    .ok()
                    .filter(|number| *number >= 0)
                    .ok_or(Error::Number(number))
            })
            .transpose()
    };
    let kind = match rule.typ() {
        None | Some(LinuxDeviceType::A) => None,
        Some(LinuxDeviceType::B) => Some(BLOCK),
        Some(LinuxDeviceType::C | LinuxDeviceType::U) => Some(CHARACTER),
        Some(LinuxDeviceType::P) => return Err(Error::Kind),
    };
    let text = rule.access().as_deref().unwrap_or("rwm");
    let access = text.chars().try_fold(0, |access, letter| match letter {
        'r' => Ok(access | READ),
        'w' => Ok(access | WRITE),
        'm' => Ok(access | MAKE),
        _ => Err(Error::Access(text.to_owned())),
    })?;
    Ok(Rule {
        allow: rule.allow(),
        kind,
        major: number(rule.major())?,
        minor: number(rule.minor())?,
        access,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::LinuxDeviceCgroupBuilder;
    use proptest::prelude::*;

    /// A device and what is asked of it: kind, major, minor, access.
    type Asked = (i32, u32, u32, i32);

    /// As cgroup v1's files have them: `allow c 1:3 rw`.
    fn parse(text: &str) -> LinuxDeviceCgroup {
        let words: Vec<&str> = text.split([' ', ':']).collect();
        let [verb, kind, major, minor, access] = words[..] else {
            panic!("{text}: no rule")
        };
        let mut built = LinuxDeviceCgroupBuilder::default()
            .allow(verb == "allow")
            .access(access)
            .typ(match kind {
                "a" => LinuxDeviceType::A,
                "b" => LinuxDeviceType::B,
                _ => LinuxDeviceType::C,
            });
        if major != "*" {
            built = built.major(major.parse::<i64>().expect("a number"));
        }
        if minor != "*" {
            built = built.minor(minor.parse::<i64>().expect("a number"));
        }
        built.build().expect("a rule")
    }

    /// What the kernel would do with the few instructions that there are.
    fn interpret(program: &Program, (kind, major, minor, access): Asked) -> bool {
        let context = [
            u32::try_from((access << 16) | kind).expect("small"),
            major,
            minor,
        ];
        let mut registers = [0_u32; 11];
        let mut at = 0;
        for _ in 0..program.0.len() {
            let instruction = program.0[at];
            let to = usize::from(instruction.registers & 0xf);
            let from = usize::from(instruction.registers >> 4);
            let value = u32::from_ne_bytes(instruction.immediate.to_ne_bytes());
            at += 1;
            let mut jumps = false;
            match instruction.code {
                code::LOAD => {
                    assert_eq!(from, usize::from(CONTEXT));
                    registers[to] =
                        context[usize::try_from(instruction.offset / 4).expect("in it")];
                }
                code::MOVE => registers[to] = value,
                code::COPY => registers[to] = registers[from],
                code::AND => registers[to] &= value,
                code::SHIFT => registers[to] >>= value,
                code::JUMP => jumps = true,
                code::UNEQUAL => jumps = registers[to] != value,
                code::COMMON => jumps = registers[to] & value != 0,
                code::EXIT => return registers[usize::from(ANSWER)] == 1,
                other => panic!("instruction {other:#x} is not known"),
            }
            if jumps {
                at += usize::try_from(instruction.offset).expect("forward");
            }
        }
        panic!("it has no end")
    }

    /// The rules themselves, bit by bit.
    fn decide(rules: &[LinuxDeviceCgroup], (kind, major, minor, access): Asked) -> bool {
        let same = |wanted: Option<i32>, is: u32| {
            wanted.is_none_or(|wanted| i64::from(wanted) == i64::from(is))
        };
        let of = |bit: i32| {
            let fits = |rule: &Rule| {
                rule.kind.is_none_or(|wanted| wanted == kind)
                    && same(rule.major, major)
                    && same(rule.minor, minor)
                    && rule.access & bit != 0
            };
            let rules = rules.iter().map(|one| rule(one).expect("a rule"));
            rules.rev().find(fits).is_some_and(|rule| rule.allow)
        };
        [MAKE, READ, WRITE]
            .into_iter()
            .filter(|bit| access & bit != 0)
            .all(of)
    }

    fn check(rules: &[&str], asked: Asked, expect: bool) {
        let rules: Vec<_> = rules.iter().map(|rule| parse(rule)).collect();
        let program = compile(&rules).expect("a program");
        let answer = program.is_none_or(|program| interpret(&program, asked));
        assert_eq!(answer, expect, "{rules:?} of {asked:?}");
        assert_eq!(decide(&rules, asked), expect, "{rules:?} of {asked:?}");
    }

    #[test]
    fn rules_in_their_order() {
        let usual = [
            "deny a *:* rwm",
            "allow c *:* m",
            "allow b *:* m",
            "allow c 1:3 rwm",
            "allow c 136:* rwm",
            "allow b 8:0 r",
        ];
        check(&usual, (CHARACTER, 1, 3, READ | WRITE), true);
        check(&usual, (CHARACTER, 1, 5, READ), false);
        check(&usual, (CHARACTER, 136, 77, ALL), true);
        check(&usual, (BLOCK, 136, 77, READ), false);
        check(&usual, (BLOCK, 253, 0, MAKE), true);
        check(&usual, (BLOCK, 8, 0, READ), true);
        check(&usual, (BLOCK, 8, 0, WRITE), false);
        check(&usual, (BLOCK, 8, 0, READ | WRITE), false);
        check(&usual, (BLOCK, 8, 0, READ | MAKE), true);
        check(&[], (CHARACTER, 1, 3, READ), false);
        check(&["allow a *:* rwm"], (BLOCK, 8, 0, ALL), true);
        let holes = ["allow a *:* rwm", "deny c 1:* w"];
        check(&holes, (CHARACTER, 1, 3, READ), true);
        check(&holes, (CHARACTER, 1, 3, READ | WRITE), false);
        check(&holes, (BLOCK, 1, 3, WRITE), true);
        check(
            &["allow a *:* rwm", "deny a *:* rwm"],
            (BLOCK, 1, 1, READ),
            false,
        );
        check(
            &["deny a *:* rwm", "allow c -1:3 r"],
            (CHARACTER, 9, 3, READ),
            true,
        );
    }

    #[test]
    fn what_allows_everything_is_no_program() {
        assert_eq!(
            compile(&[parse("deny a *:* rwm"), parse("allow a *:* rwm")]),
            Ok(None)
        );
        assert!(
            compile(&[parse("allow a *:* rw")])
                .expect("a program")
                .is_some()
        );
    }

    #[test]
    fn hostile_rules() {
        let check = |rule: &str, expect: Error| {
            assert_eq!(compile(&[parse(rule)]), Err(expect));
        };
        check("allow c 4294967296:0 r", Error::Number(4_294_967_296));
        check("allow c 1:-2 r", Error::Number(-2));
        check("allow c 1:3 rx", Error::Access("rx".to_owned()));
        let general = vec![parse("allow c 1:* r"); GENERAL_MAX + 1];
        assert_eq!(compile(&general), Err(Error::TooMany(GENERAL_MAX + 1)));
        let many = vec![parse("allow c 1:3 r"); RULES_MAX + 1];
        assert_eq!(compile(&many), Err(Error::TooMany(RULES_MAX + 1)));
        assert!(compile(&many[1..]).is_ok());
    }

    fn any_rule() -> impl Strategy<Value = String> {
        let number = || prop_oneof![Just("*"), Just("0"), Just("1"), Just("2")];
        let verb = prop_oneof![Just("allow"), Just("deny")];
        let kind = prop_oneof![Just("a"), Just("b"), Just("c")];
        (verb, kind, number(), number(), 1..8).prop_map(|(verb, kind, major, minor, bits)| {
            let access: String = "mrw"
                .chars()
                .enumerate()
                .filter(|(at, _)| bits & (1 << at) != 0)
                .map(|(_, letter)| letter)
                .collect();
            format!("{verb} {kind} {major}:{minor} {access}")
        })
    }

    proptest! {
        #[test]
        fn a_program_decides_as_its_rules(
            rules in proptest::collection::vec(any_rule(), 0..12),
            kind in BLOCK..=CHARACTER, major in 0_u32..4, minor in 0_u32..4, access in MAKE..=ALL,
        ) {
            let rules: Vec<_> = rules.iter().map(|rule| parse(rule)).collect();
            let asked = (kind, major, minor, access);
            let program = compile(&rules).expect("a program");
            let answer = program.is_none_or(|program| interpret(&program, asked));
            prop_assert_eq!(answer, decide(&rules, asked));
        }
    }
}
