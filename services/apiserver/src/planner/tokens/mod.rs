//! Tokens of service accounts: signed claims, bound to objects that must still be there.
//!
//! ```text
//!   TokenRequest ──request──> Claims ──jws::sign──> token            (executor: key, random numbers, time)
//!   token ──Verifier──> Verified{claims, audiences} ──alive(what was looked up)──> User
//!   keys ──discovery──> /openid/v1/jwks, /.well-known/openid-configuration
//! ```
//!
//! Sources: RFC 7515 (compact form), RFC 7518 (RS256, ES256, ES384, ES512), RFC 7519 (claims), RFC 7517 (key sets); the page
//! on managing service accounts ("Bound service account tokens", "Issuer discovery"). Claims, key identifiers, leeway and texts
//! are upstream's: tokens of either server are good at the other with the same keys.
//!
//! Keys and signatures are aws-lc's. A crate for tokens reads each key again for each signature, knows no ES512, and makes no
//! key identifiers: what is left is two dots.

mod alive;
mod claims;
pub mod discovery;
pub mod jws;
mod key;
pub mod request;

pub use alive::{Found, Identity, Lookup, alive};
pub use claims::{Binding, Claims, LEEWAY_SECONDS, Reference, TokenError, Verified, Verifier};
pub use key::{Algorithm, KeyError, PrivateKey, PublicKey, public_keys};
