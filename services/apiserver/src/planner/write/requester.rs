//! Who asks, where an object says it.

use crate::planner::{served::Served, user::User};
use serde_json::Value;

/// A new request for a certificate says who asks: it is signed, or not, for him. What a client said there is gone already, by the
/// type's own rules; other objects stay as they are.
pub fn name_requester(served: &Served, user: &User, object: &mut Value) {
    let stored = served.stored;
    if (stored.group, stored.name) != ("certificates.k8s.io", "certificatesigningrequests") {
        return;
    }
    if let Some(Value::Object(spec)) = object.get_mut("spec")
        && let Value::Object(user) = user.to_value()
    {
        spec.extend(user);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planner::served::Catalogue;
    use serde_json::json;

    #[test]
    fn only_requests_for_certificates_say_who_asks() {
        let user = User::service_account("default", "robot", "7");
        let named = |group: &str, resource: &str| {
            let catalogue = Catalogue::builtin();
            let served = catalogue.find(group, "v1", resource).expect("served");
            let mut object = json!({"spec": {"signerName": "example.test/a"}});
            name_requester(served, &user, &mut object);
            object["spec"].clone()
        };
        let expect = json!({
            "signerName": "example.test/a",
            "username": "system:serviceaccount:default:robot",
            "uid": "7",
            "groups": ["system:serviceaccounts", "system:serviceaccounts:default"],
        });
        let group = "certificates.k8s.io";
        assert_eq!(named(group, "certificatesigningrequests"), expect);
        let other = json!({"signerName": "example.test/a"});
        assert_eq!(named("", "pods"), other);
    }
}
