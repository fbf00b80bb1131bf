//! Rules.

use crate::{
    resources::{Conversion, Kind},
    rules::Rules,
};

/// What is this type's own.
pub const RULES: Rules = Rules::NONE;

/// Between this version and the one that is stored.
pub const CONVERSION: Conversion = Conversion {
    stored: Kind {
        group: "autoscaling",
        version: "v2",
        kind: "HorizontalPodAutoscaler",
    },
    from_stored: |_| (),
    to_stored: |_| (),
};
