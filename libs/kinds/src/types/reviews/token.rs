//! Reviews of tokens.

use objects::field::{ErrorList, FieldError, Path};
use serde_json::Value;

use crate::{rules::Rules, value::Fields};

/// What is this type's own.
pub const RULES: Rules = Rules {
    validate,
    columns: &[],
    ..Rules::NONE
};

fn validate(review: &Value, errors: &mut ErrorList) {
    if review.part("spec").text("token").is_empty() {
        let path = Path::new("spec");
        let message = "token is required for TokenReview in authentication";
        errors.push(FieldError::required(&path.child("token"), message));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check_create;
    use serde_json::json;

    #[test]
    fn creates() {
        check_create(&RULES, &json!({"spec": {"token": "t"}}), &[]);
        let expect = ["spec.token: Required value: token is required"];
        check_create(&RULES, &json!({}), &expect);
    }
}
