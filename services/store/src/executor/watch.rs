//! A value that many watch: each sees the latest, and is woken when it changes.
//!
//! As tokio's, but those who wait are woken in the order in which they came. tokio's wakes them in an order of its own random
//! numbers, so that nothing that stands on it could be repeated from a seed.

use openraft::{
    OptionalSend, OptionalSync,
    async_runtime::watch::{self, RecvError, SendError},
};
use std::{
    collections::BTreeMap,
    fmt,
    ops::Deref,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
};

/// All senders are gone: the value changes no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nobody is left to change the value")]
pub struct Closed;

struct Shared<T> {
    value: RwLock<T>,
    /// Counts changes; written while `value` is locked for writing.
    version: AtomicU64,
    senders: AtomicUsize,
    receivers: AtomicUsize,
    waiting: Mutex<Waiting>,
}

/// Those who wait, in the order in which they came.
#[derive(Default)]
struct Waiting {
    next: u64,
    wakers: BTreeMap<u64, Waker>,
}

impl<T> Shared<T> {
    fn read(&self) -> Ref<'_, T> {
        Ref(self.value.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        let wakers = std::mem::take(&mut self.waiting().wakers);
        wakers.into_values().for_each(Waker::wake);
    }

    fn modify(&self, modify: impl FnOnce(&mut T) -> bool) -> bool {
        let mut value = self.value.write().unwrap_or_else(PoisonError::into_inner);
        let modified = modify(&mut value);
        if modified {
            self.version.fetch_add(1, Ordering::Release);
        }
        drop(value);
        if modified {
            self.wake();
        }
        modified
    }
}

/// The value, which does not change while this is held.
pub struct Ref<'a, T>(RwLockReadGuard<'a, T>);

impl<T> Deref for Ref<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// Who changes the value.
pub struct Sender<T>(Arc<Shared<T>>);

impl<T> Sender<T> {
    /// Of a value.
    #[must_use]
    pub fn new(value: T) -> Self {
        Self(Arc::new(Shared {
            value: RwLock::new(value),
            version: AtomicU64::new(0),
            senders: AtomicUsize::new(1),
            receivers: AtomicUsize::new(0),
            waiting: Mutex::default(),
        }))
    }

    /// One more who watches; he has seen what is there now.
    #[must_use]
    pub fn subscribe(&self) -> Receiver<T> {
        self.0.receivers.fetch_add(1, Ordering::Relaxed);
        Receiver {
            seen: self.0.version(),
            shared: self.0.clone(),
        }
    }

    /// The value.
    #[must_use]
    pub fn borrow(&self) -> Ref<'_, T> {
        self.0.read()
    }

    /// Puts another in its place, and returns it.
    pub fn send_replace(&self, mut value: T) -> T {
        self.send_modify(|current| std::mem::swap(current, &mut value));
        value
    }

    /// Changes it.
    pub fn send_modify(&self, modify: impl FnOnce(&mut T)) {
        self.0.modify(|value| {
            modify(value);
            true
        });
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.senders.fetch_add(1, Ordering::Relaxed);
        Self(self.0.clone())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        if self.0.senders.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.wake();
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Sender").finish_non_exhaustive()
    }
}

/// Who watches the value.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    /// The change that he has seen.
    seen: u64,
}

impl<T> Receiver<T> {
    /// The value.
    #[must_use]
    pub fn borrow(&self) -> Ref<'_, T> {
        self.shared.read()
    }

    /// The value, which counts as seen.
    pub fn borrow_and_update(&mut self) -> Ref<'_, T> {
        let value = self.shared.read();
        self.seen = self.shared.version();
        value
    }

    /// Waits for a change that has not been seen, and counts it as seen.
    ///
    /// # Errors
    /// There will be none.
    pub async fn changed(&mut self) -> Result<(), Closed> {
        let change = Change {
            shared: &self.shared,
            seen: self.seen,
            place: None,
        };
        self.seen = change.await?;
        Ok(())
    }

    /// Waits until the value is as wanted; it may be so already.
    ///
    /// # Errors
    /// It never will be.
    pub async fn wait_for(&mut self, mut wanted: impl FnMut(&T) -> bool) -> Result<(), Closed> {
        while !wanted(&self.borrow_and_update()) {
            self.changed().await?;
        }
        Ok(())
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        self.shared.receivers.fetch_add(1, Ordering::Relaxed);
        Self {
            shared: self.shared.clone(),
            seen: self.seen,
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.receivers.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = formatter.debug_struct("Receiver");
        text.field("seen", &self.seen).finish_non_exhaustive()
    }
}

