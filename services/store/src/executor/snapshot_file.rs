//! A snapshot in a file: what `etcdctl snapshot save` and `orlop store snapshot save` write, and `restore` reads.
//!
//! ```text
//!   0   magic    8   "ORLOPSNP"
//!   8   version  4   1
//!   12  frames       length 4 | SnapshotChunk in protobuf, as members send it to each other
//!       0        4   ends them
//!       zeros        up to a multiple of 512 bytes
//!       sha256   32  of everything before
//! ```
//!
//! The padding is for etcdctl, which takes a file for whole when it is a multiple of 512 bytes and a SHA-256 long. Numbers are
//! big endian.

use super::peer::{
    MESSAGE_BYTES_MAX,
    proto::{SnapshotBegin, SnapshotChunk, SnapshotEnd},
};
use aws_lc_rs::digest::{Context, SHA256, SHA256_OUTPUT_LEN};
use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;
use std::{
    fs::File,
    io::{self, BufReader, Read, Seek},
    pin::Pin,
};
use tokio_stream::{Stream, StreamExt};

const MAGIC: &[u8; 8] = b"ORLOPSNP";
const VERSION: u32 = 1;
const HEADER: u64 = 12;
const BLOCK: u64 = 512;
/// Read at once while a file is hashed.
const HASH_BYTES: usize = 256 * 1024;

