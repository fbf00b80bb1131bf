//! A disk that forgets what was not flushed: all of it, or any part, sector by sector.
//!
//! What a real disk may do at a power cut: a write since the last flush of its file is kept, lost, or kept in part;
//! a name since the last flush of the directory likewise, in order (file systems journal names in order).

use super::disk::{Disk, File};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// A power cut keeps or loses whole sectors.
const SECTOR: usize = 512;

/// What a power cut does to what was not flushed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Crash {
    /// All of it is lost.
    Clean,
    /// Each sector and each name is kept or lost, as the seed has it.
    Torn { seed: u64 },
    /// Nothing, yet: the process was killed, the disk was not.
    Kill,
}

#[derive(Debug, Clone, Default)]
struct Inode {
    durable: Vec<u8>,
    now: Vec<u8>,
}

#[derive(Debug, Default)]
struct State {
    inodes: Vec<Inode>,
    names: BTreeMap<String, usize>,
    /// The directory as it was flushed last.
    durable_names: BTreeMap<String, usize>,
    /// The directory after each change since then.
    unflushed_names: Vec<BTreeMap<String, usize>>,
    operations_left: Option<usize>,
    space_left: Option<usize>,
    syncs: usize,
}

impl State {
    /// Counts one operation that changes something.
    fn change(&mut self) -> io::Result<()> {
        match &mut self.operations_left {
            Some(0) => Err(io::Error::other("the power is gone")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn names_changed(&mut self) {
        self.unflushed_names.push(self.names.clone());
    }
}

/// The disk; clones are the same disk.
#[derive(Debug, Clone, Default)]
pub(crate) struct Simulated {
    state: Arc<Mutex<State>>,
}

impl Simulated {
    /// Every change after this many fails, as if the machine were off.
    pub(crate) fn fail_after(&self, operations: usize) {
        self.lock().operations_left = Some(operations);
    }

    /// Writes beyond this many bytes fail, in part, as on a full disk; None: there is space.
    pub(crate) fn space(&self, bytes: Option<usize>) {
        self.lock().space_left = bytes;
    }

    /// Flushes of files so far.
    pub(crate) fn syncs(&self) -> usize {
        self.lock().syncs
    }

    /// Flips the bit at this position of a file.
    pub(crate) fn flip(&self, name: &str, position: usize) {
        let mut state = self.lock();
        let inode = state.names[name];
        let Inode { durable, now } = &mut state.inodes[inode];
        for bytes in [durable, now] {
            if let Some(byte) = bytes.get_mut(position / 8) {
                *byte ^= 1 << (position % 8);
            }
        }
    }

    /// Another disk takes its place, which is empty.
    pub(crate) fn wipe(&self) {
        *self.lock() = State::default();
    }

    /// The content of a file.
    pub(crate) fn content(&self, name: &str) -> Vec<u8> {
        let state = self.lock();
        state.inodes[state.names[name]].now.clone()
    }

    /// Replaces the content of a file, durably.
    pub(crate) fn set_content(&self, name: &str, bytes: &[u8]) {
        let mut state = self.lock();
        let inode = state.names[name];
        state.inodes[inode].now = bytes.to_vec();
        state.inodes[inode].durable = bytes.to_vec();
    }

    /// Another disk with everything that this one has, flushed or not. Files without a name stay behind.
    pub(crate) fn fork(&self) -> Self {
        let state = self.lock();
        let directories = [&state.names, &state.durable_names];
        let named: BTreeSet<usize> = directories
            .into_iter()
            .chain(&state.unflushed_names)
            .flat_map(|names| names.values().copied())
            .collect();
        let inodes = state.inodes.iter().enumerate().map(|(number, inode)| {
            let copied = named.contains(&number).then(|| inode.clone());
            copied.unwrap_or_default()
        });
        let forked = State {
            inodes: inodes.collect(),
            names: state.names.clone(),
            durable_names: state.durable_names.clone(),
            unflushed_names: state.unflushed_names.clone(),
            ..State::default()
        };
        Self {
            state: Arc::new(Mutex::new(forked)),
        }
    }

    /// A file that exists.
    pub(crate) fn open_file(&self, name: &str) -> io::Result<SimulatedFile> {
        let state = self.lock();
        let inode = *state.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(self.file(inode))
    }

    /// A new file, empty.
    pub(crate) fn create_file(&self, name: &str) -> io::Result<SimulatedFile> {
        let mut state = self.lock();
        state.change()?;
        let inode = state.inodes.len();
        state.inodes.push(Inode::default());
        state.names.insert(name.to_owned(), inode);
        state.names_changed();
        Ok(self.file(inode))
    }

    /// The file that was made as this one of all that were ever made here, the first being 0.
    pub(crate) fn file(&self, number: usize) -> SimulatedFile {
        SimulatedFile {
            disk: self.clone(),
            inode: number,
        }
    }

    /// The power is cut, and comes back; or only the process is gone.
    pub(crate) fn crash(&self, crash: Crash) {
        let mut state = self.lock();
        state.operations_left = None;
        state.space_left = None;
        let mut random = match crash {
            // What was not flushed may yet be lost, when the power is cut later.
            Crash::Kill => return,
            Crash::Clean => None,
            Crash::Torn { seed } => Some(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1),
        };
        let mut is_kept = move || {
            let Some(random) = &mut random else {
                return false;
            };
            *random ^= *random << 13;
            *random ^= *random >> 7;
            *random ^= *random << 17;
            random.is_multiple_of(2)
        };
        for inode in &mut state.inodes {
            let kept = tear(&inode.durable, &inode.now, &mut is_kept);
            inode.now.clone_from(&kept);
            inode.durable = kept;
        }
        let unflushed = std::mem::take(&mut state.unflushed_names);
        let changes = (0..unflushed.len()).take_while(|_| is_kept()).count();
        let kept = unflushed[..changes].last().unwrap_or(&state.durable_names);
        state.names = kept.clone();
        state.durable_names = state.names.clone();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Each sector as it was or as it is; the length likewise. A sector that was never written is zeros.
fn tear(durable: &[u8], now: &[u8], coin: &mut impl FnMut() -> bool) -> Vec<u8> {
    let length = if coin() { now.len() } else { durable.len() };
    let mut kept = vec![0; length];
    for start in (0..length).step_by(SECTOR) {
        let source = if coin() { now } else { durable };
        let end = (start + SECTOR).min(length).min(source.len());
        if start < end {
            kept[start..end].copy_from_slice(&source[start..end]);
        }
    }
    kept
}

impl Disk for Simulated {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.lock().names.keys().cloned().collect())
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(self.open_file(name)?))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(self.create_file(name)?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.lock();
        state.change()?;
        let inode = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), inode);
        state.names_changed();
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.lock();
        state.change()?;
        state.names.remove(name).ok_or(io::ErrorKind::NotFound)?;
        state.names_changed();
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.lock();
        state.change()?;
        state.durable_names = state.names.clone();
        state.unflushed_names.clear();
        Ok(())
    }

    fn free(&self) -> io::Result<u64> {
        let left = self.lock().space_left;
        Ok(left.map_or(u64::MAX, |left| u64::try_from(left).expect("64 bits")))
    }
}

/// A file of the disk.
#[derive(Debug, Clone)]
pub(crate) struct SimulatedFile {
    disk: Simulated,
    inode: usize,
}

impl SimulatedFile {
    /// Which one it is of all that were ever made on its disk.
    pub(crate) fn number(&self) -> usize {
        self.inode
    }
}

impl File for SimulatedFile {
    fn length(&self) -> io::Result<u64> {
        let length = self.disk.lock().inodes[self.inode].now.len();
        u64::try_from(length).map_err(io::Error::other)
    }

    fn read(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let state = self.disk.lock();
        let content = &state.inodes[self.inode].now;
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let source = content
            .get(start..start + buffer.len())
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(source);
        Ok(())
    }

    fn write(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.lock();
        state.change()?;
        let fits = state
            .space_left
            .map_or(bytes.len(), |left| left.min(bytes.len()));
        if let Some(left) = &mut state.space_left {
            *left -= fits;
        }
        let content = &mut state.inodes[self.inode].now;
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        if content.len() < start + fits {
            content.resize(start + fits, 0);
        }
        content[start..start + fits].copy_from_slice(&bytes[..fits]);
        if fits < bytes.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        let mut state = self.disk.lock();
        state.change()?;
        let length = usize::try_from(length).map_err(io::Error::other)?;
        state.inodes[self.inode].now.resize(length, 0);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.lock();
        state.change()?;
        state.syncs += 1;
        let inode = &mut state.inodes[self.inode];
        inode.durable = inode.now.clone();
        Ok(())
    }
}
