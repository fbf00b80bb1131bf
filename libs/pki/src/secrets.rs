//! The secrets of a cluster: made once, kept by the owner, the source of every machine's config.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use machine_config::values::{
    BOOTSTRAP_TOKEN, CertificatePem, ENCRYPTION_KEY, JOIN_TOKEN, PRIVATE_KEY, ResourceName,
};
use machine_config::{
    API_VERSION, CertificateAndKey, Problems, SecretString, parse_document, to_value_exposed,
    value_to_yaml,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::profile::{new_key, random};
use crate::{CertificateAuthority, PkiError, Validity};

/// `kind` of the secrets file.
pub const SECRETS_KIND: &str = "Secrets";

/// Life of a cluster's authorities: ten years, as is usual for roots that are rotated by hand.
pub const CLUSTER_LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Letters and digits of tokens; 32 of them, so that a random byte's five low bits choose one
/// without bias. `l` and `o` and the digits 0 and 1 are left out: people type tokens.
const TOKEN_ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// An authority as the secrets file holds it: certificate and key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AuthorityPem {
    /// Certificate in PEM.
    pub crt: CertificatePem,
    /// Private key in PEM.
    #[schemars(extend("format" = PRIVATE_KEY))]
    pub key: SecretString,
}

impl AuthorityPem {
    fn generate(common_name: &str, validity: Validity) -> Result<Self, PkiError> {
        let authority = CertificateAuthority::generate(common_name, validity)?;
        Ok(Self {
            crt: authority
                .certificate()
                .parse()
                .expect("rcgen writes valid PEM"),
            key: authority.key(),
        })
    }

    /// The authority, ready to issue.
    ///
    /// # Errors
    /// As [`CertificateAuthority::from_pem`].
    pub fn authority(&self) -> Result<CertificateAuthority, PkiError> {
        CertificateAuthority::from_pem(self.crt.as_str(), &self.key)
    }

    /// As a control-plane machine's config holds it.
    pub(crate) fn with_key(&self) -> CertificateAndKey {
        CertificateAndKey {
            crt: self.crt.clone(),
            key: Some(self.key.clone()),
        }
    }

    /// As a worker's config holds it.
    pub(crate) fn without_key(&self) -> CertificateAndKey {
        CertificateAndKey {
            crt: self.crt.clone(),
            key: None,
        }
    }
}

/// Everything secret that a cluster has from its beginning. Whoever has this file owns the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterSecrets {
    /// Identity of the cluster; public.
    pub cluster_id: ResourceName,
    /// Authority of the machine API.
    #[serde(rename = "machineCA")]
    pub machine_ca: AuthorityPem,
    /// Token by which machines join.
    #[schemars(extend("format" = JOIN_TOKEN))]
    pub join_token: SecretString,
    /// Authority of the Kubernetes API.
    #[serde(rename = "kubernetesCA")]
    pub kubernetes_ca: AuthorityPem,
    /// Authority of the aggregation layer.
    #[serde(rename = "aggregatorCA")]
    pub aggregator_ca: AuthorityPem,
    /// Authority of the cluster store.
    #[serde(rename = "etcdCA")]
    pub etcd_ca: AuthorityPem,
    /// Key that signs service account tokens, in PEM.
    #[schemars(extend("format" = PRIVATE_KEY))]
    pub service_account_key: SecretString,
    /// Kubernetes bootstrap token.
    #[schemars(extend("format" = BOOTSTRAP_TOKEN))]
    pub bootstrap_token: SecretString,
    /// Key that encrypts Secrets in the store, 32 bytes in base64.
    #[schemars(extend("format" = ENCRYPTION_KEY))]
    pub secretbox_encryption_key: SecretString,
}

impl ClusterSecrets {
    /// Makes new secrets; authorities live for [`CLUSTER_LIFETIME`].
    ///
    /// # Errors
    /// [`PkiError::Time`] for an absurd `now`, [`PkiError::Crypto`], [`PkiError::Random`].
    pub fn generate(now: SystemTime) -> Result<Self, PkiError> {
        let validity = Validity::new(now, CLUSTER_LIFETIME);
        let bootstrap = format!("{}.{}", token::<6>()?, token::<16>()?);
        Ok(Self {
            cluster_id: token::<26>()?
                .parse()
                .expect("letters and digits are a name"),
            machine_ca: AuthorityPem::generate("orlop machine", validity)?,
            join_token: SecretString::new(token::<32>()?),
            kubernetes_ca: AuthorityPem::generate("kubernetes", validity)?,
            aggregator_ca: AuthorityPem::generate("front-proxy", validity)?,
            etcd_ca: AuthorityPem::generate("etcd", validity)?,
            service_account_key: SecretString::new(new_key()?.serialize_pem()),
            bootstrap_token: SecretString::new(bootstrap),
            secretbox_encryption_key: SecretString::new(STANDARD.encode(random::<32>()?)),
        })
    }

    /// Parses a secrets file, strictly.
    ///
    /// # Errors
    /// Every problem of the text, as the machine config's parser reports them.
    pub fn parse(bytes: &[u8]) -> Result<Self, Problems> {
        parse_document(bytes, SECRETS_KIND)
    }

    /// The secrets file: YAML, everything in clear. To be kept where nobody else reads it.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        let mut value = to_value_exposed(self).expect("all keys are text");
        value["apiVersion"] = API_VERSION.into();
        value["kind"] = SECRETS_KIND.into();
        value_to_yaml(&value)
    }
}

/// Random letters and digits, five bits each.
fn token<const N: usize>() -> Result<String, PkiError> {
    let letter = |byte: u8| char::from(TOKEN_ALPHABET[usize::from(byte & 0x1f)]);
    Ok(random::<N>()?.into_iter().map(letter).collect())
}
