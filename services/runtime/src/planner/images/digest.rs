//! Digests of content (OCI image spec, descriptor.md): `sha256:` or `sha512:` and lower-case hexadecimal.

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};
use std::fmt::{self, Write as _};

/// A digest that has the right form. It is a safe file name once its colon is gone: see [`Digest::hex`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest {
    text: String,
    algorithm: Algorithm,
}

/// Algorithms that the image spec registers, and that this runtime verifies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// 64 hexadecimal digits.
    Sha256,
    /// 128 hexadecimal digits.
    Sha512,
}

/// Why a text is no digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid digest {0:?}: sha256 or sha512 and as many lower-case hexadecimal digits are known"
)]
pub struct DigestError(String);

impl Algorithm {
    /// Begins to compute one.
    #[must_use]
    pub fn context(self) -> digest::Context {
        digest::Context::new(match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha512 => &digest::SHA512,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    fn digits(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha512 => 128,
        }
    }
}

impl Digest {
    /// Reads one.
    ///
    /// ```
    /// use orlop_runtime::planner::images::digest::Digest;
    /// let empty = Digest::of(b"");
    /// assert_eq!(Digest::parse(empty.as_str()), Ok(empty));
    /// assert!(Digest::parse("sha256:../../etc").is_err());
    /// ```
    ///
    /// # Errors
    /// [`DigestError`].
    pub fn parse(text: &str) -> Result<Self, DigestError> {
        let invalid = || DigestError(text.chars().take(160).collect());
        let (name, hex) = text.split_once(':').ok_or_else(invalid)?;
        let algorithm = [Algorithm::Sha256, Algorithm::Sha512]
            .into_iter()
            .find(|algorithm| algorithm.name() == name)
            .ok_or_else(invalid)?;
        let hexadecimal = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if hex.len() != algorithm.digits() || !hex.bytes().all(hexadecimal) {
            return Err(invalid());
        }
        Ok(Self {
            text: text.to_owned(),
            algorithm,
        })
    }

    /// The SHA-256 of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self::computed(Algorithm::Sha256, &digest::digest(&digest::SHA256, bytes))
    }

    /// What a context of this algorithm has come to.
    #[must_use]
    pub fn computed(algorithm: Algorithm, value: &digest::Digest) -> Self {
        let mut text = format!("{}:", algorithm.name());
        for byte in value.as_ref() {
            write!(text, "{byte:02x}").expect("a string takes everything");
        }
        Self { text, algorithm }
    }

    /// Whether these bytes have it.
    #[must_use]
    pub fn fits(&self, bytes: &[u8]) -> bool {
        let mut context = self.algorithm.context();
        context.update(bytes);
        Self::computed(self.algorithm, &context.finish()) == *self
    }

    /// How it is computed.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The whole text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The digits alone: no digits of another algorithm are as many.
    #[must_use]
    pub fn hex(&self) -> &str {
        &self.text[self.algorithm.name().len() + 1..]
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::str::FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Digest {
    type Error = DigestError;

    fn try_from(text: String) -> Result<Self, DigestError> {
        Self::parse(&text)
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.text
    }
}

/// Chain IDs (OCI image spec, config.md) of layers with these diff IDs, the lowest first: each names a layer together with
/// all below it.
#[must_use]
pub fn chain_ids(diff_ids: &[Digest]) -> Vec<Digest> {
    let mut chain: Vec<Digest> = Vec::with_capacity(diff_ids.len());
    for diff in diff_ids {
        chain.push(match chain.last() {
            None => diff.clone(),
            Some(below) => Digest::of(format!("{below} {diff}").as_bytes()),
        });
    }
    chain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_have_one_form() {
        let sha512 = format!("sha512:{}", "0".repeat(128));
        for good in [Digest::of(b"x").as_str(), &sha512] {
            assert_eq!(Digest::parse(good).unwrap().as_str(), good);
        }
        let short = format!("sha512:{}", "0".repeat(64));
        let upper = format!("sha256:{}", "A".repeat(64));
        let other = format!("md5:{}", "0".repeat(32));
        for bad in ["", "sha256", "sha256:", &short, &upper, &other] {
            assert!(Digest::parse(bad).is_err(), "{bad}");
        }
        assert!(Digest::parse(&sha512).unwrap().hex().len() == 128);
        assert!(Digest::of(b"x").fits(b"x") && !Digest::of(b"x").fits(b"y"));
    }

    #[test]
    fn a_chain_id_names_all_layers_below() {
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        let chain = chain_ids(&[a.clone(), b.clone(), b.clone()]);
        assert_eq!(chain[0], a);
        assert_eq!(chain[1], Digest::of(format!("{a} {b}").as_bytes()));
        assert_ne!(chain[1], chain[2]);
    }
}
