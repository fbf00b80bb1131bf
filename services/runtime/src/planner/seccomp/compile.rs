//! From a profile to a filter.
//!
//! ```text
//!   architecture ──x86-64──> number ──binary search over ranges──> answer
//!        │                                                └──> arguments ──> answer
//!        ├──i386───> number ── ...
//!        └──else───> kill the thread
//!
//!   numbers of x86-64, x32 among them (each range has one answer, or one chain of rules):
//!
//!   0            newest                0x40000000             newest | 0x40000000
//!   ├──── rules ────┼──── unknown ────────┼──────── rules ───────┼──── unknown ────┤
//! ```
//!
//! The kernel evaluates over `struct seccomp_data`: number, architecture, instruction pointer, six arguments. All
//! machines here are little-endian: an argument's low word comes first.

use super::{
    Error, INSTRUCTIONS_MAX, Program,
    assembler::{Assembler, Compare, Target},
    numbers::{Abi, X32_BIT, x86_behind},
};
use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompFilterFlag,
    LinuxSeccompOperator, LinuxSyscall,
};
use std::collections::BTreeMap;

/// linux/audit.h: `AUDIT_ARCH_X86_64`, which is x32's too.
pub(super) const AUDIT_X86_64: u32 = 0xc000_003e;
/// linux/audit.h: `AUDIT_ARCH_I386`.
pub(super) const AUDIT_X86: u32 = 0x4000_0003;

const OFFSET_NUMBER: u32 = 0;
const OFFSET_ARCHITECTURE: u32 = 4;
const OFFSET_ARGUMENTS: u32 = 16;
const ARGUMENTS: usize = 6;

/// libseccomp's answer to an architecture that is not asked for.
const BAD_ARCHITECTURE: u32 = libc::SECCOMP_RET_KILL_THREAD;

/// A tracer sets the number -1 for a call that shall not be made. It is no call of x32.
const SKIPPED: u32 = u32::MAX;

/// The filter for a profile.
///
/// # Errors
/// [`Error::Notify`], [`Error::Argument`], [`Error::Errno`] and [`Error::TooLong`].
pub fn compile(profile: &LinuxSeccomp) -> Result<Program, Error> {
    let default = answer(
        profile.default_action(),
        profile.default_errno_ret(),
        "default",
    )?;
    let has = |arch| {
        profile
            .architectures()
            .iter()
            .flatten()
            .any(|listed| *listed == arch)
    };
    let mut wide = vec![range(profile, Abi::X86_64, default)?];
    if has(Arch::ScmpArchX32) {
        wide.push(range(profile, Abi::X32, default)?);
    }
    let wide = numbers(wide, default, !has(Arch::ScmpArchX32));

    let mut code = Assembler::default();
    let other = if has(Arch::ScmpArchX86) {
        let narrow = numbers(vec![range(profile, Abi::X86, default)?], default, false);
        let search = search(&mut code, &narrow);
        let narrow = code.load(OFFSET_NUMBER, search);
        code.branch(
            Compare::Equal,
            AUDIT_X86,
            narrow,
            Target::Return(BAD_ARCHITECTURE),
        )
    } else {
        Target::Return(BAD_ARCHITECTURE)
    };
    let search = search(&mut code, &wide);
    let wide = code.load(OFFSET_NUMBER, search);
    let first = code.branch(Compare::Equal, AUDIT_X86_64, wide, other);
    let first = code.load(OFFSET_ARCHITECTURE, first);
    let instructions = code.finish(first);
    if instructions.len() > INSTRUCTIONS_MAX {
        return Err(Error::TooLong(instructions.len()));
    }
    Ok(Program {
        instructions,
        flags: flags(profile),
    })
}

/// What the kernel is to do, as a filter says it: the action, and 16 bits for the process or its tracer.
pub(super) fn answer(
    action: LinuxSeccompAction,
    value: Option<u32>,
    name: &str,
) -> Result<u32, Error> {
    let with_value = |action: u32| {
        let value = value.unwrap_or(libc::EPERM.unsigned_abs());
        match u16::try_from(value) {
            Ok(value) => Ok(action | u32::from(value)),
            Err(_) => Err(Error::Errno {
                name: name.to_owned(),
                value,
            }),
        }
    };
    match action {
        LinuxSeccompAction::ScmpActKill | LinuxSeccompAction::ScmpActKillThread => {
            Ok(libc::SECCOMP_RET_KILL_THREAD)
        }
        LinuxSeccompAction::ScmpActKillProcess => Ok(libc::SECCOMP_RET_KILL_PROCESS),
        LinuxSeccompAction::ScmpActTrap => Ok(libc::SECCOMP_RET_TRAP),
        LinuxSeccompAction::ScmpActErrno => with_value(libc::SECCOMP_RET_ERRNO),
        LinuxSeccompAction::ScmpActTrace => with_value(libc::SECCOMP_RET_TRACE),
        LinuxSeccompAction::ScmpActLog => Ok(libc::SECCOMP_RET_LOG),
        LinuxSeccompAction::ScmpActAllow => Ok(libc::SECCOMP_RET_ALLOW),
        LinuxSeccompAction::ScmpActNotify => Err(Error::Notify(name.to_owned())),
    }
}

