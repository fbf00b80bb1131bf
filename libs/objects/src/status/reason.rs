//! Reasons of a `Status`: what a client decides by.

/// Why a request failed (`metav1.StatusReason`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Reason {
    /// None is given.
    #[default]
    Unknown,
    /// No credentials that hold.
    Unauthorized,
    /// Known, and not allowed.
    Forbidden,
    /// Not there.
    NotFound,
    /// There already.
    AlreadyExists,
    /// Changed in between.
    Conflict,
    /// No longer there, for good.
    Gone,
    /// The object breaks the rules of its kind.
    Invalid,
    /// No time for it; try again.
    ServerTimeout,
    /// The store's bytes cannot be read.
    StoreReadError,
    /// It took too long, and may still take effect.
    Timeout,
    /// The server has too much to do.
    TooManyRequests,
    /// The request itself is malformed.
    BadRequest,
    /// No such action here.
    MethodNotAllowed,
    /// No such encoding can be sent.
    NotAcceptable,
    /// The body is too large.
    RequestEntityTooLarge,
    /// No such encoding can be read.
    UnsupportedMediaType,
    /// The server's fault.
    InternalError,
    /// The revision is no longer kept.
    Expired,
    /// The server lacks what it needs.
    ServiceUnavailable,
}

/// Every reason that has a name.
const NAMED: [Reason; 19] = [
    Reason::Unauthorized,
    Reason::Forbidden,
    Reason::NotFound,
    Reason::AlreadyExists,
    Reason::Conflict,
    Reason::Gone,
    Reason::Invalid,
    Reason::ServerTimeout,
    Reason::StoreReadError,
    Reason::Timeout,
    Reason::TooManyRequests,
    Reason::BadRequest,
    Reason::MethodNotAllowed,
    Reason::NotAcceptable,
    Reason::RequestEntityTooLarge,
    Reason::UnsupportedMediaType,
    Reason::InternalError,
    Reason::Expired,
    Reason::ServiceUnavailable,
];

impl Reason {
    /// As it is sent.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Unknown => "",
            Reason::Unauthorized => "Unauthorized",
            Reason::Forbidden => "Forbidden",
            Reason::NotFound => "NotFound",
            Reason::AlreadyExists => "AlreadyExists",
            Reason::Conflict => "Conflict",
            Reason::Gone => "Gone",
            Reason::Invalid => "Invalid",
            Reason::ServerTimeout => "ServerTimeout",
            Reason::StoreReadError => "StorageReadError",
            Reason::Timeout => "Timeout",
            Reason::TooManyRequests => "TooManyRequests",
            Reason::BadRequest => "BadRequest",
            Reason::MethodNotAllowed => "MethodNotAllowed",
            Reason::NotAcceptable => "NotAcceptable",
            Reason::RequestEntityTooLarge => "RequestEntityTooLarge",
            Reason::UnsupportedMediaType => "UnsupportedMediaType",
            Reason::InternalError => "InternalError",
            Reason::Expired => "Expired",
            Reason::ServiceUnavailable => "ServiceUnavailable",
        }
    }

    /// As it was sent; what nobody knows is [`Reason::Unknown`].
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let known = NAMED.into_iter().find(|reason| reason.as_str() == text);
        known.unwrap_or_default()
    }
}
