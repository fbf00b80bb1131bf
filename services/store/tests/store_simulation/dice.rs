//! What follows from a seed: every choice of a simulation, and a trace of what came of them.

use orlop_store::executor::random::follow;
use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// A source of choices. Clones go on from where each other is.
#[derive(Debug, Clone)]
pub(crate) struct Dice(Arc<Mutex<u64>>);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(seed)))
    }

    /// Others, that do not depend on how often these are thrown from now on.
    pub(crate) fn fork(&self) -> Self {
        Self::new(self.number())
    }

    pub(crate) fn number(&self) -> u64 {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (number, next) = follow(*state);
        *state = next;
        number
    }

    /// A number below `end`, which is not 0.
    pub(crate) fn below(&self, end: usize) -> usize {
        let end = u64::try_from(end).expect("64 bits");
        usize::try_from(self.number() % end).expect("below what was a usize")
    }

    /// True this often of a thousand times.
    pub(crate) fn chance(&self, per_mille: u64) -> bool {
        self.number() % 1000 < per_mille
    }

    /// Between these, both included.
    pub(crate) fn millis(&self, least: u64, most: u64) -> Duration {
        Duration::from_millis(least + self.number() % (most - least + 1))
    }

    pub(crate) fn choose<'a, T>(&self, among: &'a [T]) -> Option<&'a T> {
        (!among.is_empty()).then(|| &among[self.below(among.len())])
    }
}

/// Everything that happened, as a hash: two runs of one seed are equal, or something does not follow from the seed.
#[derive(Debug, Clone)]
pub(crate) struct Trace {
    begun: Instant,
    shared: Arc<Mutex<Noted>>,
    loud: bool,
}

#[derive(Debug)]
struct Noted {
    hash: u64,
    notes: u64,
}

impl Trace {
    /// Begins now. With `ORLOP_SIMULATION_TRACE` in the environment, it is also printed.
    pub(crate) fn begin() -> Self {
        let noted = Noted {
            hash: 0xCBF2_9CE4_8422_2325,
            notes: 0,
        };
        Self {
            begun: Instant::now(),
            shared: Arc::new(Mutex::new(noted)),
            loud: std::env::var_os("ORLOP_SIMULATION_TRACE").is_some(),
        }
    }

    pub(crate) fn note(&self, what: fmt::Arguments<'_>) {
        let line = format!("{:9.3} {what}", self.elapsed().as_secs_f64());
        if self.loud {
            println!("{line}");
        }
        let mut noted = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        noted.hash = hash(noted.hash, line.as_bytes());
        noted.notes += 1;
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// The hash so far, and of how many notes.
    pub(crate) fn hash(&self) -> (u64, u64) {
        let noted = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        (noted.hash, noted.notes)
    }
}

/// FNV-1a, going on from `state`.
pub(crate) fn hash(state: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(state, |state, byte| {
        (state ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3)
    })
}