/// Comes to the first change after the one that was seen.
struct Change<'a, T> {
    shared: &'a Shared<T>,
    seen: u64,
    /// In the queue.
    place: Option<u64>,
}

impl<T> Future for Change<'_, T> {
    type Output = Result<u64, Closed>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // A change or an end that is not seen below finds the waker that is left under this lock.
        let mut waiting = self.shared.waiting();
        let version = self.shared.version();
        if version != self.seen {
            return Poll::Ready(Ok(version));
        }
        if self.shared.senders.load(Ordering::Acquire) == 0 {
            return Poll::Ready(Err(Closed));
        }
        let place = self.place.unwrap_or_else(|| {
            waiting.next += 1;
            waiting.next
        });
        waiting.wakers.insert(place, context.waker().clone());
        drop(waiting);
        self.place = Some(place);
        Poll::Pending
    }
}

impl<T> Drop for Change<'_, T> {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.shared.waiting().wakers.remove(&place);
        }
    }
}

/// Watches of openraft's.
#[derive(Debug)]
pub struct Watch;

impl watch::Watch for Watch {
    type Sender<T: OptionalSend + OptionalSync> = Sender<T>;
    type Receiver<T: OptionalSend + OptionalSync> = Receiver<T>;
    type Ref<'a, T: OptionalSend + 'a> = Ref<'a, T>;

    fn channel<T: OptionalSend + OptionalSync>(value: T) -> (Sender<T>, Receiver<T>) {
        let sender = Sender::new(value);
        let receiver = sender.subscribe();
        (sender, receiver)
    }
}

impl<T: OptionalSend + OptionalSync> watch::WatchSender<Watch, T> for Sender<T> {
    fn send(&self, value: T) -> Result<(), SendError<T>> {
        if self.0.receivers.load(Ordering::Relaxed) == 0 {
            return Err(SendError(value));
        }
        self.send_replace(value);
        Ok(())
    }

    fn send_if_modified<F>(&self, modify: F) -> bool
    where
        F: FnOnce(&mut T) -> bool,
    {
        self.0.modify(modify)
    }

    fn borrow_watched(&self) -> Ref<'_, T> {
        self.borrow()
    }

    fn subscribe(&self) -> Receiver<T> {
        self.subscribe()
    }
}

impl<T: OptionalSend + OptionalSync> watch::WatchReceiver<Watch, T> for Receiver<T> {
    async fn changed(&mut self) -> Result<(), RecvError> {
        self.changed().await.map_err(|Closed| RecvError(()))
    }

    fn borrow_watched(&self) -> Ref<'_, T> {
        self.borrow()
    }

    fn borrow_and_update(&mut self) -> Ref<'_, T> {
        self.borrow_and_update()
    }
}