/// The file's bytes, in order. One that ends with an error is no snapshot.
pub type Blobs = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// Why a file is no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotFileError {
    /// The file system's.
    #[error("read the snapshot")]
    Read(#[from] io::Error),
    /// Something else, perhaps etcd's own.
    #[error("this is no snapshot of this store: it does not begin with ORLOPSNP")]
    Foreign,
    /// A later release wrote it.
    #[error("the snapshot has version {0}, this release reads {VERSION}")]
    Version(u32),
    /// It is not whole, or was changed.
    #[error("the snapshot is damaged: {0}")]
    Damaged(&'static str),
}

/// Encodes what a member sends of itself as a file. A stream of chunks without its end makes one that ends with an error.
pub fn encode(chunks: impl Stream<Item = SnapshotChunk> + Send + 'static) -> Blobs {
    let mut encoder = Some(Encoder::new());
    // One more turn than there are chunks: to see that the last was the end.
    let turns = chunks.map(Some).chain(tokio_stream::once(None));
    Box::pin(turns.map_while(move |chunk| {
        let running = encoder.as_mut()?;
        let Some(chunk) = chunk else {
            encoder = None;
            return Some(Err(io::Error::other("the snapshot broke off")));
        };
        let blob = running.chunk(&chunk);
        if chunk.end.is_some() {
            encoder = None;
        }
        Some(Ok(blob))
    }))
}

struct Encoder {
    context: Context,
    length: u64,
}

impl Encoder {
    fn new() -> Self {
        Self {
            context: Context::new(&SHA256),
            length: 0,
        }
    }

    /// The next bytes of the file; with the last chunk, all that are left.
    fn chunk(&mut self, chunk: &SnapshotChunk) -> Bytes {
        let mut bytes = BytesMut::new();
        if self.length == 0 {
            bytes.put_slice(MAGIC);
            bytes.put_u32(VERSION);
        }
        let length = chunk.encoded_len();
        bytes.put_u32(u32::try_from(length).expect("a chunk is bounded by a message"));
        chunk.encode(&mut bytes).expect("a growing buffer has room");
        if chunk.end.is_some() {
            bytes.put_u32(0);
            let unpadded = self.length + u64::try_from(bytes.len()).expect("64 bits");
            let padding = unpadded.next_multiple_of(BLOCK) - unpadded;
            bytes.put_bytes(0, usize::try_from(padding).expect("less than a block"));
        }
        self.context.update(&bytes);
        self.length += u64::try_from(bytes.len()).expect("64 bits");
        if chunk.end.is_some() {
            let digest = self.context.clone().finish();
            bytes.put_slice(digest.as_ref());
        }
        bytes.freeze()
    }
}

/// A file that has the form of a snapshot.
#[derive(Debug)]
pub struct SnapshotFile {
    file: File,
    /// Bytes before the checksum.
    body: u64,
    /// Of the body, as it is.
    digest: [u8; SHA256_OUTPUT_LEN],
    /// The checksum at the file's end is the body's.
    intact: bool,
}

impl SnapshotFile {
    /// Looks at a file: its form, and whether it is as it was written. `digest` is of the whole body.
    ///
    /// # Errors
    /// [`SnapshotFileError`]; a wrong checksum is [`SnapshotFile::verify`]'s to tell.
    pub fn open(mut file: File) -> Result<Self, SnapshotFileError> {
        let length = file.metadata()?.len();
        let mut header = [0; 12];
        file.rewind()?;
        match file.read_exact(&mut header) {
            Ok(()) if header.starts_with(MAGIC) => {}
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => return Err(error.into()),
            _ => return Err(SnapshotFileError::Foreign),
        }
        let mut version = [0; 4];
        version.copy_from_slice(&header[8..]);
        let version = u32::from_be_bytes(version);
        if version != VERSION {
            return Err(SnapshotFileError::Version(version));
        }
        let checksum = u64::try_from(SHA256_OUTPUT_LEN).expect("64 bits");
        if length % BLOCK != checksum || length < BLOCK {
            return Err(SnapshotFileError::Damaged("it is not whole"));
        }
        let body = length - checksum;
        file.rewind()?;
        let digest = hash(&mut (&file).take(body))?;
        let mut expected = [0; SHA256_OUTPUT_LEN];
        file.read_exact(&mut expected)?;
        Ok(Self {
            file,
            body,
            digest,
            intact: digest == expected,
        })
    }

    /// The digest of its content: no two snapshots have the same.
    #[must_use]
    pub fn digest(&self) -> &[u8; SHA256_OUTPUT_LEN] {
        &self.digest
    }

    /// Refuses a file that is not as it was written.
    ///
    /// # Errors
    /// [`SnapshotFileError::Damaged`].
    pub fn verify(&self) -> Result<(), SnapshotFileError> {
        let damaged =
            SnapshotFileError::Damaged("its content does not have the checksum at its end");
        self.intact.then_some(()).ok_or(damaged)
    }

    /// Reads it from its beginning: `begin` is given first, then each chunk's records, then `end`.
    ///
    /// # Errors
    /// [`SnapshotFileError`], or what `visit` returned.
    pub fn read<E: From<SnapshotFileError>>(
        &mut self,
        mut visit: impl FnMut(Part) -> Result<(), E>,
    ) -> Result<(), E> {
        let damaged = |what| SnapshotFileError::Damaged(what);
        self.file.rewind().map_err(SnapshotFileError::Read)?;
        let mut source = BufReader::new((&self.file).take(self.body));
        let header = usize::try_from(HEADER).expect("small");
        read(&mut source, header)?;
        let mut begun = false;
        loop {
            let frame = read(&mut source, 4)?;
            let length = u32::from_be_bytes([frame[0], frame[1], frame[2], frame[3]]);
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            if length == 0 {
                return Err(damaged("it has no end").into());
            }
            if length > MESSAGE_BYTES_MAX {
                return Err(damaged("a part of it is longer than any that is written").into());
            }
            let bytes = read(&mut source, length)?;
            let chunk = SnapshotChunk::decode(Bytes::from(bytes))
                .map_err(|_| damaged("a part of it cannot be read"))?;
            match chunk.begin {
                Some(begin) if !begun => visit(Part::Begin(begin))?,
                None if begun => {}
                _ => return Err(damaged("its parts are out of order").into()),
            }
            begun = true;
            visit(Part::Records(chunk.records))?;
            if let Some(end) = chunk.end {
                return visit(Part::End(end));
            }
        }
    }
}

/// A piece of a snapshot.
#[derive(Debug)]
pub enum Part {
    /// Everything but the records.
    Begin(SnapshotBegin),
    /// Some records, in the order of their revisions.
    Records(Vec<super::peer::proto::Record>),
    /// How many records there were.
    End(SnapshotEnd),
}

fn read(source: &mut impl Read, length: usize) -> Result<Vec<u8>, SnapshotFileError> {
    // Not trusted to be as long as it says.
    let mut bytes = Vec::new();
    let wanted = u64::try_from(length).expect("64 bits");
    source.take(wanted).read_to_end(&mut bytes)?;
    if bytes.len() < length {
        return Err(SnapshotFileError::Damaged("it ends too early"));
    }
    Ok(bytes)
}

fn hash(source: &mut impl Read) -> io::Result<[u8; SHA256_OUTPUT_LEN]> {
    let mut context = Context::new(&SHA256);
    let mut buffer = vec![0; HASH_BYTES];
    loop {
        let length = source.read(&mut buffer)?;
        if length == 0 {
            break;
        }
        context.update(&buffer[..length]);
    }
    let mut digest = [0; SHA256_OUTPUT_LEN];
    digest.copy_from_slice(context.finish().as_ref());
    Ok(digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::peer::proto::Record;
    use std::io::Write;

    fn chunks() -> Vec<SnapshotChunk> {
        let records = |range: std::ops::Range<i64>| {
            range
                .map(|main| Record {
                    main,
                    sub: 0,
                    pair: vec![7; 100].into(),
                })
                .collect()
        };
        let begin = SnapshotBegin {
            revision: 30,
            ..SnapshotBegin::default()
        };
        vec![
            SnapshotChunk {
                begin: Some(begin),
                records: records(2..10),
                end: None,
            },
            SnapshotChunk {
                records: records(10..30),
                end: Some(SnapshotEnd { records: 28 }),
                ..SnapshotChunk::default()
            },
        ]
    }

    fn encoded(chunks: Vec<SnapshotChunk>) -> Vec<io::Result<Bytes>> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        runtime.block_on(encode(tokio_stream::iter(chunks)).collect())
    }

    fn bytes() -> Vec<u8> {
        let blobs = encoded(chunks());
        blobs
            .into_iter()
            .flat_map(|blob| blob.expect("whole"))
            .collect()
    }

    fn open(bytes: &[u8]) -> Result<SnapshotFile, SnapshotFileError> {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(bytes).expect("written");
        SnapshotFile::open(file)
    }

    /// Revision and number of records.
    fn content(bytes: &[u8]) -> Result<(i64, usize), SnapshotFileError> {
        let mut file = open(bytes)?;
        file.verify()?;
        let (mut revision, mut count) = (0, 0);
        file.read(|part| {
            match part {
                Part::Begin(begin) => revision = begin.revision,
                Part::Records(records) => count += records.len(),
                Part::End(end) => assert_eq!(end.records, 28),
            }
            Ok::<_, SnapshotFileError>(())
        })?;
        Ok((revision, count))
    }

    #[test]
    fn a_file_comes_back_and_has_the_length_that_etcdctl_wants() {
        let bytes = bytes();
        assert_eq!(bytes.len() % 512, 32);
        assert_eq!(content(&bytes).expect("whole"), (30, 28));
    }

    #[test]
    fn every_prefix_and_every_flipped_byte_is_refused() {
        let bytes = bytes();
        for length in 0..bytes.len() {
            content(&bytes[..length]).expect_err("a prefix");
        }
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x40;
            content(&flipped).expect_err("a flipped bit");
        }
    }

    #[test]
    fn a_stream_without_end_ends_with_an_error() {
        let mut chunks = chunks();
        chunks.pop();
        let blobs = encoded(chunks);
        assert_eq!(blobs.len(), 2);
        assert!(blobs[0].is_ok() && blobs[1].is_err());
    }
}
