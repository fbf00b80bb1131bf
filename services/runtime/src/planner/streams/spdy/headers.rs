//! Header blocks: pairs of names and values, compressed by zlib with SPDY's own dictionary.
//!
//! ```text
//!   u32 pairs | u32 length | name | u32 length | value | u32 length | name | ...       compressed, one stream for a connection's blocks
//! ```

use super::SpdyError;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// Largest block, compressed: names and values of a few words are all that clients send.
pub const BLOCK_MAX: usize = 16 * 1024;
/// Largest block, as it was before.
pub const HEADERS_MAX: usize = 32 * 1024;
/// Pairs in one block.
pub const PAIRS_MAX: usize = 64;

/// Words that the dictionary begins with, each behind its length.
#[rustfmt::skip]
const WORDS: [&str; 65] = [
    "options", "head", "post", "put", "delete", "trace", "accept", "accept-charset", "accept-encoding", "accept-language",
    "accept-ranges", "age", "allow", "authorization", "cache-control", "connection", "content-base", "content-encoding",
    "content-language", "content-length", "content-location", "content-md5", "content-range", "content-type", "date", "etag",
    "expect", "expires", "from", "host", "if-match", "if-modified-since", "if-none-match", "if-range", "if-unmodified-since",
    "last-modified", "location", "max-forwards", "pragma", "proxy-authenticate", "proxy-authorization", "range", "referer",
    "retry-after", "server", "te", "trailer", "transfer-encoding", "upgrade", "user-agent", "vary", "via", "warning",
    "www-authenticate", "method", "get", "status", "200 OK", "version", "HTTP/1.1", "url", "public", "set-cookie",
    "keep-alive", "origin",
];
/// What it ends with.
const TAIL: &str = "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505\
    203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden\
    404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable\
    Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT\
    chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,public\
    privatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.";

fn dictionary() -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in WORDS {
        push(&mut bytes, word);
    }
    bytes.extend_from_slice(TAIL.as_bytes());
    bytes
}

fn push(bytes: &mut Vec<u8>, text: &str) {
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(text.as_bytes());
}

/// Names, which are in small letters, and their values.
pub type Pairs = Vec<(String, String)>;

/// The value of a name.
#[must_use]
pub fn value<'a>(pairs: &'a Pairs, name: &str) -> Option<&'a str> {
    let found = pairs
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.as_str())
}

/// Of what comes.
#[derive(Debug)]
pub struct Reader {
    zlib: Decompress,
}

impl Default for Reader {
    fn default() -> Self {
        Self {
            zlib: Decompress::new(true),
        }
    }
}

impl Reader {
    /// The next block.
    ///
    /// # Errors
    /// [`SpdyError::Headers`]. No later block can be read then.
    pub fn read(&mut self, block: &[u8]) -> Result<Pairs, SpdyError> {
        if block.len() > BLOCK_MAX {
            return Err(SpdyError::Headers("it is too long"));
        }
        pairs(&self.inflate(block)?)
    }

    fn inflate(&mut self, block: &[u8]) -> Result<Vec<u8>, SpdyError> {
        let mut all = Vec::with_capacity(HEADERS_MAX + 1);
        let mut left = block;
        loop {
            let before = self.zlib.total_in();
            let done = self
                .zlib
                .decompress_vec(left, &mut all, FlushDecompress::Sync);
            let taken = usize::try_from(self.zlib.total_in() - before).unwrap_or(usize::MAX);
            left = left.get(taken..).unwrap_or_default();
            match done {
                Err(error) if error.needs_dictionary().is_some() => {
                    let set = self.zlib.set_dictionary(&dictionary());
                    set.map_err(|_| SpdyError::Headers("it has another dictionary"))?;
                }
                Err(_) => return Err(SpdyError::Headers("it is not compressed by zlib")),
                Ok(_) if all.len() > HEADERS_MAX => {
                    return Err(SpdyError::Headers("it is too long"));
                }
                Ok(Status::StreamEnd) => return Err(SpdyError::Headers("its compression ends")),
                Ok(_) if left.is_empty() => return Ok(all),
                Ok(_) if taken == 0 => return Err(SpdyError::Headers("it is cut off")),
                Ok(_) => {}
            }
        }
    }
}

/// Of what is sent.
#[derive(Debug)]
pub struct Writer {
    zlib: Compress,
    begun: bool,
}

impl Default for Writer {
    fn default() -> Self {
        Self {
            zlib: Compress::new(Compression::fast(), true),
            begun: false,
        }
    }
}

impl Writer {
    /// The next block. All that are made are to be sent, in this order.
    ///
    /// # Errors
    /// [`SpdyError::Headers`]: it is too long.
    pub fn write(&mut self, pairs: &[(&str, &str)]) -> Result<Vec<u8>, SpdyError> {
        let fault = |_| SpdyError::Headers("it cannot be compressed");
        if !self.begun {
            self.zlib.set_dictionary(&dictionary()).map_err(fault)?;
            self.begun = true;
        }
        let mut plain = Vec::new();
        let count = u32::try_from(pairs.len()).unwrap_or(u32::MAX);
        plain.extend_from_slice(&count.to_be_bytes());
        for (name, value) in pairs {
            push(&mut plain, name);
            push(&mut plain, value);
        }
        if plain.len() > HEADERS_MAX {
            return Err(SpdyError::Headers("it is too long"));
        }
        // What does not compress grows by a few bytes.
        let mut block = Vec::with_capacity(plain.len() + 64);
        let before = self.zlib.total_in();
        self.zlib
            .compress_vec(&plain, &mut block, FlushCompress::Sync)
            .map_err(fault)?;
        let taken = usize::try_from(self.zlib.total_in() - before).unwrap_or_default();
        if taken != plain.len() || block.len() == block.capacity() {
            return Err(SpdyError::Headers("it is too long"));
        }
        Ok(block)
    }
}

