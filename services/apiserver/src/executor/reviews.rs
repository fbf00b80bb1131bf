//! Questions about users: they are answered, and nothing is kept.

use super::{access::Access, clock};
use crate::planner::{
    authorization::Attributes,
    reviews::{authentication, authorization},
    user::User,
};
use objects::status::Status;
use serde_json::Value;

/// Answers the review of a resource.
///
/// # Errors
/// The answer to the client.
pub fn answer(
    access: &Access,
    user: &User,
    resource: &str,
    namespace: Option<&str>,
    review: Value,
) -> Result<Value, Status> {
    use authorization::{Question, Review};
    let decide = |review: Value, kind: Review<'_>| {
        let question = Question::read(&review, kind)?;
        let attributes: Attributes<'_> = question.attributes();
        let decision = access.decide(&attributes);
        Ok(authorization::answer(review, &decision))
    };
    match resource {
        "tokenreviews" => {
            let question = authentication::token_review(&review)?;
            let found = access
                .authenticator
                .review(&question.token, &question.audiences);
            Ok(authentication::token_reviewed(review, &found))
        }
        "selfsubjectreviews" => Ok(authentication::self_subject_review(
            review,
            user,
            clock::now(),
        )),
        "subjectaccessreviews" => decide(review, Review::Subject),
        "localsubjectaccessreviews" => decide(review, Review::Local(namespace.unwrap_or_default())),
        "selfsubjectaccessreviews" => decide(review, Review::Own(user)),
        "selfsubjectrulesreviews" => {
            let asked = authorization::rules_namespace(&review)?.to_owned();
            let rules = access.rules_for(user, &asked);
            Ok(authorization::rules_review(review, &rules))
        }
        _ => Err(Status::method_not_allowed()),
    }
}
