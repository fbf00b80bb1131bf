//! SPDY/3.1 as clients of Kubernetes speak it: the server's half.
//!
//! Source: the SPDY protocol, draft 3.1. The peers are moby/spdystream's: they number their streams oddly, wait for a SYN_REPLY before
//! they send, take no window into account and announce none. So there is no flow control but TCP's: who cannot take
//! more stops reading the connection, as they do.

pub mod frame;
pub mod headers;
pub mod session;

/// Why a connection cannot go on: what comes next cannot be told from what came.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpdyError {
    /// Another protocol, or another version.
    #[error("version {0} of SPDY is not 3")]
    Version(u16),
    /// A frame that is too short for what it is, or too long.
    #[error("a frame {kind} of {length} bytes")]
    Length {
        /// Its name.
        kind: &'static str,
        /// Without its head.
        length: usize,
    },
    /// A header block, whose compression goes over all of a connection's.
    #[error("a header block: {0}")]
    Headers(&'static str),
    /// A number that a client cannot give now.
    #[error("a client cannot begin stream {0} now")]
    Stream(u32),
}
