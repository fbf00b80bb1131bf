//! What a server of many has below its answers: connections accepted within bounds, TLS whose certificates are read again
//! when their files change, HTTP/1.1 and HTTP/2 by what the client says, and sending in few system calls.
//!
//! ```text
//!   Listener (TCP, TLS, Unix) ──> Connection ──> Answer::connected(peer) ──> Answer::answer(request)
//!                                     └── Cork: what is written at one moment is sent at once
//! ```
//!
//! It knows nothing of what is asked.

mod cork;
mod count;
mod listener;
pub mod tls;

pub use count::Count;
pub use listener::{
    Answer, BoxError, CALLS_PER_CONNECTION_MAX, CONNECTIONS_MAX, GRACE, HANDSHAKE_MAX, HEADERS_MAX,
    ListenError, Listener, Peer, Traffic,
};
