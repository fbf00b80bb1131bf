//! Mutations from a seed: the same number gives the same bytes on every machine, so a run in CI fails for
//! a reason or not at all.

/// Most changes of one input.
const CHANGES_MAX: usize = 8;
/// Longest piece that is copied, moved or removed.
const PIECE_MAX: usize = 64;
/// Longest input.
pub const LENGTH_MAX: usize = 256 * 1024;
/// Numbers at which lengths and counters go wrong.
const EDGES: [u64; 12] = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0x100,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0xffff_ffff,
    i64::MAX.cast_unsigned(),
    u64::MAX,
];

/// SplitMix64. Good for trying things, for nothing else.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The sequence of this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is at least 1.
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound.max(1)).unwrap_or(u64::MAX);
        usize::try_from(self.next() % bound).unwrap_or(0)
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }
}

/// One of the seeds with a few changes; pieces of the others are spliced in.
#[must_use]
pub fn mutated(seeds: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let pick = |random: &mut Random| seeds.get(random.below(seeds.len())).cloned();
    let mut bytes = pick(random).unwrap_or_default();
    for _ in 0..=random.below(CHANGES_MAX) {
        change(&mut bytes, random, pick);
    }
    bytes.truncate(LENGTH_MAX);
    bytes
}

fn change(bytes: &mut Vec<u8>, random: &mut Random, pick: impl Fn(&mut Random) -> Option<Vec<u8>>) {
    let at = random.below(bytes.len() + 1);
    let end = (at + 1 + random.below(PIECE_MAX)).min(bytes.len());
    match random.below(10) {
        0 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
        1 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = random.byte();
            }
        }
        2 => bytes.insert(at, random.byte()),
        3 => drop(bytes.drain(at..end.max(at))),
        4 => bytes.truncate(at),
        5 => {
            let piece = bytes[at..end.max(at)].to_vec();
            let to = random.below(bytes.len() + 1);
            bytes.splice(to..to, piece);
        }
        6 => {
            let other = pick(random).unwrap_or_default();
            let from = random.below(other.len() + 1);
            let until = (from + 1 + random.below(PIECE_MAX)).min(other.len());
            bytes.splice(at..at, other[from..until.max(from)].iter().copied());
        }
        7 => bytes[at..end.max(at)].fill([0, 0xff][random.below(2)]),
        _ => number(bytes, at, random),
    }
}

/// Puts a number at which lengths go wrong, or one near what is there, in either byte order.
fn number(bytes: &mut [u8], at: usize, random: &mut Random) {
    let width = 1 << random.below(4);
    let Some(place) = bytes.get_mut(at..at + width) else {
        return;
    };
    let mut old = [0_u8; 8];
    old[..width].copy_from_slice(place);
    let value = match random.below(3) {
        0 => u64::from_le_bytes(old).wrapping_add(1),
        1 => u64::from_le_bytes(old).wrapping_sub(1),
        _ => EDGES[random.below(EDGES.len())],
    };
    place.copy_from_slice(&value.to_le_bytes()[..width]);
    if random.below(2) == 1 {
        place.reverse();
    }
}
