//! Authorities, what they issue, secrets and configs, all in memory.

use std::time::{Duration, SystemTime};

use machine_config::{Role as MachineRole, SecretString, parse, to_yaml};

use super::*;
use crate::certificate::parsed;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A fixed moment, with a part of a second that X.509 cannot hold.
fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_000_000_500)
}

fn authority() -> CertificateAuthority {
    CertificateAuthority::generate("test", Validity::new(now(), 10 * DAY)).unwrap()
}

/// Whether `der` is signed by `authority`'s key, by the same library that TLS peers use.
fn is_signed_by(der: &[u8], authority: &CertificateAuthority) -> bool {
    let issuer = der_of(authority.certificate()).unwrap();
    let (issuer, leaf) = (parsed(&issuer).unwrap(), parsed(der).unwrap());
    let key = aws_lc_rs::signature::UnparsedPublicKey::new(
        &aws_lc_rs::signature::ECDSA_P256_SHA256_ASN1,
        issuer.public_key().subject_public_key.data.to_vec(),
    );
    leaf.issuer() == issuer.subject()
        && key
            .verify(leaf.tbs_certificate.as_ref(), &leaf.signature_value.data)
            .is_ok()
}

#[test]
fn a_server_certificate_has_its_names_and_times() {
    let authority = authority();
    let names = Names::parse(["node.example", "10.0.0.1", "fd00::1"]).unwrap();
    let issued = authority
        .issue_server(&names, Validity::new(now(), DAY))
        .unwrap();
    let der = der_of(&issued.certificate).unwrap();
    assert_eq!(names_of(&der).unwrap(), names);
    assert!(is_signed_by(&der, &authority));
    assert!(!is_signed_by(
        &der,
        &CertificateAuthority::generate("test", Validity::new(now(), DAY)).unwrap()
    ));
    let whole = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_000_000);
    assert_eq!(expires_at(&der).unwrap(), whole + DAY);
    let x509 = parsed(&der).unwrap();
    let begin = x509.validity().not_before.timestamp();
    assert_eq!(begin, 1_795_000_000 - 3600);
    let third = (DAY + BACKDATE) * 2 / 3;
    assert_eq!(renew_after(&der).unwrap(), whole - BACKDATE + third);
    let usage = x509.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.server_auth && !usage.client_auth && !usage.any);
    assert!(!x509.is_ca());
    assert_eq!(Identity::of(&der).unwrap().roles, Roles::NONE);
}

#[test]
fn a_client_certificate_carries_its_roles() {
    let authority = authority();
    for roles in [
        Roles::NONE,
        Roles::from(Role::Admin),
        [Role::Reader, Role::Backup].into_iter().collect(),
    ] {
        let issued = authority
            .issue_client("alice", roles, Validity::new(now(), DAY))
            .unwrap();
        let identity = Identity::of(&der_of(&issued.certificate).unwrap()).unwrap();
        let expect = Identity {
            common_name: "alice".to_owned(),
            roles,
            forwarder: false,
        };
        assert_eq!(identity, expect);
    }
    let issued = authority
        .issue_client("root", Roles::all(), Validity::new(now(), DAY))
        .unwrap();
    let identity = Identity::of(&der_of(&issued.certificate).unwrap()).unwrap();
    assert_eq!(identity.roles, Roles::from(Role::Admin));
    let three = Profile::Client {
        common_name: "a".to_owned(),
        organizations: vec!["x".to_owned(), "y".to_owned(), "z".to_owned()],
    };
    let error = authority
        .issue(&three, Validity::new(now(), DAY))
        .unwrap_err();
    assert!(matches!(error, PkiError::Organizations { count: 3 }));
    let issued = authority
        .issue_forwarder("cp-1", Validity::new(now(), DAY))
        .unwrap();
    let identity = Identity::of(&der_of(&issued.certificate).unwrap()).unwrap();
    assert!(identity.forwarder && identity.roles.is_empty());
}

#[test]
fn nothing_outlives_its_authority_and_an_expired_one_issues_nothing() {
    let authority = authority();
    let issued = authority
        .issue_client("a", Roles::NONE, Validity::new(now(), 100 * DAY))
        .unwrap();
    let der = der_of(&issued.certificate).unwrap();
    assert_eq!(expires_at(&der).unwrap(), authority.expires_at());
    let late = Validity::new(now() + 11 * DAY, DAY);
    let error = authority.issue_client("a", Roles::NONE, late).unwrap_err();
    assert!(
        matches!(error, PkiError::AuthorityExpired { .. }),
        "{error}"
    );
    for absurd in [SystemTime::UNIX_EPOCH, now() + DAY * 365 * 9000] {
        let error = CertificateAuthority::generate("a", Validity::new(absurd, DAY)).unwrap_err();
        assert!(matches!(error, PkiError::Time), "{error}");
    }
}

