//! Kind `Time`: where the machine's clock comes from. At most one per config.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::limits::MAX_TIME_SERVERS;
use crate::values::{Host, Span};

/// Time servers, and how long booting waits for them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Time {
    /// NTP servers; without them those that DHCP names, else none: the machine's own clock counts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("maxItems" = MAX_TIME_SERVERS))]
    pub servers: Vec<Host>,
    /// Whether the clock is left alone.
    pub disabled: bool,
    /// How long booting waits for the first answer before it goes on with the clock as it is;
    /// `0s` does not wait. At most 10 minutes.
    pub boot_timeout: Span,
}

impl Default for Time {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            disabled: false,
            boot_timeout: Span::from_seconds(60),
        }
    }
}
