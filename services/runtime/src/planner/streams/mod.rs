//! What exec, attach and port-forward say on the wire: pure.
//!
//! ```text
//!   CRI call ──> tokens (one, once, a minute) ──> URL ──> HTTP/1.1 upgrade ──> protocol (which one)
//!                                                              ├── SPDY/3.1   spdy::frame ──> spdy::session ──> streams by their headers
//!                                                              └── WebSocket  channels by the first byte of a message
//!   the end ──> status (metav1.Status) on the stream of errors
//! ```
//!
//! It knows neither sockets nor processes.

pub mod channels;
pub mod port_forward;
pub mod protocol;
pub mod spdy;
pub mod status;
pub mod tokens;