#[test]
fn an_authority_comes_back_from_pem_with_its_own_key_only() {
    let authority = authority();
    let again = CertificateAuthority::from_pem(authority.certificate(), &authority.key()).unwrap();
    let issued = again
        .issue_client("a", Roles::NONE, Validity::new(now(), DAY))
        .unwrap();
    assert!(is_signed_by(
        &der_of(&issued.certificate).unwrap(),
        &authority
    ));

    let check = |certificate: &str, key: &SecretString, expect: &str| {
        let error = CertificateAuthority::from_pem(certificate, key).unwrap_err();
        assert_eq!(error.to_string(), expect);
    };
    check(
        authority.certificate(),
        &issued.key,
        "the private key does not belong to the certificate of test",
    );
    check(
        &issued.certificate,
        &issued.key,
        "the certificate of a is not that of an authority",
    );
    check(
        "x",
        &issued.key,
        "read a certificate: not valid PEM of this kind",
    );
    let bad = SecretString::new(
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----".to_owned(),
    );
    check(
        authority.certificate(),
        &bad,
        "read a private key: not valid PEM of this kind",
    );
}

#[test]
fn of_a_request_only_the_key_survives() {
    let authority = authority();
    let asked = Names::parse(["evil.example", "10.9.9.9"]).unwrap();
    let request = Request::generate("orlop:admin", &asked).unwrap();
    let parsed_request = Request::from_pem(&request.certificate).unwrap();
    assert_eq!(parsed_request.names(), asked);
    let names = Names::parse(["node.example"]).unwrap();
    assert!(!names.covers(&asked));
    let profile = Profile::Server {
        common_name: "node".to_owned(),
        names: names.clone(),
        peer: true,
    };
    let certificate = authority
        .sign_request(&parsed_request, &profile, Validity::new(now(), DAY))
        .unwrap();
    let der = der_of(&certificate).unwrap();
    assert!(is_signed_by(&der, &authority));
    assert_eq!(names_of(&der).unwrap(), names);
    let identity = Identity::of(&der).unwrap();
    assert_eq!(
        (identity.common_name.as_str(), identity.roles),
        ("node", Roles::NONE)
    );
    let key = rcgen::KeyPair::from_pem(request.key.expose()).unwrap();
    assert_eq!(
        parsed(&der)
            .unwrap()
            .public_key()
            .subject_public_key
            .data
            .as_ref(),
        key.public_key_raw()
    );
    // The same request twice: two certificates that can be told apart by their serial numbers.
    let second = authority
        .sign_request(&parsed_request, &profile, Validity::new(now(), DAY))
        .unwrap();
    let second = der_of(&second).unwrap();
    assert_ne!(
        parsed(&der).unwrap().raw_serial(),
        parsed(&second).unwrap().raw_serial()
    );
}

#[test]
fn bad_requests_are_refused() {
    let check = |pem: &str, expect: &str| {
        let error = Request::from_pem(pem).unwrap_err().to_string();
        assert_eq!(error, format!("refuse the signing request: {expect}"));
    };
    check("", "it is no PKCS #10 request in PEM");
    check(
        authority().certificate(),
        "it is no PKCS #10 request in PEM",
    );
    check(&"x".repeat(70_000), "it is longer than 64 KiB");
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let request = rcgen::CertificateParams::default()
        .serialize_request(&key)
        .unwrap();
    check(
        &request.pem().unwrap(),
        "its key is neither P-256 nor Ed25519",
    );
    let mut params = rcgen::CertificateParams::default();
    params.name_constraints = None;
    params.custom_extensions = vec![rcgen::CustomExtension::from_oid_content(
        &[1, 2, 3],
        vec![5, 0],
    )];
    let key = rcgen::KeyPair::generate().unwrap();
    let request = params.serialize_request(&key).unwrap();
    check(
        &request.pem().unwrap(),
        "it asks for an extension that is not given",
    );
    // A flipped bit at the end of the signature.
    let good = Request::generate("a", &Names::default())
        .unwrap()
        .certificate;
    let mut der = x509_parser::pem::parse_x509_pem(good.as_bytes())
        .unwrap()
        .1
        .contents;
    let last = der.len() - 1;
    der[last] ^= 1;
    use base64::Engine as _;
    let body = base64::engine::general_purpose::STANDARD.encode(der);
    let torn =
        format!("-----BEGIN CERTIFICATE REQUEST-----\n{body}\n-----END CERTIFICATE REQUEST-----\n");
    check(&torn, "its signature is wrong");
}

