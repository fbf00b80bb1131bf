//! Who is it, and who am I (`authentication.k8s.io/v1`).

use super::{text, texts, with_status};
use crate::planner::{tokens::TokenError, user::User};
use objects::{metadata, status::Status};
use serde_json::{Map, Value, json};

/// Whose token it is, and for whom of those that were asked for.
pub type Authenticated = Result<(User, Vec<String>), TokenError>;

/// What a `TokenReview` asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenQuestion {
    /// The token.
    pub token: String,
    /// It must be for one of these; empty: for the API.
    pub audiences: Vec<String>,
}

/// Reads a `TokenReview`.
///
/// # Errors
/// The answer to the client.
pub fn token_review(review: &Value) -> Result<TokenQuestion, Status> {
    let spec = review.get("spec").unwrap_or(&Value::Null);
    let token = text(spec, "token");
    if token.is_empty() {
        return Err(Status::bad_request(
            "token is required for TokenReview in authentication",
        ));
    }
    Ok(TokenQuestion {
        token: token.to_owned(),
        audiences: texts(spec.get("audiences")),
    })
}

/// A `TokenReview` with its answer.
#[must_use]
pub fn token_reviewed(review: Value, found: &Authenticated) -> Value {
    let mut status = Map::new();
    match found {
        Ok((user, audiences)) => {
            status.insert("authenticated".to_owned(), true.into());
            status.insert("user".to_owned(), user.to_value());
            status.insert("audiences".to_owned(), json!(audiences));
        }
        Err(error) => {
            status.insert("user".to_owned(), json!({}));
            let error = match error {
                TokenError::Unknown => error.to_string(),
                // As one of several who were asked.
                TokenError::Invalid(why) => format!("[{}, {why}]", TokenError::Unknown),
            };
            status.insert("error".to_owned(), error.into());
        }
    }
    with_status(review, status)
}

/// A `SelfSubjectReview` with its answer; `now`: in seconds since 1970.
#[must_use]
pub fn self_subject_review(review: Value, user: &User, now: i64) -> Value {
    let mut review = review;
    if let Ok(time) = jiff::Timestamp::from_second(now) {
        let time = objects::time::Time::new(time).to_string();
        metadata::edit(&mut review).insert("creationTimestamp".to_owned(), time.into());
    }
    let status = Map::from_iter([("userInfo".to_owned(), user.to_value())]);
    with_status(review, status)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jane() -> User {
        User {
            name: "jane".to_owned(),
            uid: "u".to_owned(),
            groups: vec!["g".to_owned()],
            ..User::default()
        }
    }

    #[test]
    fn tokens() {
        let review = json!({"kind": "TokenReview", "spec": {"token": "t", "audiences": ["a"]}});
        let question = token_review(&review).expect("good");
        assert_eq!(
            (question.token.as_str(), &question.audiences[..]),
            ("t", &["a".to_owned()][..])
        );
        let check = |found: Authenticated, expect: Value| {
            let reviewed = token_reviewed(review.clone(), &found);
            assert_eq!(reviewed["status"], expect);
            assert_eq!(reviewed["spec"], review["spec"]);
        };
        check(
            Ok((jane(), vec!["a".to_owned()])),
            json!({"authenticated": true, "audiences": ["a"], "user": {"username": "jane", "uid": "u", "groups": ["g"]}}),
        );
        check(
            Err(TokenError::Unknown),
            json!({"user": {}, "error": "invalid bearer token"}),
        );
        check(
            Err(TokenError::Invalid(
                "service account token has expired".to_owned(),
            )),
            json!({"user": {}, "error": "[invalid bearer token, service account token has expired]"}),
        );
        for review in [
            json!({}),
            json!({"spec": {"token": ""}}),
            json!({"spec": {"token": 1}}),
        ] {
            let status = token_review(&review).expect_err("no");
            assert_eq!(
                (status.code, status.message.as_str()),
                (400, "token is required for TokenReview in authentication")
            );
        }
    }

    #[test]
    fn oneself() {
        let review = self_subject_review(json!({"kind": "SelfSubjectReview"}), &jane(), 0);
        assert_eq!(
            review,
            json!({
                "kind": "SelfSubjectReview",
                "metadata": {"creationTimestamp": "1970-01-01T00:00:00Z"},
                "status": {"userInfo": {"username": "jane", "uid": "u", "groups": ["g"]}},
            })
        );
    }
}
