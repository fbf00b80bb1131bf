//! Rules.

use crate::rules::Rules;

/// What is this type's own.
pub const RULES: Rules = Rules::NONE;
