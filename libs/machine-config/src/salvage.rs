//! What can still be read of a config that is not valid (any more).
//!
//! A node may hold a config that its release refuses: another release has written it, or its bytes have
//! changed. Whom the node trusts must survive that, or anybody could take it over. Only the one place is
//! looked at where the authority stands; any other certificate of the config is another party's.

use crate::{
    documents::CertificateAndKey,
    secret::SecretString,
    tree::{self, Content, Node},
};

/// `Machine.ca` of the first `Machine` document that has one, whatever its `apiVersion`, and whatever is
/// wrong with the rest. Whether it is an authority is for the caller to find out.
#[must_use]
pub fn authority(bytes: &[u8]) -> Option<CertificateAndKey> {
    let text = crate::text_of(bytes).ok()?;
    let stream = tree::load(text);
    stream.documents.iter().find_map(|document| {
        let kind = text_at(document, "kind")?;
        let ca = child(document, "ca").filter(|_| kind == "Machine")?;
        Some(CertificateAndKey {
            crt: text_at(ca, "crt")?.parse().ok()?,
            key: text_at(ca, "key").map(|key| SecretString::new(key.to_owned())),
        })
    })
}

fn child<'a>(node: &'a Node, key: &str) -> Option<&'a Node> {
    let Content::Mapping(entries) = &node.content else {
        return None;
    };
    let mut same = entries.iter().filter(|entry| *entry.key == key);
    // Two of one name: nobody can say which was meant.
    same.next()
        .filter(|_| same.next().is_none())
        .map(|entry| &entry.value)
}

fn text_at<'a>(node: &'a Node, key: &str) -> Option<&'a str> {
    match &child(node, key)?.content {
        Content::Scalar { text, .. } => Some(text.as_str()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEM: &str = "-----BEGIN CERTIFICATE-----\\nAAAA\\n-----END CERTIFICATE-----\\n";

    fn check(text: &str, expect: Option<Option<&str>>) {
        let text = text.replace("PEM", &format!("\"{PEM}\""));
        let found = authority(text.as_bytes());
        let key = found
            .as_ref()
            .map(|ca| ca.key.as_ref().map(SecretString::expose));
        assert_eq!(key, expect, "{text}");
    }

    #[test]
    fn the_authority_survives_what_is_wrong_elsewhere() {
        check(
            "kind: Machine\nca: {crt: PEM, key: hush}\n",
            Some(Some("hush")),
        );
        check(
            "apiVersion: v9\nkind: Machine\nnew: 1\nca:\n  crt: PEM\n  more: x\n",
            Some(None),
        );
        check(
            "kind: Other\n---\nkind: Machine\nca: {crt: PEM}\n--- ]\n",
            Some(None),
        );
    }

    #[test]
    fn nothing_else_is_taken_for_it() {
        for text in [
            "",
            "kind: Cluster\nca: {crt: PEM}\n",
            "kind: Machine\nca: PEM\n",
            "kind: Machine\nca: {crt: no certificate}\n",
            "kind: Machine\nca: {crt: PEM, crt: PEM}\n",
            "kind: Machine\ntrust: {ca: {crt: PEM}}\n",
            "kind: Machine\nca: {crt: PEM\n",
            "kind: Machine\nca: {crt: PEM}\0",
        ] {
            check(text, None);
        }
    }
}
