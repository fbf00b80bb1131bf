//! The last lines of something that is read from its beginning.

use std::collections::VecDeque;

/// Keeps what [`Tail::push`] was given last.
#[derive(Debug, Clone)]
pub struct Tail<T> {
    kept: VecDeque<T>,
    max: usize,
}

impl<T> Tail<T> {
    /// Keeps `lines` items, or all up to `bound` for 0; never more than `bound`.
    #[must_use]
    pub fn new(lines: u32, bound: usize) -> Self {
        let lines = usize::try_from(lines).unwrap_or(usize::MAX);
        Self {
            kept: VecDeque::new(),
            max: if lines == 0 { bound } else { lines.min(bound) },
        }
    }

    /// Adds an item and forgets the oldest where there are too many.
    pub fn push(&mut self, item: T) {
        if self.kept.len() == self.max {
            self.kept.pop_front();
        }
        self.kept.push_back(item);
    }

    /// The items, oldest first.
    pub fn into_items(self) -> impl Iterator<Item = T> {
        self.kept.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(lines: u32, expect: &[u32]) {
        let mut tail = Tail::new(lines, 4);
        (0..6).for_each(|item| tail.push(item));
        assert_eq!(
            tail.into_items().collect::<Vec<_>>(),
            expect,
            "{lines} lines"
        );
    }

    #[test]
    fn the_last_are_kept_within_the_bound() {
        check(0, &[2, 3, 4, 5]);
        check(1, &[5]);
        check(3, &[3, 4, 5]);
        check(100, &[2, 3, 4, 5]);
    }
}
