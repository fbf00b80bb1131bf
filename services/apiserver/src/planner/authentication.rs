//! Who is it? From what a connection and a request show.
//!
//! ```text
//!   certificate ──certificate::user──> User            first, since TLS has verified it
//!   Authorization: Bearer ──bearer::of──> token ──> tokens::Verifier
//!   nothing ──> User::anonymous
//!   Impersonate-*: ──impersonation::read──> the user to be, and what must be allowed for that
//! ```
//!
//! Source: the page on authentication.

pub mod bearer;
pub mod certificate;
pub mod impersonation;