/// Makes futures that are done when `stopping` is true, or nobody is left to say so.
pub fn done(
    stopping: Receiver<bool>,
) -> impl Fn() -> Pin<Box<dyn Future<Output = ()> + Send>> + Clone + Send + 'static {
    move || {
        let mut stopping = stopping.clone();
        Box::pin(async move {
            let _ = stopping.wait_for(|stopping| *stopping).await;
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{pin::pin, task::Wake};

    /// Notes who was woken.
    struct Bell {
        name: u32,
        rung: Arc<Mutex<Vec<u32>>>,
    }

    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            self.rung.lock().expect("no panic").push(self.name);
        }
    }

    fn poll<F: Future>(future: Pin<&mut F>, name: u32, rung: &Arc<Mutex<Vec<u32>>>) -> bool {
        let rung = rung.clone();
        let waker = Arc::new(Bell { name, rung }).into();
        future.poll(&mut Context::from_waker(&waker)).is_ready()
    }

    #[test]
    fn who_waits_is_woken_in_order() {
        let sender = Sender::new(0);
        let mut receivers: Vec<_> = (0..20).map(|_| sender.subscribe()).collect();
        let rung = Arc::default();
        let mut waits: Vec<_> = receivers
            .iter_mut()
            .map(|receiver| Box::pin(receiver.changed()))
            .collect();
        for (wait, name) in waits.iter_mut().zip(0..) {
            assert!(!poll(wait.as_mut(), name, &rung));
        }
        // Who looks again keeps his place; who leaves has none.
        assert!(!poll(waits[3].as_mut(), 3, &rung));
        drop(waits.remove(7));
        sender.send_replace(1);
        let expect: Vec<u32> = (0..20).filter(|name| *name != 7).collect();
        assert_eq!(*rung.lock().expect("no panic"), expect);
        for wait in &mut waits {
            assert!(poll(wait.as_mut(), 0, &rung));
        }
    }

    #[test]
    fn each_change_is_seen_once() {
        let sender = Sender::new(0);
        let mut receiver = sender.subscribe();
        let rung = Arc::default();
        assert!(!poll(pin!(receiver.changed()), 0, &rung));
        sender.send_modify(|value| *value = 1);
        sender.send_modify(|value| *value = 2);
        let mut copy = receiver.clone();
        assert!(poll(pin!(receiver.changed()), 0, &rung));
        assert_eq!(*receiver.borrow(), 2);
        assert!(!poll(pin!(receiver.changed()), 0, &rung));
        assert_eq!(*copy.borrow_and_update(), 2);
        assert!(!poll(pin!(copy.changed()), 0, &rung));
        // A change that is said to be none is told to nobody.
        assert!(!watch::WatchSender::send_if_modified(&sender, |value| {
            *value = 3;
            false
        }));
        assert!(!poll(pin!(receiver.changed()), 0, &rung));
        assert_eq!(*sender.borrow(), 3);
    }

    #[tokio::test]
    async fn a_wait_ends_with_the_value_or_with_the_last_sender() {
        let sender = Sender::new(1);
        let mut receiver = sender.subscribe();
        assert_eq!(receiver.wait_for(|value| *value == 1).await, Ok(()));
        let other = sender.clone();
        let wait = tokio::spawn(async move {
            let three = receiver.wait_for(|value| *value == 3).await;
            (three, receiver.wait_for(|value| *value == 4).await)
        });
        tokio::task::yield_now().await;
        other.send_replace(3);
        drop(other);
        tokio::task::yield_now().await;
        drop(sender);
        assert_eq!(wait.await.expect("no panic"), (Ok(()), Err(Closed)));
    }

    #[test]
    fn nobody_is_told() {
        let sender = Sender::new(1);
        let sent = watch::WatchSender::send(&sender, 2);
        assert_eq!((sent, *sender.borrow()), (Err(SendError(2)), 1));
        let _receiver = sender.subscribe();
        assert_eq!(watch::WatchSender::send(&sender, 2), Ok(()));
        assert_eq!(*sender.borrow(), 2);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn nothing_is_missed_between_threads() {
        let sender = Sender::new(0);
        let waits: Vec<_> = (0..4)
            .map(|_| {
                let mut receiver = sender.subscribe();
                tokio::spawn(async move {
                    for target in (0..=2000).step_by(10) {
                        let reached = receiver.wait_for(|value| *value >= target).await;
                        reached.expect("the sender is there");
                    }
                })
            })
            .collect();
        for value in 1..=2000 {
            sender.send_replace(value);
            if value % 50 == 0 {
                tokio::task::yield_now().await;
            }
        }
        for wait in waits {
            wait.await.expect("no panic");
        }
    }
}