#[test]
fn maintenance_mode_vouches_for_itself() {
    let made = SelfSigned::generate(
        &Names::parse(["10.0.0.1"]).unwrap(),
        Validity::new(now(), DAY),
    )
    .unwrap();
    let der = der_of(&made.issued.certificate).unwrap();
    assert_eq!(fingerprint(&der), made.fingerprint);
    assert_eq!(made.fingerprint.len(), 32 * 3 - 1);
    assert!(
        made.fingerprint
            .chars()
            .all(|c| c == ':' || c.is_ascii_digit() || ('a'..='f').contains(&c))
    );
    assert_eq!(names_of(&der).unwrap().addresses.len(), 1);
    assert_eq!(
        fingerprint(b"abc"),
        "ba:78:16:bf:8f:01:cf:ea:41:41:40:de:5d:ae:22:23:b0:03:61:a3:96:17:7a:9c:b4:10:ff:61:f2:00:15:ad"
    );
}

#[test]
fn secrets_come_back_from_their_file_and_are_never_the_same() {
    let secrets = ClusterSecrets::generate(now()).unwrap();
    let text = secrets.to_yaml();
    assert_eq!(
        ClusterSecrets::parse(text.as_bytes()).unwrap(),
        secrets,
        "{text}"
    );
    assert_ne!(
        ClusterSecrets::generate(now()).unwrap().join_token,
        secrets.join_token
    );
    let debug = format!("{secrets:?}");
    assert!(
        !debug.contains("PRIVATE KEY") && !debug.contains(secrets.join_token.expose()),
        "{debug}"
    );
    for authority in [
        &secrets.machine_ca,
        &secrets.kubernetes_ca,
        &secrets.etcd_ca,
        &secrets.aggregator_ca,
    ] {
        authority.authority().unwrap();
    }

    let check = |text: &str, expect: &str| {
        let found = ClusterSecrets::parse(text.as_bytes())
            .unwrap_err()
            .to_string();
        assert!(found.contains(expect), "{found}");
        assert!(!found.contains(secrets.join_token.expose()), "{found}");
    };
    check(
        &text.replace("joinToken", "joinTokn"),
        "Secrets.joinTokn: unknown key (did you mean \"joinToken\"?)",
    );
    check(
        &text.replace("kind: Secrets", "kind: Machine"),
        "unknown kind Machine",
    );
    check(&format!("{text}---\n{text}"), "one document too many");
    check("", "no Secrets document");
}

#[test]
fn a_worker_gets_no_key_and_a_control_plane_machine_gets_all() {
    let secrets = ClusterSecrets::generate(now()).unwrap();
    let options = |role| {
        let endpoint = "https://10.0.0.10:6443".parse().unwrap();
        ConfigOptions::new("prod".parse().unwrap(), endpoint, role)
    };
    let worker = generate_config(&secrets, &options(MachineRole::Worker)).unwrap();
    let text = to_yaml(&worker);
    assert_eq!(parse(text.as_bytes()).unwrap(), worker);
    assert!(!text.contains("PRIVATE KEY"), "{text}");
    assert!(!text.contains(secrets.secretbox_encryption_key.expose()));
    let control = generate_config(&secrets, &options(MachineRole::ControlPlane)).unwrap();
    assert_eq!(to_yaml(&control).matches("BEGIN PRIVATE KEY").count(), 5);
    let ca = &control.machine.ca;
    CertificateAuthority::from_pem(ca.crt.as_str(), ca.key.as_ref().unwrap()).unwrap();

    let mut wrong = options(MachineRole::Worker);
    wrong.pod_cidrs = vec!["10.96.0.0/16".parse().unwrap()];
    let error = generate_config(&secrets, &wrong).unwrap_err();
    let problems = std::error::Error::source(&error).unwrap().to_string();
    assert!(problems.contains("overlaps"), "{problems}");
}
