//! Who asks, and may they.

use super::{authentication::Authenticator, authorization::Authorizer};
use crate::planner::{
    authorization::{Action, Attributes, Decision, Grant, Rules},
    user::{ANONYMOUS, User},
};
use hyper::HeaderMap;
use objects::status::Status;
use std::sync::Arc;

/// Decides about requests.
#[derive(Debug)]
pub struct Access {
    /// Who it is.
    pub authenticator: Authenticator,
    /// What they may.
    pub authorizer: Authorizer,
    /// Requests of nobody are looked at.
    pub anonymous: bool,
    /// Everybody may do everything: for tests of other things.
    pub always: bool,
}

impl Access {
    /// The user that a request is from, after impersonation.
    ///
    /// # Errors
    /// The answer to the client.
    pub fn user(&self, peer: Option<&Arc<User>>, headers: &HeaderMap) -> Result<Arc<User>, Status> {
        let user = self.authenticator.of_request(peer, headers)?;
        if user.name == ANONYMOUS && !self.anonymous {
            return Err(Status::unauthorized());
        }
        let Some(impersonation) = Authenticator::impersonation(headers)? else {
            return Ok(user);
        };
        for attributes in impersonation.required(&user) {
            self.allow(&attributes)?;
        }
        Ok(Arc::new(impersonation.user()))
    }

    /// Whether a user may do something, and why.
    #[must_use]
    pub fn decide(&self, attributes: &Attributes<'_>) -> Decision {
        if self.always {
            return Decision::Allowed(Grant::ALWAYS);
        }
        self.authorizer.decide(attributes)
    }

    /// All that a user may do in a namespace.
    #[must_use]
    pub fn rules_for(&self, user: &User, namespace: &str) -> Rules {
        if self.always {
            return Rules::everything();
        }
        self.authorizer.rules_for(user, namespace)
    }

    /// Whether a user may do something.
    ///
    /// # Errors
    /// The answer to the client.
    pub fn require(&self, user: &User, action: Action<'_>) -> Result<(), Status> {
        self.allow(&Attributes { user, action })
    }

    fn allow(&self, attributes: &Attributes<'_>) -> Result<(), Status> {
        if self.always {
            return Ok(());
        }
        self.authorizer.require(attributes)
    }
}