/// What a call newer than the profile gets.
pub(super) fn unknown(default: u32) -> u32 {
    match default & libc::SECCOMP_RET_ACTION_FULL {
        // A tracer knows better what it can do without; the other two let it through.
        libc::SECCOMP_RET_ALLOW | libc::SECCOMP_RET_LOG | libc::SECCOMP_RET_TRACE => default,
        _ => libc::SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs(),
    }
}

/// One comparison of one argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Condition {
    argument: u32,
    operator: LinuxSeccompOperator,
    value: u64,
    /// Of `ScmpCmpMaskedEq`.
    mask: u64,
    /// Whether the high word counts.
    wide: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Alternative {
    conditions: Vec<Condition>,
    answer: u32,
}

/// What happens to a call of one number.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Decision {
    Return(u32),
    /// The first whose conditions hold; else the default.
    Chain(Vec<Alternative>, u32),
}

/// The numbers of one ABI.
struct Range {
    decisions: BTreeMap<u32, Decision>,
    /// All above this is unknown.
    newest: u32,
}

fn range(profile: &LinuxSeccomp, abi: Abi, default: u32) -> Result<Range, Error> {
    let mut decisions = BTreeMap::new();
    let mut newest = None;
    for rule in profile.syscalls().iter().flatten() {
        for name in rule.names() {
            let answer = answer(rule.action(), rule.errno_ret(), name)?;
            let alternatives = alternatives(rule, name, abi.wide())?;
            let number = abi.number(name);
            let behind = match (abi, x86_behind(name)) {
                (Abi::X86, Some((behind, first))) => {
                    abi.number(behind).map(|behind| (behind, first))
                }
                _ => None,
            };
            newest = newest.max(number).max(behind.map(|(behind, _)| behind));
            if answer == default {
                continue;
            }
            // Their other arguments are in memory, where no filter can look.
            if let Some((behind, first)) = behind
                && alternatives.is_empty()
            {
                let first = Condition {
                    argument: 0,
                    operator: LinuxSeccompOperator::ScmpCmpEq,
                    value: first,
                    mask: u64::MAX,
                    wide: false,
                };
                add(&mut decisions, behind, vec![vec![first]], answer, default);
            }
            if let Some(number) = number {
                add(&mut decisions, number, alternatives, answer, default);
            }
        }
    }
    Ok(Range {
        decisions,
        newest: newest.unwrap_or(abi.newest()),
    })
}

/// Adds a rule; one without alternatives holds always.
fn add(
    decisions: &mut BTreeMap<u32, Decision>,
    number: u32,
    alternatives: Vec<Vec<Condition>>,
    answer: u32,
    default: u32,
) {
    let decision = decisions
        .entry(number)
        .or_insert_with(|| Decision::Chain(Vec::new(), default));
    let Decision::Chain(chain, _) = decision else {
        return;
    };
    if alternatives.is_empty() {
        *decision = Decision::Return(answer);
        return;
    }
    for conditions in alternatives {
        if chain.iter().all(|before| before.conditions != conditions) {
            chain.push(Alternative { conditions, answer });
        }
    }
}

/// The conditions of a rule: one alternative with all, or one for each where two are for one argument.
fn alternatives(rule: &LinuxSyscall, name: &str, wide: bool) -> Result<Vec<Vec<Condition>>, Error> {
    let mut conditions = Vec::new();
    let mut seen = [false; ARGUMENTS];
    let mut twice = false;
    for arg in rule.args().iter().flatten() {
        let Some(seen) = seen.get_mut(arg.index()) else {
            return Err(Error::Argument {
                name: name.to_owned(),
                index: arg.index(),
            });
        };
        twice |= *seen;
        *seen = true;
        conditions.push(condition(arg, wide));
    }
    Ok(if conditions.is_empty() {
        Vec::new()
    } else if twice {
        conditions
            .into_iter()
            .map(|condition| vec![condition])
            .collect()
    } else {
        vec![conditions]
    })
}

fn condition(arg: &LinuxSeccompArg, wide: bool) -> Condition {
    let (mask, value) = match arg.op() {
        LinuxSeccompOperator::ScmpCmpMaskedEq => (
            arg.value(),
            arg.value_two().unwrap_or_default() & arg.value(),
        ),
        _ => (u64::MAX, arg.value()),
    };
    Condition {
        argument: u32::try_from(arg.index()).expect("it is below six"),
        operator: arg.op(),
        value,
        mask,
        wide,
    }
}

