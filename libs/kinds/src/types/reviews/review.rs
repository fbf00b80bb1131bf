//! Reviews of which nothing can be wrong: of oneself, and of one's rules (whose namespace the server asks for).

use crate::rules::Rules;

/// What is this type's own.
pub const RULES: Rules = Rules {
    columns: &[],
    ..Rules::NONE
};
