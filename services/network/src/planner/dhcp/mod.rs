//! The DHCPv4 client (RFC 2131), pure: moments, packets and random numbers come in, packets to send
//! and a lease come out.

pub mod client;
pub mod lease;
pub mod message;

#[cfg(test)]
mod tests;
