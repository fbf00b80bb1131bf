//! Calls that were answered with a URL and wait for who comes to it: each once, and not for long.
//!
//! Source: k8s.io/kubelet/pkg/cri/streaming/request_cache.go, whose numbers these are. Its bound is on calls alone; commands may be
//! long, so there is one on bytes too.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

/// How long one waits.
pub const WAITS_MAX: Duration = Duration::from_secs(60);
/// Calls that wait.
pub const CALLS_MAX: usize = 1000;
/// Bytes of all their commands.
pub const BYTES_MAX: usize = 16 * 1024 * 1024;

/// There are too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("maximum number of in-flight requests exceeded")]
pub struct TooMany;

/// All that wait. Times are since any fixed moment.
#[derive(Debug)]
pub struct Tokens<T> {
    waiting: HashMap<String, (T, usize)>,
    /// In the order in which they came, and so that in which they go. Some are gone already.
    order: VecDeque<(Duration, String)>,
    bytes: usize,
}

impl<T> Default for Tokens<T> {
    fn default() -> Self {
        Self {
            waiting: HashMap::new(),
            order: VecDeque::new(),
            bytes: 0,
        }
    }
}

impl<T> Tokens<T> {
    /// A call of so many bytes waits under this token, which nobody can guess.
    ///
    /// # Errors
    /// [`TooMany`].
    pub fn insert(
        &mut self,
        now: Duration,
        token: String,
        call: T,
        bytes: usize,
    ) -> Result<(), TooMany> {
        self.expire(now);
        if self.waiting.len() >= CALLS_MAX || self.bytes.saturating_add(bytes) > BYTES_MAX {
            return Err(TooMany);
        }
        self.bytes += bytes;
        self.order.push_back((now, token.clone()));
        self.waiting.insert(token, (call, bytes));
        Ok(())
    }

    /// The call that waits under a token, which waits no longer.
    pub fn take(&mut self, now: Duration, token: &str) -> Option<T> {
        self.expire(now);
        self.remove(token)
    }

    fn remove(&mut self, token: &str) -> Option<T> {
        let (call, bytes) = self.waiting.remove(token)?;
        self.bytes = self.bytes.saturating_sub(bytes);
        Some(call)
    }

    fn expire(&mut self, now: Duration) {
        while let Some((since, token)) = self.order.front() {
            let is_old = now.saturating_sub(*since) >= WAITS_MAX;
            if !is_old && self.waiting.contains_key(token) {
                return;
            }
            if let Some((_, token)) = self.order.pop_front() {
                self.remove(&token);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1000);

    #[test]
    fn once_and_not_for_long() {
        let mut tokens = Tokens::default();
        tokens.insert(NOW, "a".to_owned(), 1, 0).unwrap();
        tokens.insert(NOW, "b".to_owned(), 2, 0).unwrap();
        assert_eq!(tokens.take(NOW, "c"), None);
        assert_eq!(tokens.take(NOW, "a"), Some(1));
        assert_eq!(tokens.take(NOW, "a"), None);
        let late = NOW + WAITS_MAX;
        assert_eq!(
            tokens.take(late.saturating_sub(Duration::from_nanos(1)), "x"),
            None
        );
        assert!(tokens.waiting.contains_key("b"));
        assert_eq!(tokens.take(late, "b"), None);
        assert!(tokens.order.is_empty());
    }

    #[test]
    fn bounds_hold() {
        let mut tokens = Tokens::default();
        for number in 0..CALLS_MAX {
            tokens.insert(NOW, number.to_string(), (), 0).unwrap();
        }
        assert_eq!(tokens.insert(NOW, "one".to_owned(), (), 0), Err(TooMany));
        tokens.take(NOW, "500").unwrap();
        tokens.insert(NOW, "one".to_owned(), (), 0).unwrap();
        // Calls that come and go leave nothing behind once their time is over.
        for _ in 0..10 * CALLS_MAX {
            tokens.take(NOW, "one").unwrap();
            tokens.insert(NOW, "one".to_owned(), (), 0).unwrap();
        }
        tokens.take(NOW + WAITS_MAX, "");
        assert!(tokens.order.is_empty() && tokens.waiting.is_empty());
        tokens
            .insert(NOW, "long".to_owned(), (), BYTES_MAX)
            .unwrap();
        assert_eq!(tokens.insert(NOW, "short".to_owned(), (), 1), Err(TooMany));
    }
}