/// Decisions for all numbers, each from its first number on. The ranges are in order.
fn numbers(ranges: Vec<Range>, default: u32, without_x32: bool) -> Vec<(u32, Decision)> {
    let mut segments: Vec<(u32, Decision)> = Vec::new();
    let mut push = |from: u32, decision: Decision| {
        if segments.last().is_none_or(|(_, last)| *last != decision) {
            segments.push((from, decision));
        }
    };
    let mut from = 0;
    for range in ranges {
        for (number, decision) in range.decisions {
            if from < number {
                push(from, Decision::Return(default));
            }
            push(number, decision);
            from = number + 1;
        }
        if from <= range.newest {
            push(from, Decision::Return(default));
        }
        push(range.newest + 1, Decision::Return(unknown(default)));
        from = X32_BIT;
    }
    if without_x32 {
        push(X32_BIT, Decision::Return(BAD_ARCHITECTURE));
        push(SKIPPED, Decision::Return(unknown(default)));
    }
    segments
}

/// Goes from the loaded number to its decision.
fn search(code: &mut Assembler, segments: &[(u32, Decision)]) -> Target {
    match segments {
        [] => unreachable!("there is a decision for number 0"),
        [(_, Decision::Return(answer))] => Target::Return(*answer),
        [(_, Decision::Chain(chain, default))] => {
            chain
                .iter()
                .rev()
                .fold(Target::Return(*default), |otherwise, alternative| {
                    let then = Target::Return(alternative.answer);
                    alternative
                        .conditions
                        .iter()
                        .rev()
                        .fold(then, |then, condition| {
                            compare(code, *condition, then, otherwise)
                        })
                })
        }
        _ => {
            let (below, above) = segments.split_at(segments.len() / 2);
            let from = above[0].0;
            let above = search(code, above);
            let below = search(code, below);
            code.branch(Compare::GreaterOrEqual, from, above, below)
        }
    }
}

fn compare(code: &mut Assembler, condition: Condition, yes: Target, no: Target) -> Target {
    let Condition {
        argument,
        operator,
        value,
        mask,
        wide,
    } = condition;
    let low = Word {
        offset: OFFSET_ARGUMENTS + 8 * argument,
        value: low(value),
        mask: low(mask),
    };
    let high = wide.then_some(Word {
        offset: low.offset + 4,
        value: high(value),
        mask: high(mask),
    });
    match operator {
        LinuxSeccompOperator::ScmpCmpEq | LinuxSeccompOperator::ScmpCmpMaskedEq => {
            equal(code, low, high, yes, no)
        }
        LinuxSeccompOperator::ScmpCmpNe => equal(code, low, high, no, yes),
        LinuxSeccompOperator::ScmpCmpGt => ordered(code, Compare::Greater, low, high, yes, no),
        LinuxSeccompOperator::ScmpCmpLe => ordered(code, Compare::Greater, low, high, no, yes),
        LinuxSeccompOperator::ScmpCmpGe => {
            ordered(code, Compare::GreaterOrEqual, low, high, yes, no)
        }
        LinuxSeccompOperator::ScmpCmpLt => {
            ordered(code, Compare::GreaterOrEqual, low, high, no, yes)
        }
    }
}

/// Half of an argument.
#[derive(Clone, Copy)]
struct Word {
    offset: u32,
    value: u32,
    mask: u32,
}

fn equal(code: &mut Assembler, low: Word, high: Option<Word>, yes: Target, no: Target) -> Target {
    let mut next = yes;
    for word in [Some(low), high].into_iter().flatten() {
        if word.mask == 0 {
            continue;
        }
        next = code.branch(Compare::Equal, word.value, next, no);
        if word.mask != u32::MAX {
            next = code.and(word.mask, next);
        }
        next = code.load(word.offset, next);
    }
    next
}

/// By the high words; where these are equal, by the low ones.
fn ordered(
    code: &mut Assembler,
    compare: Compare,
    low: Word,
    high: Option<Word>,
    yes: Target,
    no: Target,
) -> Target {
    let next = code.branch(compare, low.value, yes, no);
    let next = code.load(low.offset, next);
    let Some(high) = high else {
        return next;
    };
    let next = code.branch(Compare::Equal, high.value, next, no);
    let next = code.branch(Compare::Greater, high.value, yes, next);
    code.load(high.offset, next)
}

fn low(value: u64) -> u32 {
    u32::try_from(value & u64::from(u32::MAX)).expect("it has 32 bits")
}

fn high(value: u64) -> u32 {
    u32::try_from(value >> 32).expect("it has 32 bits")
}

/// Without a list, mitigations that cost much stay off, as runc has it; TSYNC is for programs with threads, and the
/// last flag for filters that ask.
fn flags(profile: &LinuxSeccomp) -> u32 {
    let spec_allow = number_of(libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW);
    let Some(flags) = profile.flags() else {
        return spec_allow;
    };
    flags.iter().fold(0, |flags, flag| {
        flags
            | match flag {
                LinuxSeccompFilterFlag::SeccompFilterFlagLog => {
                    number_of(libc::SECCOMP_FILTER_FLAG_LOG)
                }
                LinuxSeccompFilterFlag::SeccompFilterFlagSpecAllow => spec_allow,
                LinuxSeccompFilterFlag::SeccompFilterFlagTsync
                | LinuxSeccompFilterFlag::SeccompFilterFlagWaitKillableRecv => 0,
            }
    })
}

fn number_of(flag: libc::c_ulong) -> u32 {
    u32::try_from(flag).expect("flags have few bits")
}
