//! I/O: the request, the machine's facts, and `init`'s socket.

pub mod facts;
pub mod http;
pub mod init;
