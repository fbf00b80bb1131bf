//! The time that it cannot be earlier than: when the program was built, or when a synchronised clock
//! was last saved.
//!
//! A machine whose clock battery is empty starts in 1970. Every certificate is "not yet valid" there, so
//! its operator could not even talk to it.

use super::{Nanos, SECOND};

/// A saved time this far behind the build is not believed: the clock was wrong when it was saved.
const SAVED_MAX_AFTER_BUILD: Nanos = 30 * 365 * 86_400 * SECOND;

/// The floor from the time of the build and the last saved time.
#[must_use]
pub fn floor(built: Nanos, saved: Option<Nanos>) -> Nanos {
    let believable = |saved: &Nanos| *saved <= built.saturating_add(SAVED_MAX_AFTER_BUILD);
    saved
        .filter(believable)
        .map_or(built, |saved| saved.max(built))
}

/// How far the clock has to be stepped to be at the floor; none where it is not before it.
#[must_use]
pub fn lift(wall: Nanos, floor: Nanos) -> Option<Nanos> {
    (wall < floor).then(|| floor.saturating_sub(wall))
}

#[cfg(test)]
mod tests {
    use super::*;

    const YEAR: Nanos = 365 * 86_400 * SECOND;

    fn check(wall: Nanos, built: Nanos, saved: Option<Nanos>, expect: Option<Nanos>) {
        let [wall, built] = [wall, built].map(|year| year * YEAR);
        let floor = floor(built, saved.map(|year| year * YEAR));
        assert_eq!(lift(wall, floor), expect.map(|years| years * YEAR));
    }

    #[test]
    fn a_clock_before_the_floor_is_lifted_to_it() {
        check(0, 56, None, Some(56));
        check(57, 56, None, None);
        check(0, 56, Some(57), Some(57));
        check(56, 56, Some(57), Some(1));
        check(58, 56, Some(57), None);
        check(0, 56, Some(20), Some(56));
        check(0, 56, Some(200), Some(56));
    }
}