fn pairs(bytes: &[u8]) -> Result<Pairs, SpdyError> {
    let mut left = bytes;
    let count = usize::try_from(number(&mut left)?).unwrap_or(usize::MAX);
    if count > PAIRS_MAX {
        return Err(SpdyError::Headers("it has too many pairs"));
    }
    let mut pairs = Vec::with_capacity(count);
    for _ in 0..count {
        pairs.push((text(&mut left)?, text(&mut left)?));
    }
    if !left.is_empty() {
        return Err(SpdyError::Headers("it goes on behind its last pair"));
    }
    Ok(pairs)
}

fn number(left: &mut &[u8]) -> Result<u32, SpdyError> {
    let (number, rest) = left
        .split_first_chunk::<4>()
        .ok_or(SpdyError::Headers("it is cut off"))?;
    *left = rest;
    Ok(u32::from_be_bytes(*number))
}

fn text(left: &mut &[u8]) -> Result<String, SpdyError> {
    let length = usize::try_from(number(left)?).unwrap_or(usize::MAX);
    let (text, rest) = left
        .split_at_checked(length)
        .ok_or(SpdyError::Headers("it is cut off"))?;
    *left = rest;
    String::from_utf8(text.to_vec()).map_err(|_| SpdyError::Headers("it is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_dictionary_is_the_one_of_the_draft() {
        // zlib names a dictionary by its checksum; all of SPDY/3 begins with 78 bb e3 c6 a7 c2.
        let block = Writer::default().write(&[]).unwrap();
        assert_eq!(&block[2..6], [0xe3, 0xc6, 0xa7, 0xc2]);
        assert_eq!(dictionary().len(), 1423);
    }

    #[test]
    fn blocks_of_a_connection_belong_together() {
        let (mut writer, mut reader) = (Writer::default(), Reader::default());
        for round in 0..100_u32 {
            let port = round.to_string();
            let block = writer
                .write(&[("streamtype", "data"), ("port", &port)])
                .unwrap();
            let pairs = reader.read(&block).unwrap();
            assert_eq!(value(&pairs, "StreamType"), Some("data"));
            assert_eq!(value(&pairs, "port"), Some(port.as_str()));
            assert_eq!(value(&pairs, "requestid"), None);
        }
    }

    #[test]
    fn a_bomb_is_refused_before_it_is_large() {
        let mut zlib = Compress::new(Compression::best(), true);
        zlib.set_dictionary(&dictionary()).unwrap();
        let plain = vec![b'a'; 4 * 1024 * 1024];
        let mut block = Vec::with_capacity(BLOCK_MAX);
        zlib.compress_vec(&plain, &mut block, FlushCompress::Sync)
            .unwrap();
        let refused = Reader::default().read(&block[..BLOCK_MAX.min(block.len())]);
        assert_eq!(refused, Err(SpdyError::Headers("it is too long")));
    }

    #[test]
    fn what_is_no_block_is_refused() {
        let check = |plain: &[u8]| {
            let mut zlib = Compress::new(Compression::fast(), true);
            zlib.set_dictionary(&dictionary()).unwrap();
            let mut block = Vec::with_capacity(1024);
            zlib.compress_vec(plain, &mut block, FlushCompress::Sync)
                .unwrap();
            Reader::default().read(&block).unwrap_err()
        };
        assert_eq!(check(&[0, 0, 0]), SpdyError::Headers("it is cut off"));
        assert_eq!(
            check(&[0, 0, 0, 65]),
            SpdyError::Headers("it has too many pairs")
        );
        assert_eq!(
            check(&[0, 0, 0, 1, 255, 255, 255, 255]),
            SpdyError::Headers("it is cut off")
        );
        assert_eq!(
            check(&[0, 0, 0, 1, 0, 0, 0, 1, 255, 0, 0, 0, 0]),
            SpdyError::Headers("it is not UTF-8")
        );
        assert_eq!(
            check(&[0, 0, 0, 0, 1]),
            SpdyError::Headers("it goes on behind its last pair")
        );
    }

    proptest! {
        #[test]
        fn hostile_blocks_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            let _ = Reader::default().read(&bytes);
            let mut begun = vec![0x78, 0xbb, 0xe3, 0xc6, 0xa7, 0xc2];
            begun.extend(bytes);
            let _ = Reader::default().read(&begun);
        }

        #[test]
        fn what_is_written_is_read(pairs in proptest::collection::vec(("[a-z]{1,12}", "\\PC{0,40}"), 0..PAIRS_MAX)) {
            let borrowed: Vec<_> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let block = Writer::default().write(&borrowed).unwrap();
            prop_assert_eq!(Reader::default().read(&block).unwrap(), pairs);
        }
    }
}
