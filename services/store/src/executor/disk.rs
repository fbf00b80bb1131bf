//! The disk as log and cells see it: one directory of flat files. A simulated disk stands behind the same trait.
//!
//! What is written is durable only after [`File::sync`]; which files there are, only after [`Disk::sync`].

use super::beside::{Job, Step, Thread, Work, Worker, blocking};
use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::sync::oneshot;

/// A directory. Whoever uses one does not know which: what stands on it (Raft, and gRPC) would else be compiled again for each.
pub trait Disk: Send + Sync + 'static {
    /// Names of its files, sorted.
    ///
    /// # Errors
    /// The disk's.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Opens a file that exists.
    ///
    /// # Errors
    /// `NotFound`, or the disk's.
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>>;

    /// Makes a file, empty; one of that name is replaced.
    ///
    /// # Errors
    /// The disk's.
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>>;

    /// Gives a file another name; one of that name is replaced, in one step.
    ///
    /// # Errors
    /// The disk's.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// `NotFound`, or the disk's.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes durable which files there are.
    ///
    /// # Errors
    /// The disk's.
    fn sync(&self) -> io::Result<()>;

    /// Does a job that waits for this disk, without holding up anybody but the caller. `run` is more convenient.
    ///
    /// # Errors
    /// The job's.
    fn carry_out(&self, job: Job) -> Work<()> {
        Box::pin(blocking(job))
    }

    /// Somebody who does a step of such work whenever he is woken.
    ///
    /// # Errors
    /// There is nobody.
    fn worker(&self, name: &str, step: Step) -> io::Result<Box<dyn Worker>> {
        Ok(Box::new(Thread::start(name, step)?))
    }

    /// Bytes that can still be written.
    ///
    /// # Errors
    /// The disk's.
    fn free(&self) -> io::Result<u64>;
}

impl dyn Disk {
    /// Does work that waits for this disk, without holding up anybody but the caller.
    ///
    /// # Errors
    /// The work's.
    pub fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Work<T> {
        let (give, mut given) = oneshot::channel();
        let job = self.carry_out(Box::new(move || {
            // Whoever asked may have stopped waiting.
            let _ = give.send(work()?);
            Ok(())
        }));
        Box::pin(async move {
            job.await?;
            given.try_recv().map_err(io::Error::other)
        })
    }
}

/// A file, shared by whoever reads, writes and flushes it.
pub trait File: Send + Sync + 'static {
    /// Its length.
    ///
    /// # Errors
    /// The disk's.
    fn length(&self) -> io::Result<u64>;

    /// Fills the buffer from this offset.
    ///
    /// # Errors
    /// `UnexpectedEof`, or the disk's.
    fn read(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all bytes at this offset.
    ///
    /// # Errors
    /// The disk's; some of the bytes may have been written.
    fn write(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Cuts it.
    ///
    /// # Errors
    /// The disk's.
    fn set_length(&self, length: u64) -> io::Result<()>;

    /// Makes its content durable (`fdatasync`).
    ///
    /// # Errors
    /// The disk's. What was written since the last success may be lost even if a later call succeeds.
    fn sync(&self) -> io::Result<()>;
}

/// A directory of a file system.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
}

impl Directory {
    /// This directory, which is made if need be, with its parents.
    ///
    /// # Errors
    /// The file system's.
    pub fn open(path: &Path) -> io::Result<Self> {
        fs::create_dir_all(path)?;
        let directory = Self {
            path: path.to_owned(),
        };
        directory.sync()?;
        Ok(directory)
    }
}

impl Disk for Directory {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            // A name that is not UTF-8 is none of ours.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).open(self.path.join(name))?;
        Ok(Arc::new(file))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let mut options = OpenOptions::new();
        let file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(self.path.join(name))?;
        Ok(Arc::new(file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn sync(&self) -> io::Result<()> {
        fs::File::open(&self.path)?.sync_all()
    }

    fn free(&self) -> io::Result<u64> {
        let found = rustix::fs::statvfs(&self.path)?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }
}

impl File for fs::File {
    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.read_exact_at(buffer, offset)
    }

    fn write(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}
