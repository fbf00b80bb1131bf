//! Writes classic BPF from its end to its beginning, so that the way to each target is known when a jump is written.
//!
//! A conditional jump reaches 255 instructions. Where its target is further, it goes by way of an unconditional jump,
//! or of another return, right behind it.

use std::collections::HashMap;

/// One instruction of classic BPF: the kernel's `struct sock_filter`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    /// Which operation.
    pub code: u16,
    /// How many instructions to pass over where a condition holds.
    pub jump_true: u8,
    /// And where it does not.
    pub jump_false: u8,
    /// Its operand.
    pub operand: u32,
}

impl Instruction {
    /// As it lies in memory.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 8] {
        let [code_0, code_1] = self.code.to_ne_bytes();
        let [operand_0, operand_1, operand_2, operand_3] = self.operand.to_ne_bytes();
        [
            code_0,
            code_1,
            self.jump_true,
            self.jump_false,
            operand_0,
            operand_1,
            operand_2,
            operand_3,
        ]
    }
}

/// `BPF_LD | BPF_W | BPF_ABS`: a word of `struct seccomp_data`.
pub(super) const LOAD: u16 = 0x20;
/// `BPF_ALU | BPF_AND | BPF_K`.
pub(super) const AND: u16 = 0x54;
/// `BPF_JMP | BPF_JA`.
pub(super) const JUMP: u16 = 0x05;
/// `BPF_RET | BPF_K`.
pub(super) const RETURN: u16 = 0x06;

/// A comparison of the loaded word with an operand, unsigned: `BPF_JMP | BPF_K` with one of three.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compare {
    Equal,
    Greater,
    GreaterOrEqual,
}

impl Compare {
    fn code(self) -> u16 {
        match self {
            Self::Equal => 0x15,
            Self::Greater => 0x25,
            Self::GreaterOrEqual => 0x35,
        }
    }
}

/// Where to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// At an instruction, counted from the program's end.
    At(usize),
    /// Nowhere: the filter's answer.
    Return(u32),
}

/// A program, growing at its front.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    /// The last one first.
    reversed: Vec<Instruction>,
    /// The latest return of each answer.
    returns: HashMap<u32, usize>,
}

/// What a conditional jump reaches, without the one instruction that may still come between.
const REACH: usize = 254;

impl Assembler {
    /// Loads the word at `offset`, then goes on.
    pub(super) fn load(&mut self, offset: u32, next: Target) -> Target {
        self.before(next, LOAD, offset)
    }

    /// Keeps the bits of `mask` of the loaded word, then goes on.
    pub(super) fn and(&mut self, mask: u32, next: Target) -> Target {
        self.before(next, AND, mask)
    }

    /// Goes to `yes` or `no`.
    pub(super) fn branch(
        &mut self,
        compare: Compare,
        operand: u32,
        yes: Target,
        no: Target,
    ) -> Target {
        let yes = self.near(yes);
        let no = self.near(no);
        let distance = |target| {
            u8::try_from(self.reversed.len() - 1 - target).expect("a near target is in reach")
        };
        let (jump_true, jump_false) = (distance(yes), distance(no));
        self.push(Instruction {
            code: compare.code(),
            jump_true,
            jump_false,
            operand,
        })
    }

    /// The program that begins with `first`.
    pub(super) fn finish(mut self, first: Target) -> Vec<Instruction> {
        self.follow(first);
        self.reversed.reverse();
        self.reversed
    }

    fn before(&mut self, next: Target, code: u16, operand: u32) -> Target {
        self.follow(next);
        self.push(plain(code, operand))
    }

    /// Makes the target the very next instruction.
    fn follow(&mut self, target: Target) {
        match target {
            Target::At(at) if at + 1 == self.reversed.len() => {}
            Target::At(at) => {
                self.jump(at);
            }
            Target::Return(answer) => {
                self.answer(answer);
            }
        }
    }

    /// Where a conditional jump to the target has to go.
    fn near(&mut self, target: Target) -> usize {
        let reached = |at: usize| self.reversed.len() - at <= REACH;
        match target {
            Target::At(at) if reached(at) => at,
            Target::At(at) => self.jump(at),
            Target::Return(answer) => match self.returns.get(&answer) {
                Some(at) if reached(*at) => *at,
                _ => self.answer(answer),
            },
        }
    }

    fn jump(&mut self, at: usize) -> usize {
        let distance = u32::try_from(self.reversed.len() - 1 - at)
            .expect("a profile's text is shorter than 4 GiB");
        self.reversed.push(plain(JUMP, distance));
        self.reversed.len() - 1
    }

    fn answer(&mut self, answer: u32) -> usize {
        self.reversed.push(plain(RETURN, answer));
        let at = self.reversed.len() - 1;
        self.returns.insert(answer, at);
        at
    }

    fn push(&mut self, instruction: Instruction) -> Target {
        self.reversed.push(instruction);
        Target::At(self.reversed.len() - 1)
    }
}

fn plain(code: u16, operand: u32) -> Instruction {
    Instruction {
        code,
        jump_true: 0,
        jump_false: 0,
        operand,
    }
}
