//! What can go wrong with keys and certificates. No message holds key material.

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A PEM text is not what it should be.
    #[error("read {what}: not valid PEM of this kind")]
    Pem {
        /// What was read.
        what: &'static str,
    },
    /// A certificate or request cannot be read as X.509.
    #[error("read {what}: not valid X.509")]
    X509 {
        /// What was read.
        what: &'static str,
    },
    /// A key and a certificate do not belong together.
    #[error("the private key does not belong to the certificate of {subject}")]
    KeyMismatch {
        /// Common name of the certificate.
        subject: String,
    },
    /// A certificate is used as an authority and is none.
    #[error("the certificate of {subject} is not that of an authority")]
    NotAnAuthority {
        /// Common name of the certificate.
        subject: String,
    },
    /// A signing request that is refused.
    #[error("refuse the signing request: {why}")]
    Request {
        /// What is wrong with it.
        why: &'static str,
    },
    /// A name that cannot stand in a certificate.
    #[error("{name:?} is neither an IP address nor a DNS name")]
    Name {
        /// The name.
        name: String,
    },
    /// More organizations than a certificate of ours can carry.
    #[error("{count} organizations in one certificate; at most two are possible")]
    Organizations {
        /// How many were wanted.
        count: usize,
    },
    /// A point in time that X.509 cannot express (after the year 9999 or before 1970).
    #[error("a validity outside the years 1970 to 9999")]
    Time,
    /// A lifetime that ends before it begins.
    #[error("the authority {subject} has expired; certificates that it signs would not be valid")]
    AuthorityExpired {
        /// Common name of the authority.
        subject: String,
    },
    /// An organization that begins as a role of Orlop and is none.
    #[error("unknown role {role:?}; the roles are admin, operator, reader, backup")]
    UnknownRole {
        /// The role's name.
        role: String,
    },
    /// The cryptographic library refused.
    #[error("make {what}")]
    Crypto {
        /// What was to be made.
        what: &'static str,
        /// Why not.
        #[source]
        source: rcgen::Error,
    },
    /// The system has no randomness to give.
    #[error("get random bytes from the cryptographic library")]
    Random,
    /// A generated machine config does not pass its own checks: the options are wrong.
    #[error("the machine config that these options make is not valid")]
    Config(#[source] machine_config::Problems),
}
