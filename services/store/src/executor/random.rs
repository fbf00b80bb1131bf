//! Random numbers: the system's; on a thread that was told so, those that follow from a seed.
//!
//! Everything random in a member comes from here: salts, the numbers of processes, and how long openraft waits for a sign of life.

use aws_lc_rs::rand;
use std::cell::Cell;

thread_local! {
    /// Where this thread has come to, if its numbers follow from a seed.
    static FOLLOWED: Cell<Option<u64>> = const { Cell::new(None) };
}

/// The next number.
#[must_use]
pub fn number() -> u64 {
    match FOLLOWED.get() {
        Some(state) => {
            let (number, next) = follow(state);
            FOLLOWED.set(Some(next));
            number
        }
        None => {
            let mut bytes = [0; 8];
            rand::fill(&mut bytes).expect("the system has random numbers");
            u64::from_be_bytes(bytes)
        }
    }
}

/// From now on, the numbers of this thread follow from this seed: for simulations.
pub fn seed_thread(seed: u64) {
    FOLLOWED.set(Some(seed));
}

/// SplitMix64 (Steele, Lea, Flood 2014): a number, and where to go on.
#[must_use]
pub fn follow(state: u64) -> (u64, u64) {
    let next = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut mixed = next;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (mixed ^ (mixed >> 31), next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seeded_thread_repeats_itself_and_others_do_not() {
        let run = |seed| {
            std::thread::spawn(move || {
                seed_thread(seed);
                [number(), number(), number()]
            })
            .join()
            .expect("no panic")
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
        assert_ne!(number(), number());
    }
}
