//! Kind `Resolver`: how the machine itself looks names up. At most one per config.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::limits::{MAX_NAMESERVERS, MAX_SEARCH_DOMAINS};
use crate::values::DomainName;

/// Nameservers and search domains of the machine. What is given here replaces what DHCP says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Resolver {
    /// Nameservers in the order in which they are asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("maxItems" = MAX_NAMESERVERS))]
    pub nameservers: Vec<IpAddr>,
    /// Domains that are tried for short names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("maxItems" = MAX_SEARCH_DOMAINS))]
    pub search_domains: Vec<DomainName>,
}
