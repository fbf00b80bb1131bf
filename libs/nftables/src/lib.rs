//! nftables over netlink: a ruleset as one atomic transaction.
//!
//! ```text
//!   batch    BEGIN │ message 1 │ message 2 │ ... │ END          each: nlmsghdr, nfgenmsg, attributes
//!                      │ sequence numbers count up from BEGIN's; an error names its message by it
//!   kernel   ──> all of it from one packet to the next, or nothing
//! ```
//!
//! Shapes are those of `linux/netfilter/nf_tables.h`. It knows nothing of what rules are for.
//!
//! ```no_run
//! use orlop_nftables::{Batch, Chain, Family, Hook, Kind, Socket, Table};
//!
//! # fn main() -> Result<(), orlop_nftables::Error> {
//! let table = Table { family: Family::Inet, name: "example" };
//! let mut batch = Batch::new();
//! batch.add_table(table);
//! batch.add_chain(table, &Chain { name: "nat", kind: Kind::Nat, hook: Hook::Prerouting, priority: -100 });
//! Socket::open()?.commit(&batch)
//! # }
//! ```

mod batch;
mod conntrack;
mod encode;
mod expression;
mod socket;

pub use batch::{Batch, Chain, Element, Family, Hook, Kind, Map, Table};
pub use conntrack::Flows;
pub use expression::{Expression, Field, Meta, Register, Verdict, concatenation};
pub use socket::Socket;

use std::io;

/// Why the kernel's rules are as they were.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no connection to the kernel.
    #[error("open a netlink socket of netfilter")]
    Open(#[source] io::Error),
    /// The transaction cannot be sent.
    #[error("send a transaction of nftables")]
    Send(#[source] io::Error),
    /// The kernel refused an operation, and with it the whole transaction.
    #[error("nftables: {operation}")]
    Refused {
        /// Which.
        operation: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The kernel said nothing.
    #[error("nftables: the kernel did not answer")]
    Silent,
    /// It cannot be put into a message.
    #[error("nftables: {operation}: {reason}")]
    TooLarge {
        /// What.
        operation: String,
        /// Why.
        reason: &'static str,
    },
}
